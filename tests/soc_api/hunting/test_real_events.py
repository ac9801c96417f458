"""Hunts over the shared real events find what the live engine is expected to find in them."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import zstandard

from rules.engine.loading import rule_files
from rules.logsources import LogSources, shipped
from soc_api.hunting.models import Question
from soc_api.hunting.service import Hunt
from soc_api.hunting.subject import Subjects
from tests.soc_api.hunting.conftest import START, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = Path(__file__).parents[4] / "shared"
EVENTS = SHARED / "events" / "windows_open.jsonl.zst"
FOLDERS = ("rules", "rules-emerging-threats", "rules-threat-hunting", "rules-compliance")
BEGIN = datetime.fromtimestamp(START, UTC)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """The 20,000 real events as the worker stores them."""
    if not EVENTS.exists():
        pytest.skip("the shared events are not here")
    store = Stored(tmp_path_factory.mktemp("windows"))
    sources = LogSources(shipped())
    with EVENTS.open("rb") as file:
        lines = zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()
    store.put(
        *(sources.read("windows", "", "", msgspec.json.decode(line))[0] for line in lines),
        category="",
        every_seconds=4.0,
    )
    yield store
    store.close()


def rule_texts() -> dict[str, str]:
    texts: dict[str, str] = {}
    for folder in FOLDERS:
        for path in rule_files(SHARED / "sigmahq" / folder):
            text = path.read_text(encoding="utf-8")
            found = re.search(r"^id: ([0-9a-f-]{36})", text, re.MULTILINE)
            if found is not None and "\ncorrelation:" not in text and "|expand" not in text:
                texts[found[1]] = text
    return texts


def test_hunts_with_sigmahq_rules_find_the_expected_pairs_in_real_events(windows: Stored) -> None:
    """300 rules with seed 300: half of those that fire, half of the others. All 3,755 were asked once by hand."""
    expected: dict[str, set[int]] = defaultdict(set)
    for line in (EVENTS.parent / "windows_open.expected.jsonl").read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        expected[pair["rule"]].add(pair["event"])
    texts = rule_texts()
    dice = random.Random(300)
    firing = dice.sample(sorted(texts.keys() & expected.keys()), 150)
    quiet = dice.sample(sorted(texts.keys() - expected.keys()), 150)
    question = Question(BEGIN, BEGIN + timedelta(days=1), limit=1_000)
    for rule_id in firing + quiet:
        answer = Hunt(windows, Subjects().by_text(texts[rule_id]), question).run()
        assert {int(each.event_id) for each in answer.found} == expected.get(rule_id, set()), rule_id
        assert answer.hits == len(answer.found) == sum(day.hits for day in answer.days), rule_id
        assert answer.complete
