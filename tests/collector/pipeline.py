"""A detect worker in the test's own process: real state store, real rules engine, a log and an event store
in memory.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import zstandard

from collector.detect.rulebook import LiveRules
from collector.detect.worker import Worker
from collector.log.interface import LogRow
from collector.rulebook.sources import Rulebook
from collector.settings import Settings
from collector.state.tables import Agency, Assignment, Endpoint
from collector.store.errors import StoreError, StoreUnavailableError
from collector.store.rows import EventRow, MetricRow, events_table, metrics_table
from tests.support.state import new_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from collector.state.database import StateStore

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

    def insert_events(self, rows: Sequence[EventRow]) -> None:
        self._maybe_fail()
        events_table(list(rows))  # what Arrow cannot hold the real one refuses
        self._maybe_refuse([row.body for row in rows])
        self.events.extend(rows)
        if self.fail_after_insert:
            self.fail_after_insert -= 1
            raise StoreUnavailableError("the answer was lost")

    def insert_metrics(self, rows: Sequence[MetricRow]) -> None:
        self._maybe_fail()
        metrics_table(list(rows))
        self._maybe_refuse([row.name for row in rows])
        self.metrics.extend(rows)

    def rewind(self, after_offset: int) -> int:
        self._maybe_fail()
        count = len(self.events) + len(self.metrics)
        self.events = [row for row in self.events if row.log_offset <= after_offset]
        self.metrics = [row for row in self.metrics if row.log_offset <= after_offset]
        return count - len(self.events) - len(self.metrics)

    def forget_before(self, moment: datetime) -> int:
        self._maybe_fail()
        days = {datetime.fromtimestamp(row.received_at, UTC).date() for row in self.events}
        old = {day for day in days if day < moment.date()}
        self.events = [
            row for row in self.events if datetime.fromtimestamp(row.received_at, UTC).date() not in old
        ]
        return len(old)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        self._maybe_fail()
        given = dict(parameters or {})
        if "event_id IN" in sql:
            wanted = given["ids"]
            assert isinstance(wanted, list)
            return [{"event_id": row.event_id} for row in self.events if row.event_id in wanted]
        if "OFFSET" in sql:
            return []
        since, floor = int(str(given["since"])) / 1e6, int(str(given["floor"]))
        after = (given["offset"], given["id"])
        found = sorted(
            (row.log_offset, row.event_id, row)
            for row in self.events
            if row.received_at >= since and row.log_offset >= floor and (row.log_offset, row.event_id) > after
        )
        return [
            {
                "event_id": row.event_id,
                "log_offset": row.log_offset,
                "seconds": row.time,
                "received": row.received_at,
                "product": row.product,
                "category": row.category,
                "service": row.service,
                "body": row.body,
            }
            for _, _, row in found[: int(str(given["page"]))]
        ]

    def _maybe_refuse(self, texts: list[str]) -> None:
        """Answer as a healthy store does that cannot take a row, or as one whose disk is full."""
        if self.full:
            self.full -= 1
            raise StoreError("Code: 243. no space left")
        if self.refused and any(self.refused in text for text in texts):
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


class Pipeline:
    """Everything a test of the worker needs, and a way to restart it as after a crash."""

    def __init__(self, tmp_path: Path, *rules: str, settings: Settings | None = None) -> None:
        self.state = new_state(tmp_path)
        self.agency_id = add_agency(self.state)
        self.endpoint_id = add_endpoint(self.state, "ep-1", self.agency_id)
        self.log = MemoryLog()
        self.store = MemoryStore()
        self.clock = Clock()
        self.stop = NoWait()
        self.settings = settings or Settings()
        self.memory = tmp_path / "correlations.bin"
        self.rules = tmp_path / "rules"
        self.rules.mkdir()
        for number, rule in enumerate(rules):
            (self.rules / f"rule{number}.yml").write_text(rule, encoding="utf-8")
        self._seq: dict[tuple[str, str], int] = {}
        self.worker = self.restart()

    def restart(self) -> Worker:
        self.worker = Worker(
            state=self.state,
            reader=self.log,
            store=self.store,
            rules=LiveRules(Rulebook(own=self.rules), self.state),
            memory=self.memory,
            settings=self.settings,
            now=self.clock,
            stop=self.stop,
        )
        self.worker.start()
        return self.worker

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
        offset = self.log.rows[-1].offset + 1 if self.log.rows else 1
        now = self.clock.seconds
        row = LogRow(offset, kind, endpoint_id, stream, seq, now - skew, now, body)
        self.log.rows.append(row)
        return row

    def work(self) -> None:
        while self.worker.step_rows():
            pass


def event(time: float = T0, category: str = "process_creation", **fields: Any) -> dict[str, Any]:
    return {"time": time, "logsource": {"product": "linux", "category": category}, "fields": fields}


def document(
    kind: str, body: dict[str, Any] | None, item: str = "", observed_at: float = T0
) -> dict[str, Any]:
    return {"kind": kind, "item": item, "observed_at": observed_at, "body": body}
