"""The examples of docs/logsources.md are run as they stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rules.engine import Engine, Event
from rules.engine.processing import parse
from rules.logsources import Reader, find_pipeline, seconds_of, shipped
from rules.logsources.pipelines import KEYS, parse_pipeline
from rules.logsources.preparing import STEP_KEYS
from tests.rules.helpers import rule

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "logsources.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(yaml|json)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(_, EVENT), (_, DEVICE), (_, RULE), (_, PROCESSING) = BLOCKS


def test_the_new_device_meets_the_rule_by_the_file_shown() -> None:
    found = Reader([parse_pipeline(DEVICE)]).read(json.loads(EVENT))
    assert found is not None
    engine = Engine([RULE])
    assert engine.unsupported == []
    event = Event("1", seconds_of(found.time), found.sources.product, "", "", found.fields)
    assert [finding.rule_id for finding in engine.process(event, found.sources)] == [
        "5c3c0a52-6d1f-4a55-9a44-0c7a3d1e8f10"
    ]
    assert Reader([parse_pipeline(DEVICE)]).read({"message": "Dial-up"}) is None


def test_the_placeholders_get_the_values_shown() -> None:
    engine = Engine([rule("s: {User|expand: '%admins%'}\ncondition: s")], pipelines=[parse(PROCESSING)])
    assert engine.unsupported == []
    assert engine.process(Event("1", 0.0, "", "test", "", {"user": {"name": "svc_backup"}}))


def test_every_key_of_the_form_and_every_step_is_described() -> None:
    form = PAGE[PAGE.index("## The form") : PAGE.index("## A new device")]
    for key in KEYS:
        assert f"| `{key}` |" in form
    for key in STEP_KEYS:
        assert re.search(rf"[{{,`] ?{key}: ", form), key


def test_every_shipped_pipeline_stands_in_the_table() -> None:
    for each in shipped():
        assert f"| `{each.name}` |" in PAGE


def test_every_category_of_the_collectors_own_events_is_known_in_files() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
    own, _, probe = page.partition("## Events of the probe")
    (kinds,) = re.findall(r"One category for each kind of document: ([^.]*)\.", own)
    noticed = re.findall(r"^\| `([a-z_]+)` \| `", own, re.MULTILINE)
    assert {*re.findall(r"`([a-z_]+)`", kinds), *noticed} == set(find_pipeline("vonggac").categories)
    seen = re.findall(r"^\| `([a-z_]+)` \| ", probe, re.MULTILINE)
    assert set(seen) == set(find_pipeline("probe").categories)
