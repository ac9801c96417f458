"""What comes from outside never raises: events of any JSON, Windows records of any JSON, rules of any YAML."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules.catalogue import OWN_RULES
from rules.engine import Engine, Event
from rules.engine.fields import View
from tests.rules.helpers import WindowsEvents, event, rule

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
NAMES = st.sampled_from(
    ["event.action", "User", "SourceIP", "Command", "CommandLine", "Image", "ParentImage", "Signature", "host.id",
     "agency.id", "device.mac", "previous", "lan", "antivirus", "a", "a.b", "TargetUid"]
)  # fmt: skip
SOURCES = st.sampled_from(
    [("linux", "", "auth"), ("linux", "process_creation", ""), ("linux", "antivirus", ""), ("vonggac", "lan", ""),
     ("vonggac", "antivirus", ""), ("vonggac", "software", ""), ("vonggac", "ip_binding", ""), ("", "test", "")]
)  # fmt: skip
MODIFIERS = [
    "a: x", "a|contains: x", "a|re: 'x+$'", "a|re|i: É", "a|cidr: 10.0.0.0/8", "a|gt: 5", "a|lte: 1.5", "a: null",
    "a|exists: true", "a|fieldref: b", "a|hour: 3", "a|week: 3", "a|windash: -x", "a|base64offset|contains: abc",
    "a|cased: X", "a: 'x*y?z*'", "a.b.c: x", "a|neq: x", "a|contains|all: [x, y]",
]  # fmt: skip
OWN = Engine([OWN_RULES], state_limit=500)
EVERY = Engine(
    [rule(f"s: {{{_quoted}}}\nk: [word, 5]\ncondition: s or k", number=number)
     for number, item in enumerate(MODIFIERS, 1)
     for _quoted in [f"'{item.split(': ', 1)[0]}': {item.split(': ', 1)[1]}"]]
)  # fmt: skip
WINDOWS = WindowsEvents()


def test_the_engines_under_attack_are_whole() -> None:
    assert OWN.unsupported == []
    assert EVERY.rules_loaded == len(MODIFIERS)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(NAMES, JSON), SOURCES, st.floats(allow_infinity=False))
def test_no_event_raises_with_our_rules(
    fields: dict[str, Any], source: tuple[str, str, str], time: float
) -> None:
    for finding in OWN.process(Event("1", time, *source, fields)):
        assert finding.event.fields is fields


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "a.b", "c"]), JSON))
def test_no_event_raises_with_any_modifier(fields: dict[str, Any]) -> None:
    ids = [finding.rule_id for finding in EVERY.process(event(fields))]
    assert len(ids) == len(set(ids))


@settings(max_examples=200, deadline=None)
@given(JSON, JSON, JSON)
def test_no_windows_record_raises(system: Any, data: Any, other: Any) -> None:
    header = {
        "Channel": "Security",
        "EventID": 4688,
        **(system if isinstance(system, dict) else {"X": system}),
    }
    for record in (
        other,
        {"Event": {"System": header, "EventData": data, "UserData": other}},
        {**header, "y": data},
    ):
        read = WINDOWS.read(record, "1")
        if read is not None:
            assert read[1].product == "windows"
            assert isinstance(EVERY.process(*read), list)


def test_depth_costs_no_recursion() -> None:
    deep: Any = "word"
    for _ in range(5000):
        deep = [{"a": deep}]
    assert EVERY.process(event({"a": deep, "z": deep}))
    assert View({"a": deep})["a.a.a"].present


def test_huge_numbers_and_lone_surrogates_are_text_like_any_other() -> None:
    for value in (10**5000, -(10**400), 1e308, float("inf"), "\ud800", "1" * 100_000):
        assert isinstance(EVERY.process(event({"a": value, "b": value})), list)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "title": JSON, "id": JSON, "name": JSON, "logsource": JSON, "detection": JSON, "correlation": JSON,
            "filter": JSON, "level": JSON, "status": JSON, "tags": JSON, "action": JSON, "date": JSON,
        },
    )
)  # fmt: skip
def test_no_rule_raises_and_each_is_loaded_or_refused(document: dict[str, Any]) -> None:
    try:
        text = yaml.safe_dump(document)
        yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeError, ValueError):
        return
    engine = Engine([text])
    assert engine.rules_loaded + len(engine.unsupported) >= (
        1 if document and "action" not in document else 0
    )
