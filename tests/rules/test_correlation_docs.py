"""The examples of docs/correlations.md fire where the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rules.engine import Engine, Event

PAGE = Path(__file__).resolve().parents[2] / "docs" / "correlations.md"
BLOCKS = re.findall(
    r"^```(yaml|jsonl)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
BASE = BLOCKS[0][1]
EXAMPLES = [
    (text, BLOCKS[at + 1][1])
    for at, (kind, text) in enumerate(BLOCKS[:-1])
    if kind == "yaml" and BLOCKS[at + 1][0] == "jsonl"
]


def test_every_correlation_of_the_page_has_events() -> None:
    assert len(EXAMPLES) == sum("correlation:" in text for _, text in BLOCKS)
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize(
    ("rules", "events"), EXAMPLES, ids=[re.findall("title: (.*)", r)[-1] for r, _ in EXAMPLES]
)
def test_an_example_fires_where_the_page_says(rules: str, events: str) -> None:
    engine = Engine([BASE, rules])
    assert engine.unsupported == []
    for number, line in enumerate(events.splitlines()):
        fields = json.loads(line)
        at, fires = fields.pop("at"), fields.pop("fires", False)
        found = engine.process(Event(str(number), float(at), "", "authentication", "", fields))
        assert bool(found) is fires, line
