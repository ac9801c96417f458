"""Brings back what a damaged part of the event store held, from the log, which keeps rows for days after that.

Piece by piece, while there is nothing more urgent to do: the rows of the log that were received on a damaged day are
read again, and what the store lacks of their events and metrics is inserted once more, with the same ids. Alerts,
documents and counters are not touched: the state store has them. What the log does not hold cannot be brought back:
the collector's own events, and whatever is older than the log's retention. So a damage may stay one.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from collector.detect.insertion import Insertion
from collector.detect.rows import batch_origin, decode_rows, take_events, take_metrics
from collector.detect.values import moment
from collector.log.errors import LogDamagedError, LogError
from collector.log.interface import moved
from collector.state.tables import DeadLetter
from collector.store.errors import FencedError, QueryError, StoreError
from collector.store.rows import microseconds
from collector.store.schema import PARTITIONS
from rules.engine.routing import sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy.orm import Session

    from collector.detect.decode import Decoded
    from collector.detect.patience import Patience
    from collector.detect.ports import EventStore
    from collector.detect.step import Record, WorkStep
    from collector.detect.stepping import Holding
    from collector.log.interface import LogReader, LogRow
    from collector.metrics import DetectMetrics
    from collector.state.database import StateStore
    from collector.store.damage import Damage
    from collector.store.rows import EventRow, MetricRow
    from rules.engine import Engine

#: How often the store is asked what is damaged of it, and how long nothing is tried after a failure.
_ASK_SECONDS: Final = 30.0
#: A batch that came twice is twice in the log where the log had forgotten the first, but within this time.
_REPEATED_SECONDS: Final = 7 * 86_400.0
_KEYS_A_QUERY: Final = 500

R = TypeVar("R")

log = logging.getLogger("vonggac.detect")


@dataclass
class _Search:
    """``positions``: how far the log is looked through, of the partitions that are not done; ``ends``: how far it is to
    be. ``epochs``: of the leases under which it began. ``limit``: rows a piece."""

    damages: list[Damage]
    positions: dict[int, int]
    ends: dict[int, int]
    epochs: dict[int, int]
    limit: int
    reader: LogReader | None = None
    restored: int = 0

    def __post_init__(self) -> None:
        self._of = {(each.table, each.partition): each.id for each in self.damages}

    def damage_of(self, table: str, seconds: float) -> str | None:
        """The damage that has rows of this time; ``None``: that time's are all there."""
        return self._of.get((table, _partition(table, seconds)))

    def concerns(self, row: LogRow) -> bool:
        """Whether the row may have brought something that is missing: metrics say their time themselves."""
        if row.kind != "batch":
            return False
        return any(each.table == "metrics" for each in self.damages) or (
            self.damage_of("events", row.received_at) is not None
        )


