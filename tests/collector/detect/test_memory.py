"""What correlations remember over a restart: as of the checkpoint exactly, however the worker ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from collector.store.errors import StoreUnavailableError
from tests.collector.detect.test_live_rules import failures
from tests.collector.detect.test_worker import BURST, alerts
from tests.collector.pipeline import Pipeline

if TYPE_CHECKING:
    from pathlib import Path

SILENT_BURST = """
title: Silent
id: 00000000-0000-4000-8000-000000000007
name: silent
status: test
level: low
logsource: {product: vonggac, category: silence}
detection: {selection: {silence.seconds|gte: 900}, condition: selection}
---
title: Silent twice
id: 00000000-0000-4000-8000-000000000008
status: test
level: high
correlation: {type: event_count, rules: [silent], group-by: [host.id], timespan: 1d, condition: {gte: 2}}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path, BURST, SILENT_BURST)


def save(pipeline: Pipeline) -> None:
    pipeline.correlator.memory.save(at_once=True)


def processed(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every event that the correlations of an engine are shown from now on."""
    from rules.engine import Engine

    shown: list[Any] = []
    complete = Engine.complete

    def remember(self: Engine, event: Any, matched: Any) -> Any:
        shown.append(event)
        return complete(self, event, matched)

    monkeypatch.setattr(Engine, "complete", remember)
    return shown


def test_a_stopped_process_goes_on_without_reading_events_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures(pipeline, 2)
    pipeline.stop.set()
    pipeline.correlator.run()
    pipeline.stop.clear()
    shown = processed(pipeline, monkeypatch)
    pipeline.restart()
    assert shown == []
    failures(pipeline, 1)
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]


def test_after_a_crash_only_what_came_since_the_snapshot_is_shown_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures(pipeline, 1)
    save(pipeline)
    failures(pipeline, 1)
    shown = processed(pipeline, monkeypatch)
    pipeline.restart()
    assert len(shown) == 1
    pipeline.restart()
    failures(pipeline, 1)
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]


def test_a_finding_that_was_committed_is_not_made_again_by_what_is_shown_again(pipeline: Pipeline) -> None:
    failures(pipeline, 1)
    save(pipeline)
    failures(pipeline, 2)
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]
    pipeline.restart()
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]
    failures(pipeline, 1)
    assert alerts(pipeline) == [("4", "host-ep-1", 2)]


def silence(pipeline: Pipeline, seconds: float) -> None:
    pipeline.clock.seconds += seconds
    pipeline.worker._silence_from = 0.0
    pipeline.turn()


def test_events_of_the_clock_at_the_checkpoint_are_counted_once_before_and_after_a_snapshot(
    pipeline: Pipeline,
) -> None:
    pipeline.heartbeat()
    pipeline.work()
    silence(pipeline, 1000)
    save(pipeline)
    pipeline.restart()
    assert alerts(pipeline) == []
    silence(pipeline, 3000)
    assert alerts(pipeline) == [("8", "host-ep-1", 1)]
    pipeline.restart()
    pipeline.heartbeat()
    pipeline.work()
    silence(pipeline, 1000)
    assert alerts(pipeline) == [("8", "host-ep-1", 2)]


def test_an_event_of_the_clock_that_was_never_committed_counts_once(pipeline: Pipeline) -> None:
    pipeline.heartbeat()
    pipeline.work()
    save(pipeline)
    with pipeline.crash_before_commit():
        silence(pipeline, 1000)
    pipeline.restart()
    pipeline.worker._silence_from = 0.0
    pipeline.turn()
    assert len(pipeline.store.of("silence")) == 1
    assert alerts(pipeline) == []


@pytest.mark.parametrize("content", [b"", b"x" * 100, None])
def test_without_a_sound_snapshot_the_recent_events_are_shown_again(
    pipeline: Pipeline, content: bytes | None
) -> None:
    failures(pipeline, 2)
    save(pipeline)
    if content is None:
        pipeline.memory.unlink()
    else:
        pipeline.memory.write_bytes(content)
    pipeline.restart()
    failures(pipeline, 1)
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]


def test_a_snapshot_newer_than_a_state_store_that_was_brought_back_does_not_count(
    pipeline: Pipeline,
) -> None:
    failures(pipeline, 2)
    save(pipeline)
    content = pipeline.memory.read_bytes()
    pipeline.correlator.memory.follow(99)
    save(pipeline)
    assert pipeline.memory.read_bytes() != content
    pipeline.restart()
    failures(pipeline, 1)
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]


def test_a_store_that_fails_while_events_are_shown_again_does_not_make_them_count_twice(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures(pipeline, 1)
    monkeypatch.setattr("collector.detect.memory._PAGE", 1)
    query, asked = pipeline.store.query, []

    def flaky(sql: str, parameters: Any = None) -> Any:
        asked.append(sql)
        if len(asked) == 3:  # one event was shown, and the page of the next fails
            raise StoreUnavailableError("away")
        return query(sql, parameters)

    monkeypatch.setattr(pipeline.store, "query", flaky)
    pipeline.restart()
    assert len(asked) > 3
    failures(pipeline, 1)
    assert alerts(pipeline) == []
    failures(pipeline, 1)
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]


def test_a_disk_that_is_full_does_not_stop_the_worker(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("collector.detect.memory.write_file", full)
    failures(pipeline, 2)
    save(pipeline)
    assert "not saved" in caplog.text
    pipeline.restart()
    failures(pipeline, 1)
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]


def test_it_is_saved_no_more_often_than_asked_for(pipeline: Pipeline) -> None:
    failures(pipeline, 1)
    pipeline.correlator.memory.save()
    first = pipeline.memory.stat().st_mtime_ns
    failures(pipeline, 1)
    pipeline.correlator.memory.save()
    assert pipeline.memory.stat().st_mtime_ns == first
