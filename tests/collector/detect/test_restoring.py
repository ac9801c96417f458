"""What a damaged part of the event store held is inserted again from the log, once, and nothing else happens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import delete, func, select

from collector.detect import restoring
from collector.leases import RENEW_SECONDS
from collector.log.errors import LogDamagedError
from collector.partitions import partition_of
from collector.settings import Detect, Settings
from collector.state.tables import Alert, Assignment, DeadLetter, Endpoint, Stream
from collector.store.damage import Damage
from collector.store.errors import QueryError, StoreUnavailableError
from tests.collector.detect.test_worker import BAD_PROCESS
from tests.collector.pipeline import NOW, T0, MemoryLog, Pipeline, add_endpoint, event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from collector.log.interface import LogRow
    from collector.store.rows import EventRow

pytestmark = pytest.mark.usefixtures("on_both_databases")

ENDPOINTS = [f"ep-{number}" for number in range(1, 9)]
DAY, MONTH = NOW.strftime("%Y%m%d"), NOW.strftime("%Y%m")
EVENTS = Damage("events-1", "events", DAY, ["broken_1"], 1_000, 0, [])
METRICS = Damage("metrics-1", "metrics", MONTH, ["broken_2"], 1_000, 0, [])


class SlowLog(MemoryLog):
    """As a log on other servers: now and then nothing has arrived yet."""

    reads = 0

    def read(self, positions: Mapping[int, int], limit: int) -> list[LogRow]:
        self.reads += 1
        return super().read(positions, limit) if self.reads % 2 else []

    def first_waiting(self, positions: Mapping[int, int]) -> int | None:
        return min((row.offset for row in super().read(positions, len(self.rows))), default=None)


class DamagedLog(MemoryLog):
    def read(self, positions: Mapping[int, int], limit: int) -> list[LogRow]:
        raise LogDamagedError("a page cannot be read")


@pytest.fixture(autouse=True)
def ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "_ASK_SECONDS", 0.0)


def worked(tmp_path: Path, workers: int = 1, batches: int = 40) -> Pipeline:
    """All is worked on; pieces are of five rows."""
    settings = Settings(detect=Detect(batch_rows=5))
    pipeline = Pipeline(tmp_path, BAD_PROCESS, workers=workers, settings=settings)
    for name in ENDPOINTS[1:]:
        add_endpoint(pipeline.state, name, pipeline.agency_id)
    for number in range(batches):
        pipeline.batch(
            endpoint_id=ENDPOINTS[number % len(ENDPOINTS)],
            events=[event(T0 + number, Image=name) for name in ("/tmp/evil", "/bin/ls")],
            metrics=[{"name": "load.ratio", "time": T0 + number, "value": 0.5, "unit": "ratio"}],
        )
        pipeline.heartbeat(endpoint_id=ENDPOINTS[0])
    pipeline.work()
    return pipeline


def restore(pipeline: Pipeline) -> int:
    """Until nothing is left to do; how many pieces it took."""
    return sum(1 for worker in pipeline.workers for _ in iter(worker.restore, False))


def by_id(events: list[EventRow]) -> list[EventRow]:
    return sorted(events, key=lambda row: (row.event_id, row.log_offset))


def state_of(pipeline: Pipeline) -> tuple[object, ...]:
    with pipeline.state.read() as session:
        return (
            session.scalar(select(func.count()).select_from(Alert)),
            session.scalar(select(func.sum(Alert.count))),
            sorted((each.stream, each.last_seq, each.missing) for each in session.scalars(select(Stream))),
        )


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_lost_comes_back_and_only_that(tmp_path: Path, workers: int) -> None:
    pipeline = worked(tmp_path, workers)
    store = pipeline.store
    events, metrics, before = by_id(store.events), list(store.metrics), state_of(pipeline)
    assert any(row.rules for row in events)
    store.events = [row for number, row in enumerate(events) if number % 3]
    store.metrics = [row for row in metrics if row.log_offset % 4]
    lost = len(events) - len(store.events) + len(metrics) - len(store.metrics)
    store.damaged = [EVENTS, METRICS]

    assert restore(pipeline) > 1

    assert by_id(store.events) == events
    assert sorted(row.log_offset for row in store.metrics) == sorted(row.log_offset for row in metrics)
    assert state_of(pipeline) == before
    assert sum(rows for _, _, rows in store.restored) == lost
    everything = set(range(max(map(partition_of, ENDPOINTS)) + 1))
    for damage in (EVENTS, METRICS):
        assert everything <= store.looked_through[damage.id]
    assert restore(pipeline) == 0, "what was looked through once is not looked through again"


def test_rows_of_other_days_are_none_of_its_business(tmp_path: Path) -> None:
    pipeline = worked(tmp_path)
    pipeline.store.events = []
    pipeline.store.damaged = [msgspec.structs.replace(EVENTS, partition="20261101")]
    assert restore(pipeline) > 0
    assert pipeline.store.events == []


def test_a_damage_that_is_made_good_is_left_alone(tmp_path: Path) -> None:
    pipeline = worked(tmp_path)
    pipeline.store.damaged = [msgspec.structs.replace(EVENTS, rows=0)]
    assert restore(pipeline) == 0


def test_a_batch_that_is_in_the_log_twice_comes_back_once(tmp_path: Path) -> None:
    pipeline = worked(tmp_path)
    events = by_id(pipeline.store.events)
    again = pipeline.log.rows[0]
    pipeline.log.rows.append(replace(again, offset=pipeline.log.last_offset() + 1))
    pipeline.work()
    assert by_id(pipeline.store.events) == events, "a worker knows it"
    pipeline.store.events = []
    pipeline.store.damaged = [EVENTS]

    restore(pipeline)

    assert by_id(pipeline.store.events) == events


def test_metrics_of_a_batch_that_is_in_the_log_twice_come_back_once(tmp_path: Path) -> None:
    pipeline = worked(tmp_path)
    metrics = len(pipeline.store.metrics)
    pipeline.log.rows.append(replace(pipeline.log.rows[0], offset=pipeline.log.last_offset() + 1))
    pipeline.work()
    pipeline.store.damaged = [METRICS]
    restore(pipeline)
    assert len(pipeline.store.metrics) == metrics, "the first is there"
    pipeline.store.metrics = []
    pipeline.store.damaged = [msgspec.structs.replace(METRICS, id="metrics-2")]
    restore(pipeline)
    assert len(pipeline.store.metrics) == metrics


def test_that_nothing_has_arrived_yet_is_not_that_nothing_is_there(tmp_path: Path) -> None:
    pipeline = worked(tmp_path)
    events = by_id(pipeline.store.events)
    pipeline.store.events = []
    pipeline.store.damaged = [EVENTS]
    slow = SlowLog(pipeline.log.rows)
    pipeline.worker._restoring._open_reader = lambda: slow

    restore(pipeline)

    assert slow.reads > 10
    assert by_id(pipeline.store.events) == events


def test_a_log_that_cannot_be_read_back_stops_nothing_else(tmp_path: Path) -> None:
    pipeline = worked(tmp_path)
    pipeline.store.damaged = [EVENTS]
    pipeline.worker._restoring._open_reader = DamagedLog
    assert restore(pipeline) == 0
    assert restore(pipeline) == 0
    assert pipeline.store.looked_through == {}
    pipeline.batch(events=[event(T0 + 100, Image="/bin/new")])
    pipeline.work()
    assert any(b"/bin/new" in row.body for row in pipeline.store.events)


def test_what_the_store_will_not_be_asked_at_once_is_asked_in_smaller_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = worked(tmp_path)
    events = by_id(pipeline.store.events)
    refused = pipeline.log.rows[2].offset
    pipeline.store.events = []
    pipeline.store.damaged = [EVENTS]
    query = pipeline.store.query

    def fussy(sql: str, parameters: Mapping[str, Any], since: datetime | None = None) -> list[dict[str, Any]]:
        offsets = parameters.get("offsets", [])
        if len(offsets) > 2 or refused in offsets:
            raise QueryError("too much")
        return query(sql, parameters, since=since)

    monkeypatch.setattr(pipeline.store, "query", fussy)

    restore(pipeline)

    assert by_id(pipeline.store.events) == [row for row in events if row.log_offset != refused]
    assert pipeline.store.looked_through


def test_a_batch_that_became_a_dead_letter_stays_one(tmp_path: Path) -> None:
    pipeline = worked(tmp_path)
    events = by_id(pipeline.store.events)
    row = pipeline.log.rows[0]
    with pipeline.state.write() as session:
        session.add(
            DeadLetter(
                endpoint_id=row.endpoint_id,
                log_offset=row.offset,
                part="",
                reason="",
                body=b"",
                received_at=NOW,
            )
        )
    pipeline.store.events = []
    pipeline.store.damaged = [EVENTS]

    restore(pipeline)

    assert by_id(pipeline.store.events) == [each for each in events if each.log_offset != row.offset]


def test_the_events_of_a_machine_that_was_removed_stay_away(tmp_path: Path) -> None:
    pipeline = worked(tmp_path)
    events = by_id(pipeline.store.events)
    with pipeline.state.write() as session:
        session.execute(delete(Assignment).where(Assignment.endpoint_id == "ep-2"))
        session.execute(delete(Endpoint).where(Endpoint.id == "ep-2"))
    pipeline.store.events = []
    pipeline.store.damaged = [EVENTS]

    restore(pipeline)

    assert by_id(pipeline.store.events) == [row for row in events if row.endpoint_id != "ep-2"]


@pytest.mark.parametrize("fault", ["fail", "fail_after_insert"])
def test_a_store_that_fails_in_between_gets_each_row_once(tmp_path: Path, fault: str) -> None:
    pipeline = worked(tmp_path)
    events = by_id(pipeline.store.events)
    pipeline.store.events = []
    pipeline.store.damaged = [EVENTS]
    assert pipeline.worker.restore()
    setattr(pipeline.store, fault, 2)

    while pipeline.store.looked_through.get(EVENTS.id) is None:
        pipeline.worker.restore()

    assert by_id(pipeline.store.events) == events


def test_what_was_brought_back_is_counted_whatever_the_store_does_behind_the_insert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the rows are there, the damage is short of them for ever, and so is its alert."""
    pipeline = worked(tmp_path)
    store, lost = pipeline.store, len(pipeline.store.events)
    store.events = []
    store.damaged = [EVENTS]
    note, away = store.note_restored, [2, 0, 1]

    def failing(damage_id: str, log_offset: int, rows: int) -> None:
        if away and away[0]:
            away[0] -= 1
            raise StoreUnavailableError("restarts")
        del away[:1]
        note(damage_id, log_offset, rows)

    monkeypatch.setattr(store, "note_restored", failing)
    restore(pipeline)
    assert not away
    assert len(store.events) == sum(rows for _, _, rows in store.restored) == lost


def test_who_takes_a_partition_over_goes_on_and_who_had_it_inserts_nothing_more(tmp_path: Path) -> None:
    pipeline = worked(tmp_path)
    events = by_id(pipeline.store.events)
    pipeline.store.events = []
    pipeline.store.damaged = [EVENTS]
    paused = pipeline.worker
    assert paused.restore()
    other = pipeline.new_worker("detect-9")
    for _ in range(8):
        pipeline.monotonic.seconds += RENEW_SECONDS
        other.hold()
    assert set(map(partition_of, ENDPOINTS)) <= other.positions.keys()

    while other.restore():
        pass
    while paused.restore():
        pass

    assert by_id(pipeline.store.events) == events
