"""Agents' events in the worker: they gain log sources and names, and nobody's words stand in for the collector's."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from collector.detect.logsources import pipelines
from collector.settings import Detect, Settings
from rules.logsources import shipped
from tests.collector.detect.test_worker import alerts
from tests.collector.pipeline import Pipeline

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
