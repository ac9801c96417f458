"""``vonggac sigma`` and ``vonggac targets`` as a user calls them."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
import zstandard
from click.testing import CliRunner, Result

from soc_api.cli import main
from tests.rules.helpers import rule, rule_id

if TYPE_CHECKING:
    from pathlib import Path

LINES = (
    b'{"Channel": "Security", "EventID": 4624, "User": "lan"}\n'
    b"\n"
    b"this is no JSON\n"
    b'{"Channel": "Security", "EventID": 4624, "User": "\\ud800minh"}\n'
    b'{"other": 1}\n'
)


def vonggac(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    for number, user in ((1, "lan"), (2, "minh")):
        text = rule(
            f"s: {{User|contains: {user}}}\ncondition: s", number=number, logsource="{product: windows}"
        )
        (folder / f"{user}.yml").write_text(text, encoding="utf-8")
    (folder / "broken.yml").write_text("title: [", encoding="utf-8")
    return folder


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_scan_writes_each_match_with_file_index_and_rule(rules: Path, tmp_path: Path, suffix: str) -> None:
    events = tmp_path / f"day{suffix}"
    packed = {
        ".jsonl": LINES,
        ".jsonl.gz": gzip.compress(LINES),
        ".jsonl.zst": zstandard.ZstdCompressor().compress(LINES),
    }
    events.write_bytes(packed[suffix])
    output, stats = tmp_path / "matches.jsonl", tmp_path / "stats.json"
    done = vonggac(
        "sigma", "scan", "--rules", rules, "--events", events, "--output", output, "--stats", stats
    )
    assert done.exit_code == 0, done.output
    assert [json.loads(line) for line in output.read_text().splitlines()] == [
        {"file": events.name, "event": 0, "rule": rule_id(1)},
        {"file": events.name, "event": 2, "rule": rule_id(2)},
    ]
    figures = json.loads(stats.read_text())
    assert figures["events"] == 4
    assert figures["unreadable"] == 1
    assert figures["rules_loaded"] == 2
    assert [each["id"] for each in figures["rules_unsupported"]] == ["broken.yml"]
    assert {"seconds", "events_per_second", "compile_seconds", "peak_rss_mb"} <= figures.keys()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("day.txt", b"x"),
        ("day.jsonl.gz", b"no gzip"),
        ("day.jsonl.zst", b"no zstd"),
        ("day.evtx", b"no evtx"),
    ],
)
def test_scan_says_in_one_line_what_is_wrong_with_a_file(
    rules: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    events = tmp_path / name
    events.write_bytes(content)
    done = vonggac("sigma", "scan", "--rules", rules, "--events", events, "--output", tmp_path / "out")
    assert done.exit_code == 1
    assert str(events) in done.output
    assert "Traceback" not in done.output


def test_a_gzip_file_cut_short_is_an_error_and_not_an_end(rules: Path, tmp_path: Path) -> None:
    events = tmp_path / "day.jsonl.gz"
    events.write_bytes(gzip.compress(LINES * 1000)[:-20])
    done = vonggac("sigma", "scan", "--rules", rules, "--events", events, "--output", tmp_path / "out")
    assert done.exit_code == 1


def test_check_names_file_and_reason_and_exits_1(rules: Path) -> None:
    done = vonggac("sigma", "check", rules, "--json")
    assert done.exit_code == 1
    errors = [each for each in json.loads(done.stdout) if each["severity"] == "error"]
    assert [each["path"] for each in errors] == [str(rules / "broken.yml")]


def test_check_of_our_own_rules_finds_nothing() -> None:
    done = vonggac("sigma", "check", "--strict")
    assert done.exit_code == 0, done.output


def test_test_tells_of_evidence_that_does_not_hold(tmp_path: Path) -> None:
    path = tmp_path / "execution_example.yml"
    path.write_text(rule("s: {a: x}\ncondition: s"), encoding="utf-8")
    path.with_suffix(".evidence.yml").write_text(
        "fires:\n  - {why: it is y, events: [{a: y}]}\nnear_misses:\n  - {why: it is x, events: [{a: x}]}\n"
    )
    done = vonggac("sigma", "test", tmp_path, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)[0]["faults"] == ["does not fire: it is y", "fires: it is x"]


def test_targets_are_listed_with_the_rules_that_serve_them() -> None:
    done = vonggac("targets", "list", "--document", "TB112", "--json")
    assert done.exit_code == 0, done.output
    listed = {each["id"]: each for each in json.loads(done.stdout)}
    assert len(listed) == 22
    assert listed["TB112-01"]["rules"]
    assert listed["TB112-01"]["document"]["date"] == "2019-10-31"
    assert "TB112-01" in vonggac("targets", "list").stdout
    assert vonggac("targets", "check").exit_code == 0
