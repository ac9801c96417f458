"""Several workers share the work: they come to the same as one, whoever dies, pauses or joins."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from collector.detect.checkpoints import CORRELATE, REMEMBERED, load_count
from collector.detect.patience import Patience
from collector.leases import DEAD_SECONDS, RENEW_SECONDS
from collector.partitions import WHOLE, partition_of
from collector.rulebook import service
from collector.rulebook.service import Author
from collector.settings import Detect, Settings
from collector.state.tables import Alert, Device, Handover, RuleFigures
from tests.collector.detect.test_worker import ANTIVIRUS_OFF, BAD_PROCESS, BURST
from tests.collector.pipeline import NOW, T0, KilledError, Pipeline, add_endpoint, document, event

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("on_both_databases")

#: Failures against one account, from whichever machines.
SPREAD = """
title: Many machines
id: 00000000-0000-4000-8000-000000000006
status: test
level: high
correlation:
  type: value_count
  rules: [failed]
  group-by: [agency.id]
  timespan: 10s
  condition: {gte: 3, field: host.id}
"""
NEW_DEVICE = """
title: New device
id: 00000000-0000-4000-8000-000000000007
status: test
level: low
logsource: {product: vonggac, category: device}
detection: {selection: {device.managed: false}, condition: selection}
vonggac: {subject: [device.mac]}
"""
ENDPOINTS = [f"ep-{number}" for number in range(1, 9)]


def pipeline_of(tmp_path: Path, workers: int, settings: Settings | None = None) -> Pipeline:
    folder = tmp_path / f"with-{workers}"
    folder.mkdir()
    rules = (BAD_PROCESS, ANTIVIRUS_OFF, BURST + "---" + SPREAD, NEW_DEVICE)
    pipeline = Pipeline(folder, *rules, workers=workers, settings=settings)
    for name in ENDPOINTS[1:]:
        add_endpoint(pipeline.state, name, pipeline.agency_id)
    return pipeline


def report(pipeline: Pipeline, seed: int, batches: int = 60) -> None:
    """The same from every endpoint for the same seed: failures around some moments, changes, neighbours."""
    chance = random.Random(seed)
    for number in range(batches):
        endpoint = chance.choice(ENDPOINTS)
        failed = event(T0 + number * 3 + chance.randint(-4, 4), "auth")
        failed["fields"] = {"event.action": "ssh_login_failed"} if chance.random() < 0.6 else {}
        seen = [
            {"mac": f"00:11:22:33:44:{chance.randint(0, 40):02x}", "ip": f"10.0.0.{chance.randint(2, 9)}"}
        ]
        pipeline.batch(
            endpoint_id=endpoint,
            events=[failed, event(T0 + number, Image=chance.choice(["/tmp/evil", "/bin/ls"]))],
            documents=[
                document("antivirus", {"product": "x", "state": chance.choice(["on", "off"])}, "x"),
                document("neighbours", {"entries": seen}),
            ],
        )


def told(pipeline: Pipeline) -> dict[str, Any]:
    """All that people see."""
    with pipeline.state.read() as session:
        alerts = sorted(
            (row.rule_id[-1], row.subject, row.count, row.first_event_at, row.last_event_at, row.cleared_at)
            for row in session.scalars(select(Alert))
        )
        devices = sorted(
            (row.mac, row.ip, row.seen_by, row.last_seen_at) for row in session.scalars(select(Device))
        )
    events = sorted((row.event_id, row.partition, row.endpoint_id, row.body) for row in pipeline.store.events)
    return {"alerts": alerts, "devices": devices, "events": events}


@pytest.mark.parametrize("seed", [1, 2])
def test_one_two_and_three_workers_come_to_the_same(tmp_path: Path, seed: int) -> None:
    answers = []
    for workers in (1, 2, 3):
        pipeline = pipeline_of(tmp_path, workers, Settings(detect=Detect(batch_rows=7)))
        chance = random.Random(workers)
        for part in range(3):
            report(pipeline, seed * 10 + part, 20)
            while any(pipeline.log.waiting(worker.positions) for worker in pipeline.workers):
                # Whoever comes first; and what is handed over is taken in between.
                for worker in chance.sample(pipeline.workers, len(pipeline.workers)):
                    if chance.random() < 0.6:
                        worker.step_rows()
                if chance.random() < 0.5:
                    pipeline.correlator.step_rows()
            pipeline.work()
        answers.append(told(pipeline))
        assert len({row.event_id for row in pipeline.store.events}) == len(pipeline.store.events)
    assert {alert[0] for alert in answers[0]["alerts"]} >= {"1", "4", "6", "7"}
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


def test_correlations_wait_for_the_worker_that_is_behind(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, 2)
    ahead, behind = pipeline.workers
    slow = next(each for each in ENDPOINTS if partition_of(each) in behind.positions)
    quick = next(each for each in ENDPOINTS if partition_of(each) in ahead.positions)
    failed = {**event(T0, "auth"), "fields": {"event.action": "ssh_login_failed"}}
    pipeline.batch(endpoint_id=slow, events=[failed])
    pipeline.batch(endpoint_id=quick, events=[failed])
    ahead.step_rows()
    assert pipeline.correlator.step_rows() == 0
    behind.step_rows()
    assert pipeline.correlator.step_rows() == 2


def test_a_dead_workers_partitions_move_and_a_joining_one_takes_its_share(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, 2)
    first, second = pipeline.workers
    assert (len(first.positions), len(second.positions)) == (16, 16)
    report(pipeline, 5)
    first.step_rows()
    pipeline.monotonic.seconds += DEAD_SECONDS / 2
    first.hold()
    assert len(first.positions) == 16
    waited = 0.0
    while len(first.positions) < 32:
        pipeline.monotonic.seconds += RENEW_SECONDS
        waited += RENEW_SECONDS
        first.hold()
    assert DEAD_SECONDS - RENEW_SECONDS <= waited <= 15
    pipeline.workers = [first]
    pipeline.work()
    pipeline.workers.append(pipeline.new_worker("detect-3"))
    pipeline.share_out()
    assert [len(worker.positions) for worker in pipeline.workers] == [16, 16]
    assert first.positions.keys().isdisjoint(pipeline.workers[1].positions)
    report(pipeline, 6)
    pipeline.work()
    assert len(pipeline.store.of("process_creation")) == 120


def test_a_worker_that_was_paused_is_refused_by_both_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(tmp_path, 1)
    report(pipeline, 7)
    paused, insert = pipeline.worker, pipeline.store.insert_events
    other = pipeline.new_worker("detect-2")

    def taken_over_meanwhile(rows: Any, epochs: Any) -> None:
        monkeypatch.undo()
        for _ in range(12):
            pipeline.monotonic.seconds += RENEW_SECONDS
            other.hold()
        assert len(other.positions) == 32
        insert(rows, epochs)

    monkeypatch.setattr(pipeline.store, "insert_events", taken_over_meanwhile)
    assert paused.step_rows() == 0
    assert paused.positions == {}
    assert pipeline.store.events == []
    pipeline.workers = [other]
    pipeline.work()
    events, alerts = len(pipeline.store.events), told(pipeline)["alerts"]
    pipeline.workers = [other, paused]
    pipeline.share_out()
    pipeline.work()
    assert (len(pipeline.store.events), told(pipeline)["alerts"]) == (events, alerts)


def test_a_step_whose_lease_goes_before_the_commit_is_undone_by_the_next_owner(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, 1)
    report(pipeline, 8)
    paused, commit = pipeline.worker, pipeline.worker._stepper._commit
    other = pipeline.new_worker("detect-2")

    def taken_over_meanwhile(*given: Any) -> None:
        for _ in range(12):
            pipeline.monotonic.seconds += RENEW_SECONDS
            other.hold()
        commit(*given)

    paused._stepper._commit = taken_over_meanwhile  # type: ignore[assignment,method-assign] # for this once
    assert paused.step_rows() == 0
    assert pipeline.store.events == []
    pipeline.workers = [other]
    pipeline.work()
    assert len(pipeline.store.of("process_creation")) == 60


def test_a_limit_an_hour_is_over_all_workers(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, 3)
    rule = "00000000-0000-4000-8000-000000000001"
    with pipeline.state.write() as session:
        service.throttle(session, pipeline.worker._rules.book, rule, 5, Author("lan", NOW, "because"))
    pipeline.look_at_rules()
    for endpoint in ENDPOINTS * 2:
        pipeline.batch(endpoint_id=endpoint, events=[event(Image="/tmp/evil")])
    pipeline.work()
    assert sum(count for number, _, count, *_ in told(pipeline)["alerts"] if number == "1") == 5
    pipeline.turn()
    with pipeline.state.read() as session:
        figures = session.get_one(RuleFigures, rule)
        assert (figures.matches, figures.throttled, figures.offered) == (16, 11, 16)


def test_a_change_of_rules_counts_as_taken_when_the_last_worker_has_it(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, 2)
    with pipeline.state.write() as session:
        service.disable(
            session,
            pipeline.worker._rules.book,
            "00000000-0000-4000-8000-000000000001",
            Author("lan", NOW, "because"),
        )

    def taken() -> bool:
        pipeline.correlator.look_at_rules()
        with pipeline.state.read() as session:
            found = service.latest_change(session)
            return found is not None and found.applied_at is not None

    pipeline.workers[0].look_at_rules()
    assert not taken()
    pipeline.workers[1].look_at_rules()
    assert taken()


def test_silence_of_every_endpoint_is_told_once_by_whoever_holds_its_partition(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, 3)
    for endpoint in ENDPOINTS:
        pipeline.heartbeat(endpoint_id=endpoint)
    pipeline.work()
    for seconds in (1000, 1010):
        pipeline.clock.seconds = T0 + seconds
        pipeline.turn()
    assert sorted(fields["host"]["id"] for fields in pipeline.store.of("silence")) == ENDPOINTS


def test_a_standby_takes_over_the_correlations_where_another_machine_left_them(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, 1)
    failed = {**event(T0, "auth"), "fields": {"event.action": "ssh_login_failed"}}
    pipeline.batch(events=[failed])
    pipeline.batch(events=[failed])
    pipeline.work()
    pipeline.correlator.memory.save(at_once=True)
    pipeline.batch(endpoint_id="ep-2", events=[event(T0)])
    report(pipeline, 9, 1)
    pipeline.work()  # what the snapshot covers is forgotten
    pipeline.memory = tmp_path / "of another machine"
    standby = pipeline.new_correlator("another")
    assert not standby.hold()
    while not standby.hold():
        pipeline.monotonic.seconds += RENEW_SECONDS
    lost, pipeline.correlator = pipeline.correlator, standby
    before = dict(pipeline.store.epochs)
    pipeline.batch(events=[failed])
    pipeline.work()
    assert ("4", 1) in [(alert[0], alert[2]) for alert in told(pipeline)["alerts"] if alert[1] == "host-ep-1"]
    report(pipeline, 11, 3)
    for worker in pipeline.workers:
        worker.step_rows()
    lost._epoch = before[WHOLE] - 1  # as if it had been paused since before
    assert lost._step_or_wait() == 0
    assert lost._epoch == 0


def test_handovers_stay_until_a_snapshot_covers_them_and_go_then(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, 1)

    def left() -> int:
        with pipeline.state.read() as session:
            return len(session.scalars(select(Handover)).all())

    report(pipeline, 3, 20)
    pipeline.work()
    assert left() > 0
    pipeline.correlator.memory.save(at_once=True)
    report(pipeline, 4, 1)
    pipeline.work()
    assert left() <= 2
    with pipeline.state.read() as session:
        assert load_count(session, REMEMBERED) == load_count(session, CORRELATE) - 1


@pytest.mark.parametrize("where", ["before", "after"])
def test_correlate_killed_around_its_commit_takes_every_handover_once(tmp_path: Path, where: str) -> None:
    pipeline = pipeline_of(tmp_path, 2)
    report(pipeline, 21)
    while sum(worker.step_rows() for worker in pipeline.workers):
        pass
    commit = pipeline.correlator._commit

    def crash(*given: Any) -> None:
        if where == "after":
            commit(*given)
        raise KilledError

    pipeline.correlator._commit = crash  # type: ignore[assignment,method-assign] # it dies
    with pytest.raises(KilledError):
        pipeline.correlator.step_rows()
    pipeline.restart()
    pipeline.work()
    (tmp_path / "again").mkdir()
    undisturbed = pipeline_of(tmp_path / "again", 1)
    report(undisturbed, 21)
    undisturbed.work()
    assert told(pipeline) == told(undisturbed)


def test_leases_are_renewed_while_a_store_is_away(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, 1)
    leases = pipeline.leases("one", ["x"], "g")
    other = pipeline.leases("two", ["x"], "g")
    leases.tick()
    calls = []

    def write() -> int:
        pipeline.monotonic.seconds += RENEW_SECONDS
        calls.append(other.tick())
        if len(calls) < 20:
            pipeline.store.fail = 1
        return pipeline.store.rewind({}, {})

    assert Patience(pipeline.stop, leases)(write) == 0
    assert not any(calls)
    assert leases.epochs.keys() == {"x"}
