"""A scan gives the same, in the same order, with any number of processes, and an end where something breaks."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import random
import signal
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from rules.engine import Engine, RuleError, reading
from rules.engine.parallel import block_results
from rules.engine.reading import decoded, read_blocks, read_events
from rules.engine.scan import Match, Stats, scan
from rules.logsources import Reader, load_pipelines
from tests.rules.helpers import SHARED, rule, rule_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

WINDOWS = "{product: windows}"
CORRELATIONS = f"""
title: Many of one user
id: {rule_id(90)}
correlation: {{type: event_count, rules: [lan], group-by: [User], timespan: 10m, condition: {{gte: 3}}}}
---
title: Both in order
id: {rule_id(91)}
correlation: {{type: temporal_ordered, rules: [lan, other], group-by: [Computer], timespan: 1h}}
"""
BLOCK = 8_192


@pytest.fixture
def rules(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "rules"
    folder.mkdir()
    texts = {
        "lan": rule("s: {User: lan}\ncondition: s", number=1, name="lan", logsource=WINDOWS),
        "other": rule("s: {User|startswith: o}\ncondition: s", number=2, name="other", logsource=WINDOWS),
        "word": rule("k: [needle, 'ủa kìa']\ncondition: k", number=3, logsource=WINDOWS),
        "image": rule(
            "s: {Image|endswith: 'cmd.exe'}\ncondition: s",
            number=4,
            logsource="{product: windows, category: process_creation}",
        ),
        "not": rule("s: {EventID: 1}\nf: {User: '*'}\ncondition: s and not f", number=5, logsource=WINDOWS),
        "spaced": rule("s: {ThreatName: bad}\ncondition: s", number=6, logsource=WINDOWS),
        "provider": rule("s: {Provider_Name: src}\ncondition: s", number=7, logsource=WINDOWS),
        "correlations": CORRELATIONS,
    }
    for name, text in texts.items():
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    return [folder]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(reading, "_BLOCK_RECORDS", 3)
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 4 * BLOCK)


def lines(seed: int, count: int = 300) -> bytes:
    """Events of several kinds, and what else a file holds: blank, broken, very long and overlong lines."""
    luck = random.Random(seed)
    found: list[bytes] = []
    for number in range(count):
        event: dict[str, Any] = {
            "Channel": luck.choice(
                ["Security", "security", "Microsoft-Windows-Sysmon/Operational", "Nowhere", 5]
            ),
            "EventID": luck.choice([1, "1", 4688, 4624, True, 1.0, None]),
            "Computer": luck.choice(["pc1", "pc2"]),
            "@timestamp": f"2026-03-09T{number // 60 % 24:02}:{number % 60:02}:00Z",
        }
        optional: dict[str, list[Any]] = {
            "User": ["lan", "LAN", "oanh", "minh", None, ["lan", "x"]],
            "Image": ["C:\\cmd.exe", "C:\\x.exe"],
            "NewProcessName": ["C:\\cmd.exe"],
            "Message": ["a needle", "ủa kìa", "Need\u212ae", "nothing"],
            "Threat Name": ["bad"],
            "SourceName": ["src"],
            "Provider_Name": ["src", "other"],
            "Event": [{}, {"System": {"Channel": "Security", "EventID": 4688}}, "x"],
            f"n{luck.randrange(40)}": [1],
        }
        for name, values in optional.items():
            if luck.random() < 0.25:
                event[name] = luck.choice(values)
        text = json.dumps(event, ensure_ascii=luck.random() < 0.5).encode()
        found.append(text.replace(b"needle", b"n\\u0065edle") if luck.random() < 0.3 else text)
        chance = luck.random()
        if chance < 0.2:
            found.append(
                luck.choice([b"", b"  ", b"\r", b"no JSON", b"null", b"[1]", b'"x"', b'{"a":', b"\xff"])
            )
        elif chance < 0.23:
            long = {
                "Channel": "Security",
                "EventID": 1,
                "User": "lan",
                "Long": "x" * luck.choice([BLOCK, 3 * BLOCK]),
            }
            found.append(json.dumps(long).encode())
        elif chance < 0.24:
            found.append(
                b'{"Channel":"Security","EventID":1,"User":"lan","Long":"' + b"x" * 6 * BLOCK + b'"}'
            )
    ends = luck.choice([b"", b"\n", b"\n\n", b"\n" + b"y" * 6 * BLOCK])
    return b"\n".join(found) + ends


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made: list[Path] = []
    for number in range(2):
        plain = lines(number)
        third = len(plain) // 3
        parts = [plain[:third], b"", plain[third : 2 * third], plain[2 * third :]]
        frames = [
            zstandard.ZstdCompressor(write_checksum=bool(place % 2)).compress(p)
            for place, p in enumerate(parts)
        ]
        skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
        for suffix, content in {
            "jsonl": plain,
            "jsonl.gz": gzip.compress(plain[:third]) + gzip.compress(plain[third:]),
            "jsonl.zst": skippable.join(frames),
        }.items():
            made.append(tmp_path / f"day{number}.{suffix}")
            made[-1].write_bytes(content)
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "empty.jsonl.gz").write_bytes(b"")
    (tmp_path / "empty.jsonl.zst").write_bytes(b"")
    return [*made, *sorted(tmp_path.glob("empty*"))]


def scanned(rules: Sequence[Path], files: Sequence[Path], jobs: int) -> tuple[list[Match], Stats]:
    found: list[Match] = []
    return found, scan(rules, files, found.append, jobs=jobs)


def slowly(rules: Sequence[Path], path: Path) -> list[Match]:
    """By the reader and one event after the other, without the short way, blocks or sieves; without correlations."""
    engine, reader = Engine(rules), Reader(load_pipelines(["windows"]))
    found: list[Match] = []
    for place, record in enumerate(read_events(path)):
        read = reader.read(record) if record is not None else None
        if read is not None:
            offers = engine.match(read.fields, read.sources)
            found.extend(Match(path.name, place, key) for key in dict.fromkeys(offer.key for offer in offers))
    return found


@pytest.mark.usefixtures("small_blocks")
def test_any_number_of_processes_gives_the_same_in_the_same_order(
    rules: list[Path], files: list[Path]
) -> None:
    one, stats = scanned(rules, files, 1)
    assert stats.events > 1_500
    assert stats.unreadable > 50
    fired = set(stats.by_rule)
    assert fired >= {rule_id(number) for number in (3, 4, 5, 6, 7, 90, 91)}
    for chosen, jobs in ((files, 2), (files, 3), (files, 5), (files[:1], 2), (files[:1], 3), (files[2:5], 3)):
        expected, whole = (one, stats) if chosen is files else scanned(rules, chosen, 1)
        several, counted = scanned(rules, chosen, jobs)
        assert several == expected, jobs
        assert (counted.events, counted.unreadable, counted.matches) == (
            whole.events,
            whole.unreadable,
            whole.matches,
        )
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("small_blocks")
def test_correlations_cross_blocks_and_files(rules: list[Path], tmp_path: Path) -> None:
    filler = b'{"Channel":"Security","EventID":4624,"x":"' + b"y" * BLOCK + b'"}\n'
    event = '{"Channel":"Security","EventID":4624,"User":"lan","Computer":"c","@timestamp":"2026-03-09T10:0%d:00Z"}\n'
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.jsonl")
        paths[-1].write_bytes(filler * 3 + (event % number).encode() + filler * 2)
    for jobs in (1, 2, 3):
        found, _ = scanned(rules, paths, jobs)
        assert found == [Match("2.jsonl", 3, rule_id(90))]


@pytest.mark.usefixtures("small_blocks")
def test_the_short_way_says_what_the_reader_and_the_matcher_say(rules: list[Path], files: list[Path]) -> None:
    rules = [path for path in rules[0].iterdir() if path.name != "correlations.yml"]
    for path in files[:3]:
        found, _ = scanned(rules, [path], 1)
        expected = slowly(rules, path)
        assert len(expected) > 50
        assert sorted(found) == sorted(expected)


@pytest.mark.usefixtures("small_blocks")
def test_the_same_lines_in_any_packing_are_the_same_events(files: list[Path]) -> None:
    plain, packed, frames = (
        [decoded(t) for b in read_blocks(path) if b for t in b.texts] for path in files[:3]
    )
    assert plain == packed == frames


@pytest.mark.usefixtures("small_blocks")
def test_an_overlong_line_is_one_unreadable_event(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    event = b'{"a": 1}'
    for tail in (b"", b"\n", b"\n" + event):
        path.write_bytes(event + b"\n" + b"z" * 20 * BLOCK + tail)
        expected = [{"a": 1}, None, {"a": 1}] if tail.endswith(event) else [{"a": 1}, None]
        assert list(read_events(path)) == expected


@pytest.mark.skipif(not (SHARED / "sigmahq/regression").is_dir(), reason="the regression cases are not here")
@pytest.mark.usefixtures("small_blocks")
def test_evtx_files_too(rules: list[Path]) -> None:
    paths = sorted((SHARED / "sigmahq/regression").glob("*/*.evtx"))[:7]
    every = rule("s: {EventID: '*'}\ncondition: s", number=50, logsource=WINDOWS)
    (rules[0] / "every.yml").write_text(every, encoding="utf-8")
    one = scanned(rules, paths, 1)
    assert len(one[0]) >= 7
    for jobs in (2, 3):
        assert scanned(rules, paths, jobs)[0] == one[0]
        assert scanned(rules, paths[:1], jobs)[0] == [
            match for match in one[0] if match.file == paths[0].name
        ]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut.jsonl.gz": lambda plain: gzip.compress(plain)[:-200],
    "damaged.jsonl.gz": lambda plain: damaged(gzip.compress(plain)),
    "header.jsonl.gz": lambda plain: gzip.compress(plain) + zlib.compress(plain),
    "codes.jsonl.gz": lambda plain: gzip.compress(plain)[:10] + b"\xff" * 100,
    "cut.jsonl.zst": lambda plain: zstandard.compress(plain)[:-200],
    "checksum.jsonl.zst": lambda plain: zstandard.ZstdCompressor(write_checksum=True).compress(plain)[:-1],
    "second.jsonl.zst": lambda plain: zstandard.compress(plain) + zstandard.compress(plain)[:7],
    "damaged.jsonl.zst": lambda plain: damaged(zstandard.compress(plain)),
    "tail.jsonl.zst": lambda plain: zstandard.compress(plain) + b"tail of another kind",
    "nothing.evtx": lambda plain: plain,
}


def damaged(content: bytes) -> bytes:
    half = len(content) // 2
    return content[:half] + bytes(each ^ 0xFF for each in content[half : half + 64]) + content[half + 64 :]


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_breaks_is_an_error_with_its_name_after_what_came_before(
    rules: list[Path], tmp_path: Path, name: str
) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / name
    good.write_bytes(lines(1, 60))
    bad.write_bytes(BROKEN[name](lines(7)))
    told: list[list[Match]] = []
    for jobs in (1, 2, 3):
        found: list[Match] = []
        with pytest.raises(RuleError) as caught:
            scan(rules, [good, bad, good], found.append, jobs=jobs)
        assert str(bad) in str(caught.value)
        told.append(found)
    assert told[0] == told[1] == told[2]
    assert {match.file for match in told[0]} >= {"good.jsonl"}
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.jsonl.zst", "missing.evtx"])
def test_a_file_that_is_not_there_is_an_error(rules: list[Path], tmp_path: Path, name: str) -> None:
    for jobs in (1, 2):
        with pytest.raises(RuleError, match=name):
            scanned(rules, [tmp_path / name], jobs)


@pytest.mark.usefixtures("small_blocks")
def test_a_killed_process_is_an_error_and_nothing_waits(rules: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    fires = {"Channel": "Security", "EventID": 1, "User": "lan", "Image": "x" * 500}
    path.write_bytes((json.dumps(fires) + "\n").encode() * 5_000)
    engine, reader = Engine(rules), Reader(load_pipelines(["windows"]))
    with closing(block_results(engine, reader, [path], 2)) as results:
        next(results)
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(RuleError, match="has ended"):
            list(results)
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("small_blocks")
def test_a_scan_left_early_leaves_no_process_behind(rules: list[Path], files: list[Path]) -> None:
    engine, reader = Engine(rules), Reader(load_pipelines(["windows"]))
    results = block_results(engine, reader, files, 3)
    next(results)
    assert len(multiprocessing.active_children()) == 3
    results.close()
    assert multiprocessing.active_children() == []
