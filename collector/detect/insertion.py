"""Brings the rows of one step into the event store, whatever the store does meanwhile.

A store that is away or full is waited for: the caller tries again. A store that is well but refuses the rows again
and again will never take them: then the rows are tried apart, what is refused alone becomes a dead letter, and the
rest goes in.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec

from collector.detect.decode import Refusal
from collector.detect.step import Letter
from collector.store.errors import FencedError, QueryError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from collector.detect.ports import EventStore
    from collector.store.rows import EventRow, MetricRow

R = TypeVar("R")

log = logging.getLogger("vonggac.detect")

#: So often in a row an answering store refuses before the rows are tried apart.
REFUSALS: Final = 5
_IDS_A_QUERY: Final = 500


class Absent(Protocol):
    """Leaves out what the store has already, of rows that rewinding would not undo."""

    def events(self, rows: Sequence[EventRow]) -> list[EventRow]: ...
    def metrics(self, rows: Sequence[MetricRow]) -> list[MetricRow]: ...


class AbsentOfClock:
    """Of events that the clock made at these positions: what a step that a crash cut short has left. Metrics are
    never the clock's."""

    def __init__(self, store: EventStore, positions: Mapping[int, int]) -> None:
        self._store = store
        self._offsets = sorted(set(positions.values()))

    def events(self, rows: Sequence[EventRow]) -> list[EventRow]:
        known: set[str] = set()
        for start in range(0, len(rows), _IDS_A_QUERY):
            found = self._store.query(
                "SELECT event_id FROM events WHERE log_offset IN {offsets:Array(UInt64)}"
                " AND event_id IN {ids:Array(String)}",
                {
                    "offsets": self._offsets,
                    "ids": [row.event_id for row in rows[start : start + _IDS_A_QUERY]],
                },
            )
            known.update(row["event_id"] for row in found)
        return [row for row in rows if row.event_id not in known]

    def metrics(self, rows: Sequence[MetricRow]) -> list[MetricRow]:
        return list(rows)


class Insertion:
    """Call it until it raises nothing; then every row is in the store exactly once, or is one of ``letters``.

    ``positions``: how far each partition held is worked, ``epochs`` of its leases. ``absent``: says of rows at or
    below these positions which the store lacks; ``None``: all are of offsets above, so that rewinding undoes them.
    """

    def __init__(
        self,
        store: EventStore,
        events: Sequence[EventRow],
        metrics: Sequence[MetricRow],
        *,
        positions: Mapping[int, int],
        epochs: Mapping[int, int],
        absent: Absent | None,
        now: float,
    ) -> None:
        self.letters: list[Letter] = []
        self._store = store
        self._events = events
        self._metrics = metrics
        self._positions = positions
        self._epochs = epochs
        self._absent = absent
        self._now = now
        self._first = True
        self._refusals = 0
        self._event_groups = [events]
        self._metric_groups = [metrics]

    def __call__(self) -> None:
        """Try once.

        Raises:
            StoreError: it did not succeed; trying again is right.
            QueryError: the request itself is wrong; trying again is not.
        """
        try:
            if not self._first:  # a failed insert may have been half of one
                self._rewind()
            self._first = False
            if self._refusals >= REFUSALS:
                self._refusals = 0
                self._try_apart()
                self._rewind()
            for events in self._event_groups:
                self._insert_events(events)
            for metrics in self._metric_groups:
                self._insert_metrics(metrics)
        except (FencedError, QueryError, StoreUnavailableError):
            self._refusals = 0
            raise
        except StoreError:
            self._refusals += 1
            raise

    def _insert_events(self, rows: Sequence[EventRow]) -> None:
        if self._absent is not None:
            rows = self._absent.events(rows)
        self._store.insert_events(rows, self._epochs)

    def _insert_metrics(self, rows: Sequence[MetricRow]) -> None:
        if self._absent is not None:
            rows = self._absent.metrics(rows)
        self._store.insert_metrics(rows, self._epochs)

    def _rewind(self) -> None:
        self._store.rewind(self._positions, self._epochs)

    def _try_apart(self) -> None:
        self.letters = []
        self._event_groups = self._sound(
            self._events, self._insert_events, self._harmless_event, _event_letter
        )
        self._metric_groups = self._sound(
            self._metrics, self._insert_metrics, self._harmless_metric, self._metric_letter
        )
        if self.letters:
            log.error(
                "the event store refuses rows for good; they become dead letters",
                extra={"rows": len(self.letters), "reason": self.letters[0].refusal.reason},
            )

    def _sound(
        self,
        rows: Sequence[R],
        insert: Callable[[Sequence[R]], None],
        harmless: Callable[[R], R],
        letter: Callable[[R, str], Letter],
    ) -> list[Sequence[R]]:
        """``rows`` without those that are refused alone, in groups that the store takes."""
        if not rows:
            return []
        if _refusal(insert, rows) is None:
            return [rows]
        if len(rows) > 1:
            middle = len(rows) // 2
            return [
                *self._sound(rows[:middle], insert, harmless, letter),
                *self._sound(rows[middle:], insert, harmless, letter),
            ]
        insert([harmless(rows[0])])  # a store that refuses this too (a full disk) is the one at fault
        error = _refusal(insert, rows)  # and one that was at fault a moment ago takes the row now
        if error is None:
            return [rows]
        self.letters.append(letter(rows[0], f"refused by the event store: {error}"[:500]))
        return []

    def _harmless_event(self, row: EventRow) -> EventRow:
        """As large as ``row``, with nothing of it; rewound before the rows go in."""
        return replace(
            row,
            event_id="0" * 32,
            time=self._now,
            received_at=self._now,
            log_offset=self._positions[row.partition] + 1,
            endpoint_id="",
            agency_id=0,
            product="vonggac",
            category="trial",
            service="",
            rules=[],
            body=msgspec.json.encode({"trial": "x" * len(row.body)}),
        )

    def _harmless_metric(self, row: MetricRow) -> MetricRow:
        return replace(
            row,
            endpoint_id="",
            name="trial",
            time=self._now,
            value=0.0,
            unit="",
            attributes={},
            log_offset=self._positions[row.partition] + 1,
        )

    def _metric_letter(self, row: MetricRow, reason: str) -> Letter:
        refusal = Refusal(f"metric {row.name}"[:100], reason, msgspec.json.encode(row))
        return Letter(row.endpoint_id, row.log_offset, self._now, refusal)


def _refusal(insert: Callable[[Sequence[R]], None], rows: Sequence[R]) -> StoreError | None:
    """What an answering store has against ``rows``; None where it took them."""
    try:
        insert(rows)
    except (FencedError, QueryError, StoreUnavailableError):
        raise
    except StoreError as error:
        return error
    return None


def _event_letter(row: EventRow, reason: str) -> Letter:
    refusal = Refusal(f"event {row.event_id}", reason, row.body)
    return Letter(row.endpoint_id, row.log_offset, row.received_at, refusal)
