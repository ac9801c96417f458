"""The spool's reader and the sender put together: batch after batch, never further than what was taken."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

from collector.export.lines import line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from collector.export.lines import LabelBook, Labels
    from collector.export.sender import Outcome
    from collector.export.spool import Record, SpooledPoint, SpoolReader
    from collector.metrics import ExportMetrics

#: How long it waits after a failure, longer each time.
_BACKOFF_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)

log = logging.getLogger("vonggac.export")


class SenderLike(Protocol):
    """``collector.export.sender.Sender`` fits."""

    def send(self, lines: list[str]) -> Outcome: ...


class Exporter:
    """Call :meth:`turn` again and again, each time after as long as it says.

    Args:
        batch_points: of one request.
        pause_seconds: until the next look at an empty spool.
    """

    def __init__(
        self,
        spool: SpoolReader,
        sender: SenderLike,
        labels: LabelBook,
        metrics: ExportMetrics,
        *,
        batch_points: int,
        pause_seconds: float,
        now: Callable[[], float] = time.monotonic,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._spool = spool
        self._sender = sender
        self._labels = labels
        self._metrics = metrics
        self._batch_points = batch_points
        self._pause_seconds = pause_seconds
        self._now = now
        self._stopping = stopping
        self._failures = 0
        self._wait = 0.0
        self._waits_since: float | None = None

    def turn(self) -> float:
        """Send what waits, until the spool is empty or a batch fails; return the seconds to wait before the next."""
        wait = self._pause_seconds
        batch: list[Record] = []
        size = 0
        well = True
        for record in self._spool.records():
            batch.append(record)
            size += len(record.points)
            if size >= self._batch_points:
                well = self._send(batch)
                batch, size = [], 0
                if not well or self._stopping():
                    break
        if well and batch:
            well = self._send(batch)
        if not well:
            wait = self._wait
        self._metrics.dropped.inc(self._spool.tidy())
        waiting = self._spool.waiting_bytes()
        self._metrics.spool_bytes.set(waiting)
        if not waiting or (well and not self._stopping()):
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = self._now()
        lag = 0.0 if self._waits_since is None else self._now() - self._waits_since
        self._metrics.lag_seconds.set(lag)
        return wait

    def _send(self, records: Sequence[Record]) -> bool:
        """Whether all of it was taken, or will never be; then the spool goes on behind it."""
        points = [point for record in records for point in record.points]
        labels = self._labels.of({point.endpoint_id for point in points})
        lines, odd = _lines(points, labels)
        for start in range(0, len(lines), self._batch_points):
            if not self._deliver(lines[start : start + self._batch_points]):
                return False
        self._metrics.refused.inc(odd)
        self._metrics.repeats.inc(sum(record.repeats for record in records))
        damaged = sum(record.damaged_bytes for record in records)
        if damaged:
            log.error("a part of the export's spool cannot be read", extra={"bytes": damaged})
            self._metrics.dropped.inc(sum(record.count for record in records if record.damaged_bytes))
        self._spool.done(records)
        return True

    def _deliver(self, lines: list[str]) -> bool:
        started = self._now()
        outcome = self._sender.send(lines)
        self._metrics.write_seconds.observe(max(0.0, self._now() - started))
        if outcome.taken:
            self._metrics.points.inc(len(lines))
            if self._failures:
                log.info("the outside store takes metrics again")
            self._failures = 0
            return True
        self._metrics.failures.labels(outcome.reason).inc()
        if not outcome.refused:
            if not self._failures:
                log.warning("the outside store does not take metrics", extra={"reason": outcome.detail})
            step = min(self._failures, len(_BACKOFF_SECONDS) - 1)
            self._wait = max(_BACKOFF_SECONDS[step], min(outcome.retry_after_seconds, 300.0))
            self._failures += 1
            return False
        if len(lines) == 1:
            log.error("the outside store refuses a point for good", extra={"reason": outcome.detail})
            self._metrics.refused.inc()
            return True
        middle = len(lines) // 2  # one bad line must not hold up the others
        return self._deliver(lines[:middle]) and self._deliver(lines[middle:])


def _lines(points: Sequence[SpooledPoint], labels: Mapping[str, Labels]) -> tuple[list[str], int]:
    """The points' lines, and how many had none."""
    found = [line(point, labels[point.endpoint_id]) for point in points]
    sound = [each for each in found if each is not None]
    return sound, len(found) - len(sound)
