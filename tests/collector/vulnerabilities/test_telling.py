"""What is told of a machine's exploited vulnerabilities is an event like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from collector.detect.values import moment
from collector.state.tables import IdentityNote
from tests.collector.pipeline import T0, Pipeline

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("on_both_databases")


def test_a_note_becomes_one_event_of_its_category_and_is_gone(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.batch(documents=[{"kind": "host", "observed_at": T0, "body": {"name": "pc-01"}}])
    pipeline.work()
    body = {"id": ["CVE-2026-1001"], "severity": "critical", "exploited_count": 1, "fixable_count": 1}
    with pipeline.state.write() as session:
        note = IdentityNote(
            endpoint_id="ep-1", category="vulnerability", action="found", body=body, made_at=moment(T0)
        )
        session.add(note)
    pipeline.worker.step_clock()
    pipeline.worker.step_clock()
    (event,) = pipeline.store.of("vulnerability")
    assert event["event"]["action"] == "found"
    assert event["vulnerability"] == body
    assert event["host"]["id"] == "ep-1"
    with pipeline.state.read() as session:
        assert session.scalars(select(IdentityNote)).all() == []
