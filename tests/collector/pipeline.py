"""Detect workers and ``correlate`` in the test's own process: real state store, real rules engine, a log and an event
store in memory.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import zstandard

from collector.detect.checkpoints import CORRELATE, NAMES, load_places
from collector.detect.correlator import Correlator
from collector.detect.rulebook import LiveRules
from collector.detect.worker import Worker
from collector.leases import RENEW_SECONDS, Leases
from collector.log.interface import LogRow
from collector.metrics import CorrelateMetrics, DetectMetrics
from collector.partitions import partition_of
from collector.rulebook.sources import Rulebook
from collector.settings import Settings
from collector.state.tables import Agency, Assignment, Endpoint
from collector.store.errors import FencedError, StoreError, StoreUnavailableError
from collector.store.rows import EventRow, MetricRow, events_table, metrics_table, microseconds
from tests.support.state import new_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from collector.state.database import StateStore
    from collector.store.damage import Damage

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
T0 = NOW.timestamp()
STREAM = "0123456789abcdef0123456789abcdef"


def add_agency(state: StateStore, code: str = "so-tai-chinh", officials: int | None = 110) -> int:
    with state.write() as session:
        agency = Agency(code=code, name=code.title(), search_name=code, level="tinh", officials=officials)
        session.add(agency)
        session.flush()
        return agency.id


def add_endpoint(
    state: StateStore,
    endpoint_id: str = "ep-1",
    agency_id: int | None = None,
    *,
    simulated: bool = False,
    enrolled_at: datetime = NOW,
    last_seen_at: datetime | None = None,
    retired_at: datetime | None = None,
) -> str:
    with state.write() as session:
        session.add(
            Endpoint(
                id=endpoint_id,
                hostname=f"host-{endpoint_id}",
                enrolled_at=enrolled_at,
                simulated=simulated,
                last_seen_at=last_seen_at,
                retired_at=retired_at,
            )
        )
        session.flush()
        if agency_id is not None:
            session.add(Assignment(endpoint_id=endpoint_id, agency_id=agency_id, valid_from=enrolled_at))
    return endpoint_id


def frame(batch: object) -> bytes:
    return zstandard.compress(msgspec.json.encode(batch))


@dataclass
class MemoryLog:
    """Stands for the durable log's reader."""

    rows: list[LogRow] = field(default_factory=list)
    _version: int = -1
    _last: int = 0

    def last_offset(self) -> int:
        self._last = max([self._last, *(row.offset for row in self.rows)])
        return self._last

    def read(self, positions: Mapping[int, int], limit: int) -> list[LogRow]:
        return [row for row in self.rows if row.offset > positions.get(row.partition, row.offset)][:limit]

    def waiting(self, positions: Mapping[int, int]) -> int:
        return len(self.read(positions, len(self.rows)))

    def first_waiting(self, positions: Mapping[int, int]) -> int | None:
        return min((row.offset for row in self.read(positions, len(self.rows))), default=None)

    def changed(self) -> bool:
        before, self._version = self._version, len(self.rows)
        return before != self._version

    def trim(self, positions: Mapping[int, int], received_before: float) -> int:
        count = len(self.rows)
        self.last_offset()
        self.rows = [
            row
            for row in self.rows
            if row.offset > positions.get(row.partition, 0) or row.received_at >= received_before
        ]
        return count - len(self.rows)

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class MemoryStore:
    """Stands for the event store: same rules about durability and rewinding. ``fail`` makes the next calls
    fail, ``full`` the next inserts; ``refused`` is a text that no row may hold.
    """

    events: list[EventRow] = field(default_factory=list)
    metrics: list[MetricRow] = field(default_factory=list)
    fail: int = 0
    fail_after_insert: int = 0
    full: int = 0
    refused: str = ""
    epochs: dict[int, int] = field(default_factory=dict)
    damaged: list[Damage] = field(default_factory=list)
    restored: list[tuple[str, int, int]] = field(default_factory=list)
    looked_through: dict[str, set[int]] = field(default_factory=dict)

    def insert_events(self, rows: Sequence[EventRow], epochs: Mapping[int, int]) -> None:
        self._maybe_fail()
        self._admit(epochs, rows)
        events_table(list(rows))  # what Arrow cannot hold the real one refuses
        self._maybe_refuse([row.body for row in rows])
        self.events.extend(rows)
        if self.fail_after_insert:
            self.fail_after_insert -= 1
            raise StoreUnavailableError("the answer was lost")

    def insert_metrics(self, rows: Sequence[MetricRow], epochs: Mapping[int, int]) -> None:
        self._maybe_fail()
        self._admit(epochs, rows)
        metrics_table(list(rows))
        self._maybe_refuse([row.name.encode() for row in rows])
        self.metrics.extend(rows)

    def rewind(self, positions: Mapping[int, int], epochs: Mapping[int, int]) -> int:
        self._maybe_fail()
        self._admit(epochs, ())

        def stays(row: EventRow | MetricRow) -> bool:
            return row.log_offset <= positions.get(row.partition, row.log_offset)

        count = len(self.events) + len(self.metrics)
        self.events = list(filter(stays, self.events))
        self.metrics = list(filter(stays, self.metrics))
        return count - len(self.events) - len(self.metrics)

    def _admit(self, epochs: Mapping[int, int], rows: Sequence[EventRow | MetricRow]) -> None:
        assert {row.partition for row in rows} <= epochs.keys(), "rows of partitions that nobody holds"
        for partition, epoch in epochs.items():
            if epoch < self.epochs.get(partition, 0):
                raise FencedError(f"partition {partition} was taken over")
        self.epochs.update(epochs)

    def damages(self) -> list[Damage]:
        self._maybe_fail()
        return [
            msgspec.structs.replace(
                each,
                restored=sum(rows for of, _, rows in self.restored if of == each.id),
                looked_through=sorted(self.looked_through.get(each.id, ())),
            )
            for each in self.damaged
        ]

    def note_restored(self, damage_id: str, log_offset: int, rows: int) -> None:
        self.restored.append((damage_id, log_offset, rows))

    def note_looked_through(self, damage_id: str, partitions: Iterable[int]) -> None:
        self.looked_through.setdefault(damage_id, set()).update(partitions)

    def query(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        since: datetime | None = None,
    ) -> list[dict[str, Any]]:
        self._maybe_fail()
        given: dict[str, Any] = dict(parameters or {})
        if "groupArray(event_id)" in sql:
            return [{"ids": [row.event_id for row in self.events if row.log_offset in given["offsets"]]}]
        if "FROM metrics" in sql and "names" in given:
            return [
                {"endpoint_id": row.endpoint_id, "name": row.name, "at": microseconds(row.time)}
                for row in self.metrics
                if microseconds(row.time) in given["times"]
            ]
        if "FROM metrics" in sql:
            return [
                {
                    "log_offset": row.log_offset,
                    "month": datetime.fromtimestamp(row.time, UTC).strftime("%Y%m"),
                }
                for row in self.metrics
            ]
        if "event_id IN" in sql:
            wanted = given["ids"]
            assert isinstance(wanted, list)
            return [{"event_id": row.event_id} for row in self.events if row.event_id in wanted]
        if "OFFSET" in sql:
            return []

        def key(row: EventRow) -> tuple[int, int, str]:
            return round(row.received_at * 1e6), round(row.time * 1e6), row.event_id

        earliest, until = int(str(given["since"])), int(str(given["until"]))
        after = (given["received"], given["happened"], given["id"])
        found = sorted(
            (row for row in self.events if earliest <= key(row)[0] <= until and key(row) > after), key=key
        )
        return [
            {
                "event_id": row.event_id,
                "partition": row.partition,
                "log_offset": row.log_offset,
                "happened": key(row)[1],
                "received": key(row)[0],
                "product": row.product,
                "category": row.category,
                "service": row.service,
                "body": row.body.decode(),
            }
            for row in found[: int(str(given["page"]))]
        ]

    def _maybe_refuse(self, texts: list[bytes]) -> None:
        """Answer as a healthy store does that cannot take a row, or as one whose disk is full."""
        if self.full:
            self.full -= 1
            raise StoreError("Code: 243. no space left")
        if self.refused and any(self.refused.encode() in text for text in texts):
            raise StoreError(f"Code: 117. {self.refused} is not to its taste")

    def _maybe_fail(self) -> None:
        if self.fail:
            self.fail -= 1
            raise StoreUnavailableError("the store is away")

    def of(self, category: str) -> list[dict[str, Any]]:
        """The fields of the stored events of a category, in order."""
        return [msgspec.json.decode(row.body) for row in self.events if row.category == category]


