"""One document of checks becomes one event a check that counts as something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from collector.detect.assessment import changes, difference_of, tally
from collector.state.tables import Alert, DocumentChange
from rules.catalogue import OWN_RULES
from tests.collector.pipeline import Pipeline, document

if TYPE_CHECKING:
    from pathlib import Path

RULE = (OWN_RULES / "endpoint" / "posture_security_setting_got_worse.yml").read_text(encoding="utf-8")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path, RULE)


def entry(result: str, importance: str = "high", **more: str) -> dict[str, str]:
    return {"result": result, "importance": importance, **more}


def send(pipeline: Pipeline, **checks: dict[str, str]) -> None:
    body = {"set": "linux", "version": 1, "checks": checks}
    pipeline.batch(documents=[document("assessment", body, item="linux")])
    pipeline.work()


def told(pipeline: Pipeline) -> list[tuple[str, str]]:
    return [
        (fields["event"]["action"], fields["assessment"].get("check", ""))
        for fields in pipeline.store.of("assessment")
    ]


def alerts(pipeline: Pipeline) -> list[tuple[str, bool]]:
    with pipeline.state.read() as session:
        rows = session.scalars(select(Alert).order_by(Alert.id)).all()
        return [(row.subject, row.cleared_at is not None) for row in rows]


def test_the_first_look_is_one_event_and_no_alert_however_much_fails(pipeline: Pipeline) -> None:
    send(
        pipeline, a_check=entry("failed"), b_check=entry("passed"), c_check=entry("unknown", reason="no root")
    )
    assert told(pipeline) == [("first", "")]
    (first,) = pipeline.store.of("assessment")
    assert first["assessment"] == {
        "set": "linux",
        "passed": 1,
        "failed": 1,
        "unknown": 1,
        "not_applicable": 0,
    }
    assert alerts(pipeline) == []


def test_an_important_setting_that_got_worse_is_an_alert_until_it_is_better(pipeline: Pipeline) -> None:
    send(pipeline, root=entry("passed", found="no"), umask=entry("passed", "low"))
    send(pipeline, root=entry("failed", found="yes", wanted="= no"), umask=entry("failed", "low"))
    assert told(pipeline)[1:] == [("worse", "root"), ("worse", "umask")]
    event = pipeline.store.of("assessment")[1]
    assert event["assessment"] == {
        "set": "linux",
        "check": "root",
        "result": "failed",
        "importance": "high",
        "found": "yes",
        "wanted": "= no",
    }
    assert event["previous"]["assessment"] == {"result": "passed"}
    assert [cleared for _, cleared in alerts(pipeline)] == [False]
    send(pipeline, root=entry("failed", found="without-password"), umask=entry("failed", "low"))
    assert len(told(pipeline)) == 3
    assert [cleared for _, cleared in alerts(pipeline)] == [False]
    send(pipeline, root=entry("passed", found="no"), umask=entry("failed", "low"))
    assert told(pipeline)[-1] == ("better", "root")
    assert [cleared for _, cleared in alerts(pipeline)] == [True]


def test_unknown_neither_clears_an_alert_nor_hides_that_it_got_worse(pipeline: Pipeline) -> None:
    send(pipeline, root=entry("passed"))
    send(pipeline, root=entry("unknown", last="passed", reason="not readable"))
    assert told(pipeline) == [("first", "")]
    send(pipeline, root=entry("failed"))
    assert told(pipeline)[-1] == ("worse", "root")
    send(pipeline, root=entry("unknown", last="failed"))
    send(pipeline, root=entry("failed"))
    assert len(told(pipeline)) == 2
    assert [cleared for _, cleared in alerts(pipeline)] == [False]


def test_a_check_that_came_with_a_new_version_is_no_news(pipeline: Pipeline) -> None:
    send(pipeline, root=entry("passed"))
    send(pipeline, root=entry("passed"), new=entry("failed"), untold=entry("unknown"))
    send(pipeline, root=entry("passed"), new=entry("failed"), untold=entry("failed"))
    assert told(pipeline) == [("first", "")]


def test_the_history_keeps_only_the_checks_that_read_differently(pipeline: Pipeline) -> None:
    send(pipeline, root=entry("passed"), umask=entry("passed", "low", found="027"))
    send(pipeline, root=entry("passed"), umask=entry("passed", "low", found="077"))
    with pipeline.state.read() as session:
        bodies = session.scalars(select(DocumentChange.body).order_by(DocumentChange.id)).all()
    assert bodies[-1] is not None
    assert bodies[-1]["checks"] == {"umask": entry("passed", "low", found="077")}


HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.sampled_from(["passed", "failed", "unknown"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["checks", "set", "result", "last", "importance", "found", "a"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
BODIES = st.dictionaries(st.sampled_from(["checks", "set", "version"]), HOSTILE, max_size=3)


@given(BODIES, BODIES)
def test_whatever_an_agent_says_is_taken(old: dict[str, Any], new: dict[str, Any]) -> None:
    for change in changes(old, new):
        assert change.action in ("worse", "better", "changed")
        assert all(isinstance(value, str) for value in change.fields.values())
    difference_of(old, new)
    assert set(tally(new)) == {"passed", "failed", "unknown", "not_applicable"}
