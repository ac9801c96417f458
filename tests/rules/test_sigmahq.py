"""The engine against SigmaHQ's rules: their own regression cases, and 20,000 real events with the expected pairs.

The test data lies beside the project (``../shared``) and is not part of it.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rules.engine import Engine
from rules.engine.reading import read_events
from rules.engine.scan import Match, scan
from tests.rules.helpers import SHARED, WindowsEvents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGMAHQ = SHARED / "sigmahq"
EVENTS = SHARED / "events"
FOLDERS = [
    SIGMAHQ / name for name in ("rules", "rules-emerging-threats", "rules-threat-hunting", "rules-compliance")
]
CASES = sorted(SIGMAHQ.glob("regression/*/info.yml"))

pytestmark = pytest.mark.skipif(
    not CASES, reason=f"the test data is not beside the project: no {SIGMAHQ}/regression"
)


@cache
def engine() -> Engine:
    return Engine(FOLDERS)


def documents(path: Path) -> Iterator[Any]:
    """JSON documents one after the other, without anything between them."""
    text, at, decoder = path.read_text(encoding="utf-8"), 0, json.JSONDecoder()
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        yield document
        while at < len(text) and text[at].isspace():
            at += 1


def test_all_rules_load_but_the_two_with_placeholders() -> None:
    assert engine().rules_loaded == 3755
    assert {each.id for each in engine().unsupported} == {
        "c4a1f389-2e6b-4d9a-8f0c-b73e5a12d947",
        "8b7e2c54-1f93-4a6d-b8e0-3c9d7f25a168",
    }
    assert all("%known_cdcs%" in each.reason for each in engine().unsupported)


@pytest.mark.parametrize("form", ["evtx", "json"])
@pytest.mark.parametrize("info", CASES, ids=lambda path: path.parent.name)
def test_a_regression_case_of_sigmahq_passes(info: Path, form: str) -> None:
    case = yaml.safe_load(info.read_text(encoding="utf-8"))
    rule = case["rule_metadata"][0]["id"]
    wanted = case["regression_tests_info"][0].get("match_count", 1)
    path = info.parent / f"{rule}.{form}"
    windows = WindowsEvents()
    matched = 0
    for record in read_events(path) if form == "evtx" else documents(path):
        read = windows.read(record, "1")
        assert read is not None
        matched += any(finding.rule_id == rule for finding in engine().process(*read))
    assert matched >= wanted


def test_real_windows_events_fire_exactly_the_expected_rules() -> None:
    expected = {
        ("windows_open.jsonl.zst", pair["event"], pair["rule"])
        for pair in map(json.loads, (EVENTS / "windows_open.expected.jsonl").read_text().splitlines())
    }
    found: list[Match] = []
    stats = scan(FOLDERS, [EVENTS / "windows_open.jsonl.zst"], found.append)
    assert set(found) == expected
    assert len(found) == len(expected)
    assert stats.events == 20_000
    assert stats.unreadable == 0
