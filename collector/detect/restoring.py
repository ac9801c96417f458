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
from time import monotonic
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import OperationalError

from collector.detect.insertion import Insertion
from collector.detect.rows import batch_origin, decode_rows, take_events, take_metrics
from collector.log.errors import LogError
from collector.log.interface import moved
from collector.store.errors import FencedError, StoreError
from collector.store.rows import microseconds
from collector.store.schema import PARTITIONS
from rules.engine.routing import sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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

#: How often the store is asked what is damaged of it.
_ASK_SECONDS: Final = 30.0
#: A batch that came twice is twice in the log where the log had forgotten the first, but within this time.
_REPEATED_SECONDS: Final = 7 * 86_400.0
_IDS_A_QUERY: Final = 4_000

log = logging.getLogger("vonggac.detect")


@dataclass
class _Search:
    """``positions``: how far the log is looked through, of the partitions that are not done; ``ends``: how far it is to
    be. ``epochs``: of the leases under which it began."""

    reader: LogReader
    damages: list[Damage]
    positions: dict[int, int]
    ends: dict[int, int]
    epochs: dict[int, int]
    restored: int = 0

    def __post_init__(self) -> None:
        self._of = {(each.table, each.partition): each.id for each in self.damages}

    def damage_of(self, table: str, seconds: float) -> str | None:
        """The damage that has rows of this time; ``None``: that time's are all there."""
        when = datetime.fromtimestamp(microseconds(seconds) / 1e6, UTC)
        return self._of.get((table, when.strftime(PARTITIONS[table])))

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
        self._search: _Search | None = None

    def piece(self, holding: Holding) -> bool:
        """Do a piece of what is to be done, if anything is; whether it was.

        Raises:
            LeaseLostError: some of what is held is another worker's now.
            StoppedError: told to stop while a store was away.
        """
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
            self.close()
            return False
        return True

    def close(self) -> None:
        """Give up what is under way; the next one begins it anew."""
        search, self._search = self._search, None
        if search is not None:
            search.reader.close()

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
            self._open_reader(),
            damages,
            dict.fromkeys(held, 0),
            {each: holding.positions[each] for each in held},
            {each: holding.epochs[each] for each in held},
        )

    def _look_further(self, search: _Search, holding: Holding) -> None:
        rows = search.reader.read(search.positions, self._batch_rows) if search.positions else []
        within = [row for row in rows if row.offset <= search.ends[row.partition]]
        concerned = [row for row in within if search.concerns(row)]
        taken = decode_rows(concerned)
        if len(taken) < len(concerned):
            within = [row for row in within if row.offset <= taken[-1][0].offset]
            rows = within
        self._restore(search, holding, taken)
        search.positions = {
            each: position
            for each, position in moved(search.positions, rows).items()
            if rows and position < search.ends[each]
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
        self._persist(
            Insertion(
                self._store,
                rows,
                metrics,
                positions=holding.positions,
                epochs=holding.epochs,
                absent=self._absent,
                now=self._now(),
            )
        )
        self._note(search, rows, metrics)

    def _read_again(self, search: _Search, taken: Iterable[tuple[LogRow, Decoded | None]]) -> WorkStep:
        """A step that takes in the events and metrics of these rows, and nothing else."""
        batches = [(row, decoded) for row, decoded in taken if decoded is not None]
        with self._state.read() as session:
            step = self._new_step(session, [row.endpoint_id for row, _ in batches])
        for row, decoded in batches:
            context = step.contexts.get(row.endpoint_id)
            if context is None:  # removed since; so were its events
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
        first = min([row.log_offset for row in rows] + [row.log_offset for row in metrics])
        for damage, count in counts.items():
            if damage is not None:
                self._store.note_restored(damage, first, count)
        search.restored += len(rows) + len(metrics)
        self._metrics.restored.inc(len(rows) + len(metrics))


class AbsentOfLog:
    """Of rows that a worker made of the log some time ago: those that the store has no more."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def events(self, rows: Sequence[EventRow]) -> list[EventRow]:
        """Each once, also where its batch is in the log twice."""
        once = {row.event_id: row for row in rows}
        if not once:
            return []
        found = self._store.query(
            "SELECT groupArray(event_id) AS ids FROM events WHERE partition IN {partitions:Array(UInt8)}"
            " AND log_offset BETWEEN {first:UInt64} AND {last:UInt64} AND received_at"
            " BETWEEN fromUnixTimestamp64Micro({since:Int64}) AND fromUnixTimestamp64Micro({until:Int64})",
            {**_offsets(rows), **_times(row.received_at for row in rows)},
        )
        lacking = once.keys() - set(found[0]["ids"])
        chosen = [row for row in once.values() if row.event_id in lacking]
        repeated: set[str] = set()
        for start in range(0, len(chosen), _IDS_A_QUERY):
            some = chosen[start : start + _IDS_A_QUERY]
            since = min(row.received_at for row in some) - _REPEATED_SECONDS
            found = self._store.query(
                "SELECT event_id FROM events WHERE event_id IN {ids:Array(String)}"
                " AND endpoint_id IN {endpoints:Array(String)} AND received_at"
                " BETWEEN fromUnixTimestamp64Micro({since:Int64}) AND fromUnixTimestamp64Micro({until:Int64})",
                {
                    "ids": [row.event_id for row in some],
                    "endpoints": sorted({row.endpoint_id for row in some}),
                    **_times([since, *(row.received_at for row in some)]),
                },
            )
            repeated.update(row["event_id"] for row in found)
        return [row for row in chosen if row.event_id not in repeated]

    def metrics(self, rows: Sequence[MetricRow]) -> list[MetricRow]:
        """All of a batch that fall into a month lie in one part: they are there, or none is."""
        if not rows:
            return []
        found = self._store.query(
            "SELECT DISTINCT log_offset, toYYYYMM(time) AS month FROM metrics WHERE partition IN"
            " {partitions:Array(UInt8)} AND log_offset BETWEEN {first:UInt64} AND {last:UInt64}",
            _offsets(rows),
        )
        there = {(int(row["log_offset"]), str(row["month"])) for row in found}
        return [row for row in rows if (row.log_offset, _month(row.time)) not in there]


def _offsets(rows: Sequence[EventRow] | Sequence[MetricRow]) -> dict[str, object]:
    offsets = [row.log_offset for row in rows]
    return {
        "partitions": sorted({row.partition for row in rows}),
        "first": min(offsets),
        "last": max(offsets),
    }


def _times(seconds: Iterable[float]) -> Mapping[str, int]:
    moments = [microseconds(each) for each in seconds]
    return {"since": min(moments), "until": max(moments)}


def _month(seconds: float) -> str:
    return datetime.fromtimestamp(microseconds(seconds) / 1e6, UTC).strftime(PARTITIONS["metrics"])