class Restoring:
    """One a worker, over what that holds. ``open_reader``: a reader of the log of its own, because a reader goes
    forward. Call :meth:`close`."""

    def __init__(
        self,
        *,
        open_reader: Callable[[], LogReader],
        state: StateStore,
        store: EventStore,
        engine: Engine,
        new_step: Callable[[Session, Sequence[str]], WorkStep],
        persist: Patience,
        metrics: DetectMetrics,
        batch_rows: int,
        now: Callable[[], float],
    ) -> None:
        self._open_reader = open_reader
        self._state = state
        self._store = store
        self._engine = engine
        self._new_step = new_step
        self._persist = persist
        self._metrics = metrics
        self._batch_rows = batch_rows
        self._now = now
        self._absent = AbsentOfLog(store)
        self._ask_at = 0.0
        self._rest_until = 0.0
        self._search: _Search | None = None

    def piece(self, holding: Holding) -> bool:
        """Do a piece of what is to be done, if anything is; whether it was.

        Raises:
            LeaseLostError: some of what is held is another worker's now.
            StoppedError: told to stop while a store was away.
        """
        if monotonic() < self._rest_until:
            return False
        try:
            search = self._search = self._search or self._begin(holding)
            if search is None:
                return False
            if search.epochs != {each: holding.epochs.get(each) for each in search.epochs}:
                self.close()  # the others are looked through anew; what is there is not inserted again
                return False
            self._look_further(search, holding)
        except (LogError, FencedError, StoreError, OperationalError) as error:
            log.warning(
                "what is damaged of the event store is restored later", extra={"error": str(error)[:300]}
            )
            self._close_reader()
            self._rest_until = monotonic() + _ASK_SECONDS
            return False
        except LogDamagedError:  # of what is long worked on: no reason to stop working on what comes
            log.exception("the log cannot be read for what the event store lacks")
            self.close()
            self._rest_until = inf
            return False
        return True

    def close(self) -> None:
        """Give up what is under way; the next one begins it anew."""
        self._close_reader()
        self._search = None

    def _close_reader(self) -> None:
        if self._search is not None and self._search.reader is not None:
            self._search.reader.close()
            self._search.reader = None

    def _begin(self, holding: Holding) -> _Search | None:
        if monotonic() < self._ask_at or not holding.epochs:
            return None
        self._ask_at = monotonic() + _ASK_SECONDS
        damages = [each for each in self._store.damages() if each.table in PARTITIONS and not each.whole]
        held = {
            each for each in holding.positions if any(each not in damage.looked_through for damage in damages)
        }
        if not held:
            return None
        log.warning(
            "a part of the event store is damaged; what the log has of it is brought back",
            extra={"damaged": [part for each in damages for part in each.parts], "partitions": sorted(held)},
        )
        return _Search(
            damages,
            dict.fromkeys(held, 0),
            {each: holding.positions[each] for each in held},
            {each: holding.epochs[each] for each in held},
            self._batch_rows,
        )

    def _look_further(self, search: _Search, holding: Holding) -> None:
        if search.reader is None:
            search.reader = self._open_reader()
        reader = search.reader
        rows = reader.read(search.positions, search.limit)
        within = [row for row in rows if row.offset <= search.ends[row.partition]]
        concerned = [row for row in within if search.concerns(row)]
        taken = decode_rows(concerned)
        if len(taken) < len(concerned):
            rows = within = [row for row in within if row.offset <= taken[-1][0].offset]
        try:
            self._restore(search, holding, taken)
        except QueryError as error:
            if len(taken) > 1:  # it may be too much at once
                search.limit = max(1, search.limit // 2)
                return
            log.exception(
                "a row is not looked at again",
                extra={"log_offset": rows[0].offset, "error": str(error)[:300]},
            )
        search.limit = min(2 * search.limit, self._batch_rows)
        # Nothing read may also mean that nothing has arrived yet.
        search.positions = {
            each: position
            for each, position in moved(search.positions, rows).items()
            if position < search.ends[each] and (rows or _more(reader, each, position, search.ends[each]))
        }
        if not search.positions:
            for damage in search.damages:
                self._store.note_looked_through(damage.id, search.ends)
            log.info("what the log has of a damaged part is brought back", extra={"rows": search.restored})
            self.close()

    def _restore(
        self, search: _Search, holding: Holding, taken: Sequence[tuple[LogRow, Decoded | None]]
    ) -> None:
        if not taken:
            return
        step = self._read_again(search, taken)
        events = [(record, record.row([], record.body())) for record in step.events]
        lacking = {row.event_id for row in self._absent.events([row for _, row in events])}
        rows = [
            replace(row, rules=self._rules_of(record, row.body))
            for record, row in events
            if row.event_id in lacking
        ]
        metrics = self._absent.metrics(
            [each for each in step.metrics if search.damage_of("metrics", each.time) is not None]
        )
        if not rows and not metrics:
            return
        insertion = Insertion(
            self._store,
            rows,
            metrics,
            positions=holding.positions,
            epochs=holding.epochs,
            absent=self._absent,
            now=self._now(),
        )
        self._persist(insertion)
        refused = {letter.refusal.part for letter in insertion.letters}
        self._note(search, [row for row in rows if f"event {row.event_id}" not in refused], metrics)

    def _read_again(self, search: _Search, taken: Iterable[tuple[LogRow, Decoded | None]]) -> WorkStep:
        """A step that takes in the events and metrics of these rows, and nothing else."""
        batches = [(row, decoded) for row, decoded in taken if decoded is not None]
        with self._state.read() as session:
            step = self._new_step(session, [row.endpoint_id for row, _ in batches])
            refused = _refused(session, [row.offset for row, _ in batches])
        for row, decoded in batches:
            context = step.contexts.get(row.endpoint_id)
            if context is None or row.offset in refused:  # removed since, with its events; or never taken in
                continue
            try:
                if search.damage_of("events", row.received_at) is not None:
                    take_events(step, context, batch_origin(row), decoded)
                take_metrics(step, context, row, decoded)
            except Exception:
                log.exception("a row cannot be taken again", extra={"log_offset": row.offset})
        return step

    def _rules_of(self, record: Record, body: bytes) -> list[str]:
        """The rules that speak of it as they are now; nothing is counted or reported."""
        event = record.event
        sources = record.sources or sources_of(event.product, event.category, event.service)
        try:
            matched = self._engine.match(event.fields, sources, body)  # type: ignore[arg-type] # a dict, as steps make it
        except Exception:
            self._metrics.rule_errors.inc()
            log.exception("rules failed on an event", extra={"event_id": event.id})
            return []
        return list(self._engine.speaking(matched))

    def _note(self, search: _Search, rows: Sequence[EventRow], metrics: Sequence[MetricRow]) -> None:
        counts = Counter(
            [
                *(search.damage_of("events", row.received_at) for row in rows),
                *(search.damage_of("metrics", row.time) for row in metrics),
            ]
        )
        offsets = [row.log_offset for row in rows] + [row.log_offset for row in metrics]
        for damage, count in counts.items():
            if damage is not None:
                # They are not lacking any more: who let this go now would never count them.
                self._persist(partial(self._store.note_restored, damage, min(offsets), count))
        search.restored += len(rows) + len(metrics)
        self._metrics.restored.inc(len(rows) + len(metrics))


class AbsentOfLog:
    """Of rows that a worker made of the log some time ago: those that the store has no more, archived days included."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def events(self, rows: Sequence[EventRow]) -> list[EventRow]:
        """Each once, also where its batch is in the log twice."""
        once = {row.event_id: row for row in rows}
        if not once:
            return []
        times = [row.received_at for row in rows]
        found = self._store.query(
            "SELECT groupArray(event_id) AS ids FROM events WHERE log_offset IN {offsets:Array(UInt64)}"
            " AND partition IN {partitions:Array(UInt8)} AND received_at"
            " BETWEEN fromUnixTimestamp64Micro({since:Int64}) AND fromUnixTimestamp64Micro({until:Int64})",
            {**_offsets(rows), **_times(times)},
            since=moment(min(times)),
        )
        lacking = once.keys() - set(found[0]["ids"])
        chosen = [row for row in once.values() if row.event_id in lacking]
        repeated: set[str] = set()
        for some in _pieces(chosen):
            times = [row.received_at for row in some]
            earliest = min(times) - _REPEATED_SECONDS
            found = self._store.query(
                "SELECT event_id FROM events WHERE event_id IN {ids:Array(String)}"
                " AND endpoint_id IN {endpoints:Array(String)} AND received_at"
                " BETWEEN fromUnixTimestamp64Micro({since:Int64}) AND fromUnixTimestamp64Micro({until:Int64})",
                {
                    "ids": [row.event_id for row in some],
                    "endpoints": sorted({row.endpoint_id for row in some}),
                    **_times([earliest, *times]),
                },
                since=moment(earliest),
            )
            repeated.update(row["event_id"] for row in found)
        return [row for row in chosen if row.event_id not in repeated]

    def metrics(self, rows: Sequence[MetricRow]) -> list[MetricRow]:
        """All of a batch that fall into a month lie in one part: they are there, or none is. Those of a batch that is
        in the log twice are there under the other's offset."""
        if not rows:
            return []
        found = self._store.query(
            "SELECT DISTINCT log_offset, toYYYYMM(time) AS month FROM metrics"
            " WHERE log_offset IN {offsets:Array(UInt64)} AND partition IN {partitions:Array(UInt8)}",
            _offsets(rows),
        )
        there = {(int(row["log_offset"]), str(row["month"])) for row in found}
        chosen = [row for row in rows if (row.log_offset, _partition("metrics", row.time)) not in there]
        repeated: set[tuple[str, str, int]] = set()
        for some in _pieces(chosen):
            found = self._store.query(
                "SELECT DISTINCT endpoint_id, name, toUnixTimestamp64Micro(time) AS at FROM metrics"
                " WHERE endpoint_id IN {endpoints:Array(String)} AND name IN {names:Array(String)}"
                " AND toUnixTimestamp64Micro(time) IN {times:Array(Int64)}",
                {
                    "endpoints": sorted({row.endpoint_id for row in some}),
                    "names": sorted({row.name for row in some}),
                    "times": sorted({microseconds(row.time) for row in some}),
                },
            )
            repeated.update((row["endpoint_id"], row["name"], int(row["at"])) for row in found)
        first = {
            (row.endpoint_id, row.name, microseconds(row.time)): row.log_offset for row in reversed(chosen)
        }
        return [
            row
            for row in chosen
            if (key := (row.endpoint_id, row.name, microseconds(row.time))) not in repeated
            and first[key] == row.log_offset
        ]


def _more(reader: LogReader, partition: int, position: int, end: int) -> bool:
    """Whether the log has a row of the partition that is still to be looked at."""
    first = reader.first_waiting({partition: position})
    return first is not None and first <= end


def _refused(session: Session, offsets: Sequence[int]) -> set[int]:
    """Of these rows, those that became a dead letter as a whole."""
    query = select(DeadLetter.log_offset).where(DeadLetter.log_offset.in_(offsets), DeadLetter.part == "")
    return set(session.scalars(query))


def _pieces(rows: Sequence[R]) -> Iterator[Sequence[R]]:
    for start in range(0, len(rows), _KEYS_A_QUERY):
        yield rows[start : start + _KEYS_A_QUERY]


def _offsets(rows: Sequence[EventRow] | Sequence[MetricRow]) -> dict[str, object]:
    return {
        "partitions": sorted({row.partition for row in rows}),
        "offsets": sorted({row.log_offset for row in rows}),
    }


def _times(seconds: Iterable[float]) -> dict[str, int]:
    moments = [microseconds(each) for each in seconds]
    return {"since": min(moments), "until": max(moments)}


def _partition(table: str, seconds: float) -> str:
    """Where the table keeps a row of this time."""
    return datetime.fromtimestamp(microseconds(seconds) / 1e6, UTC).strftime(PARTITIONS[table])
