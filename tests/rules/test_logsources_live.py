"""Events that say themselves what they are and gain log sources; times; and what hostile events cost."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules.engine import Engine, Event
from rules.engine.fields import View
from rules.engine.routing import Sources, sources_of
from rules.logsources import LogSources, Reader, WindowsReader, seconds_of, shipped
from rules.logsources.deciding import CACHE_LIMIT, interned
from rules.logsources.pipelines import parse_pipeline
from rules.logsources.when import Condition, hold, needed
from tests.rules.helpers import rule

LIVE = LogSources(shipped())


def test_an_agents_windows_event_gains_services_categories_and_renames() -> None:
    fields, sources = LIVE.read(
        "windows", "", "", {"Channel": "Security", "EventID": 4688, "New Process Name": "x"}
    )
    assert fields["NewProcessName"] == "x"
    assert sources.services == {"security"}
    assert [category for category, _ in sources.categories] == ["process_creation"]


def test_an_agents_sshd_message_meets_the_rules_for_sshd_and_keeps_what_it_said() -> None:
    fields, sources = LIVE.read("linux", "", "auth", {"Process": "sshd", "Message": "x", "User": "lan"})
    assert sources == Sources("linux", frozenset({"auth", "sshd", "syslog"}), frozenset())
    assert fields == {"Process": "sshd", "Message": "x", "User": "lan", "program": "sshd"}


def test_an_agents_process_event_in_ecs_is_routed_by_category_and_type() -> None:
    started = {"event": {"category": ["process"], "type": ["start"]}, "process": {"executable": "/bin/sh"}}
    for product in ("linux", "macos", "windows"):
        _, sources = LIVE.read(product, "", "", dict(started))
        ((category, renames),) = sources.categories
        assert category == "process_creation"
        assert dict(renames)["Image"] == "process.executable"


def test_an_event_that_no_pipeline_knows_keeps_its_own_log_source_and_its_fields() -> None:
    given = {"Image": "/bin/sh"}
    fields, sources = LIVE.read("linux", "process_creation", "", given)
    assert fields is given
    assert sources == sources_of("linux", "process_creation", "")
    assert LIVE.read("vonggac", "antivirus", "", {"antivirus": {}})[1] == sources_of(
        "vonggac", "antivirus", ""
    )
    assert LIVE.read("", "", "", {})[1] == sources_of("", "", "")


def test_a_category_that_the_event_names_itself_takes_the_pipelines_renames_in_place_of_none() -> None:
    fields, sources = LIVE.read("fortigate", "firewall", "", {"dstip": "10.0.0.1", "dstport": 22})
    assert sources.product == "fortigate"
    assert [dict(renames)["dst_port"] for category, renames in sources.categories] == ["dstport"]
    engine = Engine([rule("s: {dst_port: 22}\ncondition: s", logsource="{category: firewall}")])
    assert engine.process(Event("1", 0.0, "", "", "", fields), sources)
    assert LIVE.read("", "firewall", "", {"x": 1})[1] == sources_of("", "firewall", "")


def test_a_pipeline_never_gives_an_event_another_product() -> None:
    _, sources = LIVE.read("linux", "", "", {"Channel": "Security", "EventID": 4688})
    assert sources == sources_of("linux", "", "")
    pipeline = parse_pipeline(
        "name: own\ndescription: {en: a, vi: b}\nproduct: device\napplies: {service: box}\nservices: {box: {}}"
    )
    live = LogSources([pipeline])
    assert live.read("", "", "box", {})[1].product == "device"
    assert live.read("other", "", "box", {})[1].product == "other"


CONTEXT = {"host": {"id": "h1"}, "agency": {"code": "a"}, "simulated": False, "event": {"id": "e"}}


@pytest.mark.parametrize(
    ("source", "hostile"),
    [
        (("windows", "", ""), {"Channel": "Security", "EventID": 1, "host .id": "h2", "ho st": {"id": "h2"}}),
        (
            ("windows", "", ""),
            {"winlog": {"channel": "x", "event_id": 1, "event_data": {"host.id": "h2", "host": "h2"}}},
        ),
        (("windows", "", ""), {"winlog.channel": "x", "event.code": 1, "winlog.event_data.host.id": "h2"}),
        (
            ("windows", "", ""),
            {"Event": {"System": {"Channel": "x", "EventID": 1}, "EventData": {"host.id": "h2"}}},
        ),
        (
            ("windows", "", ""),
            {"Event": {"System": {"Channel": "x", "EventID": 1, "host": {"#text": "h2", "@id": "h2"}}}},
        ),
        (
            ("linux", "", "auditd"),
            {"ID": "1.2:3", "SYSCALL": {"host.id": "h2", "host": {"id": "h2"}, "simulated": True}},
        ),
        (
            ("linux", "", "auditd"),
            {"auditd": {"message_type": "x", "data": {"host": "h2", "event.id": "h2"}}},
        ),
    ],
)
def test_what_the_collector_says_of_an_event_cannot_be_said_over_by_what_a_pipeline_adds(
    source: tuple[str, str, str], hostile: dict[str, Any]
) -> None:
    fields, _ = LIVE.read(*source, {**hostile, **CONTEXT})
    for name in ("host.id", "agency.code", "simulated", "event.id"):
        assert View(fields)[name] == View(CONTEXT)[name]


def test_a_windows_event_as_evtx_renders_it_becomes_flat_and_keeps_what_stood_beside_it() -> None:
    event = {
        "System": {"Channel": "System", "EventID": 104},
        "UserData": {"x": {"Channel": "Security", "User": "lan"}},
    }
    fields, sources = LIVE.read("windows", "", "", {"Event": event, **CONTEXT})
    assert sources.services == {"system"}
    assert fields["User"] == "lan"
    assert fields["host"] == {"id": "h1"}
    assert LIVE.read("windows", "", "", fields) == (fields, sources)


def test_equal_log_sources_are_one_object() -> None:
    first = LIVE.read("windows", "", "", {"Channel": "Security", "EventID": 1})[1]
    second = LIVE.read("windows", "", "", {"Channel": "SECURITY", "EventID": "1"})[1]
    assert first is second
    assert interned(Sources(*first)) is first


def test_true_is_not_the_event_id_1_however_python_counts() -> None:
    sources = WindowsReader().sources
    channel = "Microsoft-Windows-Sysmon/Operational"
    assert sources(channel, 1, {}) is not None
    for _ in range(2):
        found = sources(channel, True, {})
        assert found is not None
        assert not found.categories
    assert sources(channel, 1.0, {}) == sources(channel, 1, {}) == sources(channel, "1", {})
    assert sources(channel, [1], {}) == sources(channel, 1, {})  # any of several, as for every field
    assert sources(channel, [], {}) is sources(channel, [{}], {}) is None
    assert sources(None, 1, {}) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-01-02T03:04:05Z", 1767323045.0),
        ("2026-01-02T10:04:05+07:00", 1767323045.0),
        ("2026-01-02 03:04:05", 1767323045.0),
        ("1767323045", 1767323045.0),
        ("1767323045.5", 1767323045.5),
        (1767323045, 1767323045.0),
        (1767323045000, 1767323045.0),
        ("1711111111111", 1711111111.111),
        (1767323045000000, 1767323045.0),
        (1767323045000000000, 1767323045.0),
        ("audit(1364481363.243:24287):", 1364481363.243),
    ],
)
def test_times_of_many_kinds_are_read(value: object, seconds: float) -> None:
    assert seconds_of(value) == seconds


@pytest.mark.parametrize(
    "value", [None, True, "", "yesterday", [], {}, 10**400, float("inf"), "9" * 60, "٣" * 10]
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert math.isnan(seconds_of(value)) or value == "٣" * 10


def test_what_is_kept_by_hostile_names_is_bounded() -> None:
    reader = WindowsReader()
    for at in range(CACHE_LIMIT + 50):
        reader.read({"Channel": f"c{at}", "EventID": at, f"field {at}": 1, f"field{at}": 1})
    assert reader.read({"Channel": "c" * 100_000, "EventID": "1" * 100_000}) is not None
    bound = reader.sources.__self__  # type: ignore[attr-defined]
    assert len(bound._known) <= CACHE_LIMIT
    assert len(reader.flat.__self__._spaceless) <= 8192  # type: ignore[attr-defined]
    live = LogSources(shipped())
    for at in range(CACHE_LIMIT + 50):
        live.read(f"p{at}", "", "", {})
    assert len(live._looking) <= CACHE_LIMIT
    assert len(live._merged) <= CACHE_LIMIT


NAMES = st.sampled_from(
    ["SYSCALL", "EXECVE", "ARGV", "PATH", "name", "winlog", "event_data", "channel", "event_id", "Channel", "EventID",
     "EventType", "type", "auditd", "data", "syscall", "process", "args", "message", "msg", "Message", "program",
     "Process", "SYSLOG_IDENTIFIER", "SADDR", "SOCKADDR", "request", "a0", "a1", "exe", "event", "category", "host",
     "os", "Event", "System", "dst_ip", "SourceName", "Threat Name", "UID", "UserData", "Data"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters())
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text() | NAMES, inner), max_leaves=12
)
RECORDS = st.dictionaries(NAMES | st.text(), JSON)
EVERY = [Reader([each]) for each in shipped()]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(RECORDS)
def test_no_record_raises_in_any_pipeline(record: dict[str, Any]) -> None:
    for reader in EVERY:
        found = reader.read(dict(record))
        if found is not None:
            assert isinstance(seconds_of(found.time), float)
            assert isinstance(found.sources, Sources)
            hash(found.sources)


SOURCES = st.sampled_from(
    [("linux", "", "auditd"), ("linux", "", "auth"), ("", "firewall", ""), ("", "proxy", ""),
     ("", "webserver", ""), ("", "dns", ""), ("macos", "", ""), ("", "", "")]
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(SOURCES, RECORDS)
def test_reading_adds_and_never_takes_away_and_doing_it_again_changes_nothing(
    source: tuple[str, str, str], record: dict[str, Any]
) -> None:
    fields, sources = LIVE.read(*source, dict(record))
    for name, value in record.items():
        if (
            isinstance(value, dict) and name == "SYSCALL"
        ):  # laurel's record gives way to the name of the call in it
            continue
        assert fields[name] == value
    assert LIVE.read(*source, dict(fields)) == (fields, sources)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES | st.text(), JSON))
def test_doing_a_windows_event_again_changes_nothing(record: dict[str, Any]) -> None:
    fields, sources = LIVE.read("windows", "", "", {"Channel": "Security", "EventID": 4688, **record})
    assert LIVE.read("windows", "", "", dict(fields)) == (fields, sources)


def test_no_depth_or_width_costs_more_than_itself() -> None:
    deep: Any = "x"
    for _ in range(3000):
        deep = {"SYSCALL": deep}
    wide = {
        "ID": "1.2:3",
        "EXECVE": {"ARGV": ["y" * 100] * 5000},
        "PATH": [{"name": str(at)} for at in range(5000)],
    }
    for reader in EVERY:
        reader.read({"SYSCALL": deep, **wide, "message": "query[A] " + "a" * 1_000_000})
    fields, _ = LIVE.read("linux", "", "auditd", wide)
    assert len(fields) < 300
    assert len(fields["CommandLine"]) <= 1 << 16


_NAMES = st.sampled_from(["a", "a.b", "a.b.c", "b", "b.c"])
_LEAVES = st.sampled_from([None, "", "x", "y", 1, True, ["x"], []])
_OBJECTS = st.recursive(
    st.dictionaries(_NAMES, _LEAVES, max_size=3),
    lambda inner: st.dictionaries(_NAMES, st.one_of(_LEAVES, inner), max_size=3),
    max_leaves=5,
)
_CONDITIONS = st.builds(
    Condition,
    _NAMES,
    st.one_of(st.none(), st.frozensets(st.sampled_from(["", "x", "1"]), min_size=1)),
    present=st.booleans(),
    negated=st.booleans(),
)


@settings(max_examples=500)
@given(st.lists(_CONDITIONS, min_size=1, max_size=3).map(tuple), _OBJECTS)
def test_conditions_hold_for_no_event_without_the_names_that_they_need(
    conditions: tuple[Condition, ...], fields: dict[str, Any]
) -> None:
    lacking = any(name not in fields and head not in fields for name, head in needed(conditions))
    assert not (lacking and hold(conditions, fields))
    positive = Condition("a.b", frozenset({"x"}))
    assert needed((positive,)) == (("a.b", "a"),), "there is something to be told by"