class Clock:
    def __init__(self, seconds: float = T0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class NoWait(threading.Event):
    """Never waits, and counts how often it was asked to."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        return self.is_set()


class KilledError(BaseException):
    """As if the process had been killed here: nothing handles it."""


class Pipeline:
    """Everything a test of the workers needs, and a way to restart them as after a crash.

    :meth:`work` runs all workers and ``correlate`` until nothing is left. ``worker`` is the first one; with ``workers``
    more of them the partitions are shared out.
    """

    def __init__(
        self, tmp_path: Path, *rules: str, settings: Settings | None = None, workers: int = 1
    ) -> None:
        self.state = new_state(tmp_path)
        self.agency_id = add_agency(self.state)
        self.endpoint_id = add_endpoint(self.state, "ep-1", self.agency_id)
        self.log = MemoryLog()
        self.store = MemoryStore()
        self.clock = Clock()
        #: By how much somebody set the clock, beside the time that passed.
        self.set_by = 0.0
        self.monotonic = Clock(1000.0)
        self.stop = NoWait()
        self.settings = settings or Settings()
        self.memory = tmp_path / "correlations.bin"
        self.rules = tmp_path / "rules"
        self.rules.mkdir()
        for number, rule in enumerate(rules):
            (self.rules / f"rule{number}.yml").write_text(rule, encoding="utf-8")
        self._seq: dict[tuple[str, str], int] = {}
        self.restart(workers)

    @property
    def worker(self) -> Worker:
        return self.workers[0]

    def restart(self, workers: int | None = None) -> Worker:
        """As after the death of all of them."""
        count = len(self.workers) if workers is None else workers
        self.workers: list[Worker] = []
        for number in range(1, count + 1):
            self.workers.append(self.new_worker(f"detect-{number}"))
        self.correlator = self.new_correlator()
        self.share_out()
        self.correlator.hold(at_once=True)
        return self.worker

    def new_worker(self, name: str) -> Worker:
        worker = Worker(
            state=self.state,
            reader=self.log,
            reread=lambda: self.log,
            store=self.store,
            rules=LiveRules(Rulebook(own=self.rules), self.state),
            leases=self.leases(name, NAMES, "detect"),
            settings=self.settings,
            metrics=DetectMetrics(),
            now=self.clock,
            stop=self.stop,
            steady=lambda: self.clock.seconds - self.set_by,
        )
        worker.begin()
        return worker

    def new_correlator(self, name: str = CORRELATE) -> Correlator:
        return Correlator(
            state=self.state,
            reader=self.log,
            store=self.store,
            rules=LiveRules(Rulebook(own=self.rules), self.state),
            memory=self.memory,
            leases=self.leases(name, [CORRELATE], "correlate"),
            settings=self.settings,
            metrics=CorrelateMetrics(),
            now=self.clock,
            stop=self.stop,
        )

    def leases(self, owner: str, names: Iterable[str], group: str) -> Leases:
        return Leases(
            self.state,
            owner,
            names,
            group=group,
            now=lambda: datetime.fromtimestamp(self.clock.seconds, UTC),
            monotonic=self.monotonic,
        )

    @property
    def position(self) -> int:
        """How far the log is worked."""
        return max(position for worker in self.workers for position in worker.positions.values())

    def committed(self, endpoint_id: str = "ep-1") -> int:
        """The checkpoint of the endpoint's partition."""
        with self.state.read() as session:
            return load_places(session)[partition_of(endpoint_id)].log_offset

    @contextmanager
    def crash_before_commit(self) -> Iterator[None]:
        """The first worker dies between the event store and the state store."""

        def crash(*_: object) -> None:
            raise KilledError

        stepper = self.worker._stepper
        commit = stepper._commit
        stepper._commit = crash  # type: ignore[assignment,method-assign] # for this once
        try:
            with pytest.raises(KilledError):
                yield
        finally:
            stepper._commit = commit  # type: ignore[method-assign] # as it was

    def share_out(self) -> None:
        """Until every partition is held, each worker having its share."""
        for _ in range(3):
            self.monotonic.seconds += RENEW_SECONDS
            for worker in self.workers:
                worker.hold()

    def batch(self, *, endpoint_id: str = "ep-1", stream: str = STREAM, seq: int = 0, **parts: Any) -> LogRow:
        """Append a batch made of ``events``, ``documents``, … at the clock's present time."""
        body = frame({"schema": 1, "created_at": self.clock.seconds, **parts})
        return self.raw(body, endpoint_id=endpoint_id, stream=stream, seq=seq)

    def raw(self, body: bytes, *, endpoint_id: str = "ep-1", stream: str = STREAM, seq: int = 0) -> LogRow:
        seq = seq or self._seq.get((endpoint_id, stream), 0) + 1
        self._seq[endpoint_id, stream] = seq
        return self._append("batch", endpoint_id, stream, seq, body)

    def heartbeat(self, *, endpoint_id: str = "ep-1", skew: float = 0.0) -> LogRow:
        return self._append("heartbeat", endpoint_id, STREAM, 1, b"", skew)

    def _append(
        self, kind: str, endpoint_id: str, stream: str, seq: int, body: bytes, skew: float = 0.0
    ) -> LogRow:
        offset = self.log.last_offset() + 1
        now = self.clock.seconds
        row = LogRow(offset, kind, endpoint_id, stream, seq, now - skew, now, body)
        self.log.rows.append(row)
        return row

    def work(self) -> None:
        while sum(worker.step_rows() for worker in self.workers):
            pass
        while self.correlator.step_rows():
            pass

    def look_at_rules(self) -> bool:
        """Whether the first worker found them changed."""
        found = [worker.look_at_rules() for worker in self.workers]
        self.correlator.look_at_rules()
        return found[0]

    def turn(self) -> int:
        """A look at the clock by all, and what comes of it; how many events."""
        made = sum(worker.step_clock() for worker in self.workers) + self.correlator.step_clock()
        while self.correlator.step_rows():
            pass
        return made


def event(time: float = T0, category: str = "process_creation", **fields: Any) -> dict[str, Any]:
    return {"time": time, "logsource": {"product": "linux", "category": category}, "fields": fields}


def document(
    kind: str, body: dict[str, Any] | None, item: str = "", observed_at: float = T0
) -> dict[str, Any]:
    return {"kind": kind, "item": item, "observed_at": observed_at, "body": body}
