"""The scanner's short way says what the reader and the engine say event by event, of whatever a file may hold."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rules.engine import Engine
from rules.engine.blocks import BlockMatcher
from rules.engine.reading import Block, decoded
from rules.logsources import Reader, load_pipelines
from tests.rules.helpers import rule, rule_id

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


WINDOWS = "{product: windows}"
CREATION = "{product: windows, category: process_creation}"
REGISTRY = "{product: windows, category: registry_set}"
RULES = [
    rule(f"{detection}\ncondition: {condition}", number=number, logsource=source)
    for number, (detection, condition, source) in enumerate(
        [
            ("s: {User: lan}", "s", WINDOWS),
            ("s: {ThreatName|contains: bad}", "s", WINDOWS),
            ("s: {Provider_Name: src}", "s", WINDOWS),
            ("s: {EventID: 1}\nf: {User: '*'}", "s and not f", WINDOWS),
            ("k: [needle, 'ủa kìa', 'mimi::cat']", "k", WINDOWS),
            ("s: {Image|endswith: 'cmd.exe', CommandLine|contains: ' /c '}", "s", CREATION),
            ("s: {Image|fieldref: ParentImage}", "s", CREATION),
            ("s: {TargetObject|contains: Run, EventType: SetValue}", "s", REGISTRY),
            ("s: {Score|gte: 5}\nt: {host.name: pc1}\nu: {Score: 'inf'}", "1 of them", WINDOWS),
            ("s: {User: null}\nt: {EventID|re: '^[14]'}", "all of them", WINDOWS),
        ],
        start=1,
    )
]
ENGINE = Engine(RULES)
READER = Reader(load_pipelines(["windows"]))

REAL: list[dict[str, Any]] = [
    {"EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational", "Image": "C:\\Windows\\cmd.exe",
     "ParentImage": "c:\\windows\\CMD.exe", "CommandLine": "cmd /c dir", "User": "lan", "SourceName": "src"},
    {"EventID": 13, "Channel": "Microsoft-Windows-Sysmon/Operational", "EventType": "SetValue",
     "TargetObject": "HKLM\\Run\\x", "Details": "a needle in it", "Provider_Name": None, "SourceName": "src"},
    {"EventID": 12, "Channel": "Microsoft-Windows-Sysmon/Operational", "EventType": "CreateKey", "TargetObject": "Run"},
    {"EventID": 4688, "Channel": "Security", "NewProcessName": "C:\\cmd.exe", "CommandLine": "x /c y", "User": "oanh"},
    {"EventID": 1116, "Channel": "Microsoft-Windows-Windows Defender/Operational", "Threat Name": "bad thing"},
    {"EventID": "4624", "Channel": "security", "Score": 7, "host": {"name": "pc1"}, "Message": "MIMI::CAT ủa KÌA"},
]  # fmt: skip

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 14),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["lan", "src", "bad", "SetValue", "1", "a needle", "Nee\u212ale", "\ud800lan", "", "mimi::cat"]
    ),
    st.lists(st.sampled_from(["lan", None, 1]), max_size=2),
    st.dictionaries(st.sampled_from(["name", "System"]), st.sampled_from(["pc1", 1]), max_size=2),
)
NAMES = st.sampled_from(
    ["EventID", "Channel", "Event", "User", "Us er", " EventID", "Threat Name", "ThreatName", "SourceName",
     "Source Name", "Provider_Name", "Image", "ParentImage", "Score", "host", "host.name", "EventType", "Message", "Ñ"]
)  # fmt: skip


def written(event: dict[str, Any], added: list[tuple[str, Any]], style: int) -> bytes:
    """The event and more members behind (a name may come twice), as one of several writers would."""
    separators = (", ", ": ") if style & 1 else (",", " :") if style & 2 else (",", ":")
    parts = [
        json.dumps(name, ensure_ascii=bool(style & 4))
        + separators[1]
        + json.dumps(value, ensure_ascii=bool(style & 4))
        for name, value in [*event.items(), *added]
    ]
    return ("{" + separators[0].join(parts) + "}").encode("utf-8", "surrogatepass")


def broken(line: bytes, how: int) -> bytes:
    """What else may stand in a line."""
    ways: list[Callable[[], bytes]] = [
        lambda: line,
        lambda: line + b"\r",
        lambda: b"  " + line,
        lambda: b"\xef\xbb\xbf" + line,
        lambda: line[:-1],
        lambda: line + line,
        lambda: line + b" x",
        lambda: line.replace(b'"lan"', b"1e400"),
        lambda: line[:-1] + b',"Score":1e400}',
        lambda: line[:-1] + b',"n":' + b"1" * 5_000 + b"}",
        lambda: line[:-1] + b',"n":NaN,"User":"lan"}',
        lambda: line[:-1] + b',"n":"\xff"}',
        lambda: line.replace(b"User", b"Us\\u0065r").replace(b"needle", b"n\\u0065edle"),
        lambda: b"",
        lambda: b" \t",
        lambda: b"null",
        lambda: b"[1]",
        lambda: b'"x"',
        lambda: b"[" * 3_000,
        lambda: line.replace(b"{", b"{\x00", 1),
    ]
    return ways[how % len(ways)]()


def one_by_one(lines: list[bytes]) -> tuple[list[tuple[int, tuple[str, ...]]], int]:
    """Without blocks, lanes and sieves: what fires where, and how many lines are no JSON."""
    found: list[tuple[int, tuple[str, ...]]] = []
    unreadable = 0
    for place, line in enumerate(line for line in lines if line.strip()):
        record = decoded(line)
        unreadable += record is None
        read = READER.read(record) if record is not None else None
        if read is not None:
            keys = tuple(dict.fromkeys(offer.key for offer in ENGINE.match(read.fields, read.sources)))
            if keys:
                found.append((place, keys))
    return found, unreadable


def in_blocks(
    matcher: BlockMatcher, lines: list[bytes], size: int
) -> tuple[list[tuple[int, tuple[str, ...]]], int]:
    found: list[tuple[int, tuple[str, ...]]] = []
    first = unreadable = 0
    for start in range(0, len(lines), size):
        block = Block.of_lines(b"".join(line + b"\n" for line in lines[start : start + size]))
        result = matcher.run(PATH, block)
        found.extend((first + fired.place, fired.rules) for fired in result.fired)
        first += result.events
        unreadable += result.unreadable
    return found, unreadable


PATH = Path("events.jsonl")
LINE = st.builds(
    lambda event, added, style, how: broken(written(event, added, style), how),
    st.sampled_from(REAL),
    st.lists(st.tuples(NAMES, VALUES), max_size=3),
    st.integers(0, 7),
    st.one_of(st.just(0), st.integers(0, 19)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=40), st.sampled_from([1, 3, 16, 100]))
@example([written(REAL[4], [], 0), written(REAL[4], [("ThreatName", "good")], 0)], 1)
@example([written(REAL[0], [("EventID", number)], 0) for number in (1, 1, True, 1.0)], 1)
@example([written(REAL[1], [], 0)] * 40, 100)
@example([written(REAL[3], [], 0)[:-1] + b"\n" + b"}{}", written(REAL[3], [], 0)], 100)
def test_lanes_say_what_the_reader_and_the_engine_say(lines: list[bytes], size: int) -> None:
    lines = [part for line in lines for part in line.split(b"\n")]
    matcher = BlockMatcher(ENGINE, READER)
    expected = one_by_one(lines)
    assert in_blocks(matcher, lines, size) == expected
    assert in_blocks(matcher, lines, 16) == expected, "the second time all kinds are known"


def test_every_rule_of_the_comparison_fires_and_most_events_take_a_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    luck = random.Random(1)
    lines = [written(luck.choice(REAL), [], luck.choice([0, 1, 4])) for _ in range(400)]
    lines.append(written(REAL[3], [("Score", 9), ("User", "lan"), ("ThreatName", "bad")], 0))
    lines.append(b'{"Channel":"Security","EventID":1}')
    odd: list[int] = []
    matcher = BlockMatcher(ENGINE, READER)
    run_oddly = matcher._run_oddly

    def counted(result: Any, block: Block, place: int, record: Any) -> None:
        odd.append(place)
        run_oddly(result, block, place, record)

    monkeypatch.setattr(matcher, "_run_oddly", counted)
    found, unreadable = in_blocks(matcher, lines, 100)
    assert {key for _, keys in found for key in keys} == {
        rule_id(number) for number in range(1, len(RULES) + 1)
    }
    assert unreadable == 0
    spaced = sum(b"Threat Name" in line for line in lines)
    assert spaced <= len(odd) < spaced + 5 * 16


def test_a_sender_of_ever_new_kinds_and_names_does_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.engine.lanes._KINDS_LIMIT", 50)
    monkeypatch.setattr("rules.engine.lanes._NAMES_LIMIT", 200)
    matcher = BlockMatcher(ENGINE, READER)
    lines = [
        written({"Channel": "c", "EventID": number, f"n{number}": 1, "User": "lan"}, [], 0)
        for number in range(500)
    ]
    assert in_blocks(matcher, lines, 100) == one_by_one(lines)
    lanes = matcher._lanes
    assert lanes is not None
    assert sum(len(kind.ways) for kind in lanes._kinds.values()) <= 50
    assert len(lanes._plain) <= 210
