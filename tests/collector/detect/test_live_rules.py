"""Rules that change while events flow: between two steps, all or nothing, and nobody else's state is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from collector.detect.rulebook import LiveRules
from collector.rulebook import service
from collector.rulebook.service import Author
from collector.rulebook.sources import Rulebook
from collector.settings import Detect, Settings
from collector.state.tables import RuleChange, RuleFigures, WorkerFigures
from tests.collector.detect.test_worker import BAD_PROCESS, BURST, alerts
from tests.collector.pipeline import NOW, T0, Pipeline, event

if TYPE_CHECKING:
    from pathlib import Path

BAD, FAILED, ANY_BURST = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 3, 4))
NEW = BAD_PROCESS.replace("000000000001", "000000000005").replace("/evil", "/worse")
BROKEN = NEW.replace("condition: selection", "condition: selektion")
BY = Author("lan", NOW, "because")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path, BAD_PROCESS, BURST)


def write(pipeline: Pipeline, text: str, rule_id: str, based_on: int | None = None) -> None:
    with pipeline.state.write() as session:
        service.write_revision(session, book(pipeline), rule_id, text, BY, based_on=based_on)


def book(pipeline: Pipeline) -> Any:
    return pipeline.worker._rules.book


def last_change(pipeline: Pipeline) -> RuleChange:
    with pipeline.state.read() as session:
        found = service.latest_change(session)
        assert found is not None
        return found


def sight(pipeline: Pipeline, *images: str) -> None:
    pipeline.batch(events=[event(pipeline.clock.seconds, Image=image) for image in images])
    pipeline.work()


def failures(pipeline: Pipeline, count: int) -> None:
    for _ in range(count):
        failed = event(pipeline.clock.seconds, "auth")
        failed["fields"] = {"event.action": "ssh_login_failed"}
        pipeline.batch(events=[failed])
    pipeline.work()


def test_a_new_rule_runs_from_the_next_step_on_and_its_alert_has_its_level(pipeline: Pipeline) -> None:
    sight(pipeline, "/tmp/worse")
    write(pipeline, NEW.replace("level: high", "level: critical"), NEW_ID)
    assert pipeline.look_at_rules()
    assert last_change(pipeline).applied_at is not None
    sight(pipeline, "/tmp/worse", "/tmp/evil")
    assert sorted(alerts(pipeline)) == [("1", "host-ep-1", 1), ("5", "host-ep-1", 1)]
    assert pipeline.worker._rules.catalogue[NEW_ID].level == "critical"
    assert not pipeline.look_at_rules()


def test_correlations_that_a_change_does_not_touch_go_on_counting(pipeline: Pipeline) -> None:
    failures(pipeline, 2)
    write(pipeline, NEW, NEW_ID)
    assert pipeline.look_at_rules()
    failures(pipeline, 1)
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]


def test_a_changed_shipped_rule_runs_with_its_new_text_and_goes_back(pipeline: Pipeline) -> None:
    write(pipeline, BAD_PROCESS.replace("/evil", "/bad"), BAD, based_on=0)
    pipeline.look_at_rules()
    sight(pipeline, "/tmp/evil")
    assert alerts(pipeline) == []
    sight(pipeline, "/tmp/bad")
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    with pipeline.state.write() as session:
        service.revert(session, book(pipeline), BAD, 0, BY)
    pipeline.look_at_rules()
    sight(pipeline, "/tmp/evil", "/tmp/bad")
    assert alerts(pipeline) == [("1", "host-ep-1", 2)]


def test_a_disabled_rule_is_silent_until_it_is_enabled_also_over_a_restart(pipeline: Pipeline) -> None:
    with pipeline.state.write() as session:
        service.disable(session, book(pipeline), BAD, BY)
    pipeline.look_at_rules()
    sight(pipeline, "/tmp/evil")
    pipeline.restart()
    sight(pipeline, "/tmp/evil")
    assert alerts(pipeline) == []
    assert pipeline.worker._rules.catalogue[BAD].title["en"] == "Bad process"
    with pipeline.state.write() as session:
        service.enable(session, book(pipeline), BAD, BY)
    pipeline.look_at_rules()
    sight(pipeline, "/tmp/evil")
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]


def test_a_text_that_the_engine_refuses_is_said_with_its_line_and_the_old_one_runs(
    pipeline: Pipeline,
) -> None:
    write(pipeline, BROKEN.replace("000000000005", "000000000001"), BAD, based_on=0)
    write(pipeline, NEW, NEW_ID)
    pipeline.look_at_rules()
    sight(pipeline, "/tmp/evil", "/tmp/worse")
    assert sorted(alerts(pipeline)) == [("1", "host-ep-1", 1), ("5", "host-ep-1", 1)]
    with pipeline.state.read() as session:
        refused, taken = session.scalars(select(RuleChange).order_by(RuleChange.id)).all()
    assert "selektion" in refused.refused
    assert refused.refused_line == 7
    assert (refused.applied_at, taken.applied_at) != (None, None)
    assert taken.refused == ""
    assert not pipeline.look_at_rules()
    pipeline.turn()
    with pipeline.state.read() as session:
        assert "selektion" in session.get_one(RuleFigures, BAD).refused


def test_a_refused_text_that_is_corrected_runs_and_is_no_longer_refused(pipeline: Pipeline) -> None:
    write(pipeline, BROKEN, NEW_ID)
    pipeline.look_at_rules()
    assert NEW_ID in pipeline.worker._rules.refused
    write(pipeline, NEW, NEW_ID, based_on=1)
    pipeline.look_at_rules()
    sight(pipeline, "/tmp/worse")
    assert alerts(pipeline) == [("5", "host-ep-1", 1)]
    assert pipeline.worker._rules.refused == {}


def test_a_rule_and_a_correlation_over_it_come_in_one_change_in_either_order(pipeline: Pipeline) -> None:
    correlation = BURST.split("---")[1].replace("000000000004", "000000000006").replace("failed]", "fresh]")
    write(pipeline, correlation, "00000000-0000-4000-8000-000000000006")
    write(pipeline, NEW.replace("status: test", "name: fresh\nstatus: test"), NEW_ID)
    write(pipeline, BROKEN.replace("000000000005", "000000000007"), "00000000-0000-4000-8000-000000000007")
    pipeline.look_at_rules()
    assert set(pipeline.worker._rules.refused) == {"00000000-0000-4000-8000-000000000007"}
    sight(pipeline, "/tmp/worse", "/tmp/worse", "/tmp/worse")
    assert alerts(pipeline) == [("6", "host-ep-1", 1)]


def test_a_correlation_that_lost_its_rules_name_is_said_and_runs_again_when_it_is_back(
    pipeline: Pipeline,
) -> None:
    failed = BURST.split("---")[0]
    write(pipeline, failed.replace("name: failed\n", "name: renamed\n"), FAILED, based_on=0)
    pipeline.look_at_rules()
    assert set(pipeline.worker._rules.refused) == {ANY_BURST}
    pipeline.turn()
    with pipeline.state.read() as session:
        assert "failed" in session.get_one(RuleFigures, ANY_BURST).refused
    with pipeline.state.write() as session:
        service.revert(session, book(pipeline), FAILED, 0, BY)
    pipeline.look_at_rules()
    assert pipeline.worker._rules.refused == {}
    failures(pipeline, 3)
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]


def test_a_throttled_rule_speaks_no_more_than_allowed_and_what_is_held_back_is_counted(
    pipeline: Pipeline,
) -> None:
    with pipeline.state.write() as session:
        service.throttle(session, book(pipeline), BAD, 2, BY)
    pipeline.look_at_rules()
    sight(pipeline, *["/tmp/evil"] * 5)
    assert alerts(pipeline) == [("1", "host-ep-1", 2)]
    pipeline.turn()
    with pipeline.state.read() as session:
        figures = session.get_one(RuleFigures, BAD)
        assert (figures.offered, figures.matches, figures.throttled) == (5, 5, 3)
        assert figures.last_match_at == NOW
        assert session.get_one(WorkerFigures, "detect-1").figures["rules_loaded"] == 3


def test_figures_are_summed_over_restarts_and_warming_up_counts_nothing(pipeline: Pipeline) -> None:
    failures(pipeline, 2)
    pipeline.turn()
    pipeline.memory.unlink(missing_ok=True)
    pipeline.clock.seconds += 40
    pipeline.restart()
    pipeline.turn()
    failures(pipeline, 1)
    pipeline.clock.seconds += 40
    pipeline.turn()
    with pipeline.state.read() as session:
        assert session.get_one(RuleFigures, FAILED).matches == 3
        burst = session.get_one(RuleFigures, ANY_BURST)
        assert burst.matches == 1
        assert burst.last_match_at is not None
    assert alerts(pipeline) == [("4", "host-ep-1", 1)]


def test_a_noisy_rule_makes_an_event_once_and_another_when_it_is_quiet_again(tmp_path: Path) -> None:
    settings = Settings(detect=Detect(noisy_rule_findings=3))
    pipeline = Pipeline(tmp_path, BAD_PROCESS, settings=settings)
    sight(pipeline, *["/tmp/evil"] * 5)
    for _ in range(3):
        pipeline.turn()
        pipeline.clock.seconds += 40
    (told,) = pipeline.store.of("rule_health")
    assert told["rule"]["id"] == BAD
    assert told["rule"]["state"] == "noisy"
    assert told["rule"]["findings_an_hour"] == 5
    assert told["previous"] == {"rule": {"state": "ok"}}
    with pipeline.state.read() as session:
        assert session.get_one(RuleFigures, BAD).state == "noisy"
    pipeline.clock.seconds += 3600
    pipeline.turn()
    assert [each["rule"]["state"] for each in pipeline.store.of("rule_health")] == ["noisy", "ok"]


def test_a_slow_rule_is_called_slow_by_its_average_over_many_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(tmp_path, BAD_PROCESS)
    from rules.engine.statistics import RuleStatistics

    counted = {BAD: RuleStatistics(2000, 2000, 1, 0, 2000 * 300e-6, T0)}
    monkeypatch.setattr(pipeline.worker._rules.engine, "statistics", lambda: counted)
    pipeline.turn()
    (told,) = pipeline.store.of("rule_health")
    assert told["rule"]["state"] == "slow"
    assert told["rule"]["microseconds_an_event"] == pytest.approx(300)


NEW_ID = "00000000-0000-4000-8000-000000000005"


def reload(pipeline: Pipeline) -> None:
    with pipeline.state.write() as session:
        service.note(session, "", "reload", "lan", NOW)
    assert pipeline.look_at_rules()


def test_rules_of_a_file_that_breaks_run_on_and_are_refused_until_it_is_corrected(pipeline: Pipeline) -> None:
    path = next(each for each in pipeline.rules.iterdir() if BAD in each.read_text())
    text = path.read_text()
    path.write_text(text.replace("level: high", "level: [high"))
    reload(pipeline)
    sight(pipeline, "/tmp/evil")
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    assert pipeline.worker._rules.refused[BAD].line > 0
    pipeline.turn()
    with pipeline.state.read() as session:
        assert "cannot be read" in session.get_one(RuleFigures, BAD).refused
    assert not pipeline.look_at_rules()
    path.write_text(text.replace("/evil", "/bad"))
    reload(pipeline)
    assert pipeline.worker._rules.refused == {}
    sight(pipeline, "/tmp/bad", "/tmp/evil")
    assert alerts(pipeline) == [("1", "host-ep-1", 2)]


def test_a_broken_file_at_the_start_stops_nothing_and_its_rules_are_refused(
    tmp_path: Path, pipeline: Pipeline
) -> None:
    cache = tmp_path / "index"
    LiveRules(Rulebook(own=pipeline.rules, cache=cache), pipeline.state)
    path = next(each for each in pipeline.rules.iterdir() if BAD in each.read_text())
    text = path.read_text()
    path.write_text("title: [\n")
    rules = LiveRules(Rulebook(own=pipeline.rules, cache=cache), pipeline.state)
    assert set(rules.refused) == {BAD}
    assert rules.engine.rules_loaded == 2
    path.write_text(text)
    with pipeline.state.write() as session:
        service.note(session, "", "reload", "lan", NOW)
    assert rules.look()
    assert (rules.refused, rules.engine.rules_loaded) == ({}, 3)
