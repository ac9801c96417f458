"""Agents' events in the worker: they gain log sources and names, and nobody's words stand in for the collector's."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from collector.detect.logsources import pipelines
from collector.settings import Detect, Settings
from rules.engine.routing import sources_of
from rules.logsources import Reader, find_pipeline, shipped
from tests.collector.detect.test_worker import alerts
from tests.collector.pipeline import Pipeline, document

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RULE = """
title: {title}
id: 00000000-0000-4000-8000-00000000000{number}
name: rule{number}
status: test
level: high
logsource: {{{source}}}
detection: {{selection: {{{detection}}}, condition: selection}}
"""
PROCESS = RULE.format(
    title="Program",
    number=1,
    source="product: windows, category: process_creation",
    detection="Image|endswith: cmd.exe",
)
SSHD = RULE.format(
    title="sshd", number=2, source="product: linux, service: sshd", detection="Message|contains: bad"
)
TWICE = """
title: Twice
id: 00000000-0000-4000-8000-000000000003
status: test
level: high
correlation: {type: event_count, rules: [rule1], group-by: [Image], timespan: 1h, condition: {gte: 2}}
"""
BOX = """
name: box
description: {en: Boxes, vi: Hộp}
product: box
where: {text: {present: true}}
prepare:
  - {read: text, pattern: 'open (?P<Image>\\S+)'}
categories:
  process_creation: {}
"""
BOX_RULE = RULE.format(
    title="Box", number=4, source="product: box, category: process_creation", detection="Image: door"
)


def sight(pipeline: Pipeline, logsource: dict[str, str], **fields: Any) -> None:
    pipeline.batch(events=[{"time": pipeline.clock.seconds, "logsource": logsource, "fields": fields}])
    pipeline.work()


def test_a_windows_event_of_an_agent_meets_the_rules_of_its_category_under_its_own_names(
    tmp_path: Path,
) -> None:
    pipeline = Pipeline(tmp_path, PROCESS)
    sight(pipeline, {"product": "windows"}, Channel="Security", EventID=4688, NewProcessName="C:\\cmd.exe")
    sight(pipeline, {"product": "windows"}, Channel="Security", EventID=4689, NewProcessName="C:\\cmd.exe")
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]


def test_what_a_pipeline_adds_is_stored_and_the_message_meets_the_services_rules(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, SSHD)
    source = {"product": "linux", "service": "auth"}
    sight(pipeline, source, Process="sshd", Message="fatal: bad string")
    sight(pipeline, source, Process="su", Message="fatal: bad string")
    assert alerts(pipeline) == [("2", "host-ep-1", 1)]
    assert [json.loads(row.body)["program"] for row in pipeline.store.events] == ["sshd", "su"]
    assert {(row.product, row.service) for row in pipeline.store.events} == {("linux", "auth")}


def test_a_correlation_over_renamed_fields_goes_on_after_a_crash(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, PROCESS, TWICE)
    for _ in range(2):
        sight(
            pipeline, {"product": "windows"}, Channel="Security", EventID=4688, NewProcessName="C:\\cmd.exe"
        )
        pipeline.restart()
    assert [rule for rule, _, _ in alerts(pipeline)] == ["3"]


def test_an_agent_cannot_give_itself_another_host_by_a_pipelines_steps(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, PROCESS)
    sight(
        pipeline,
        {"product": "windows"},
        winlog={"channel": "Security", "event_id": 4688,
                "event_data": {"NewProcessName": "C:\\cmd.exe", "host.name": "other", "host": {"name": "other"}}},
    )  # fmt: skip
    body = json.loads(pipeline.store.events[0].body)
    assert body["NewProcessName"] == "C:\\cmd.exe"
    assert "host.name" not in body
    assert body["host"]["name"] == "host-ep-1"


def test_events_of_the_collectors_own_are_known_again_in_files_by_what_they_hold(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, PROCESS)
    for documents in (
        [document("host", {"name": "a", "os": {"name": "debian"}})],
        [document("host", {"name": "b", "os": {"name": "debian"}})],
        [document("antivirus", {"product": "clamav", "state": "on"}, "clamav")],
        [document("firewall", {"state": "off"}), document("updates", {"pending": 3})],
        [document("storage", {"used_percent": 99.0}, "/")],
        [document("lan", {"gateway": {"ip": "192.0.2.1", "mac": "02:00:00:00:00:01"}})],
        [document("software", {"packages": []})],
    ):
        pipeline.batch(documents=documents)
        pipeline.work()
    pipeline.heartbeat(skew=500.0)
    pipeline.work()
    pipeline.clock.seconds += 4000.0
    pipeline.turn()
    reader = Reader([find_pipeline("vonggac")])
    seen = {row.category for row in pipeline.store.events}
    assert seen >= {
        "host",
        "antivirus",
        "firewall",
        "updates",
        "storage",
        "lan",
        "software",
        "protection",
        "silence",
    }
    for row in pipeline.store.events:
        found = reader.read(json.loads(row.body))
        assert found is not None
        assert found.sources == sources_of("vonggac", row.category, "")


def test_pipelines_of_the_settings_are_added_and_a_broken_one_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "box.yml").write_text(BOX, encoding="utf-8")
    (tmp_path / "broken.yml").write_text(BOX + "when: {}\n", encoding="utf-8")
    files = [str(tmp_path / "broken.yml"), str(tmp_path / "box.yml")]
    with caplog.at_level(logging.ERROR):
        pipeline = Pipeline(tmp_path, BOX_RULE, settings=Settings(detect=Detect(pipelines=files)))
    assert "a pipeline cannot be used: see [detect] pipelines" in caplog.messages
    sight(pipeline, {"product": "box"}, text="open door")
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]


def test_a_pipeline_of_the_settings_stands_in_place_of_a_shipped_one_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "own.yml"
    path.write_text(BOX.replace("name: box", "name: dns"), encoding="utf-8")
    found = {each.name: each for each in pipelines([str(path)])}
    assert found.keys() == {each.name for each in shipped()}
    assert found["dns"].product == "box"
