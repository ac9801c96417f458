"""Looks at the processes' signs of life, and at what they say of their machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete

from collector.health import sample_sum
from collector.state.tables import ProcessHealth
from collector.watch.readings import HOUR, HourCount, LastChange, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.orm import Session

_DAY: Final = 86_400.0
#: A process that was killed and never came back (a worker fewer) is forgotten after this.
_FORGOTTEN_SECONDS: Final = 7 * _DAY
#: What is told where the disk does not fill.
NEVER_DAYS: Final = 9999.0
#: A trend asks for so much of a past, and looks no further back than so far.
_TREND_FROM_SECONDS: Final = 6 * HOUR
_TREND_SECONDS: Final = 3 * _DAY
#: Why the agents' port sends batches away that are in order: figures and their reasons. (Quotas and the smoothing of a
#: herd are the agents' own doing.)
_REFUSALS: Final = (
    ("vonggac_ingest_requests_total", ("full", "busy", "log", "state")),
    ("vonggac_ingest_held_back_total", ("memory", "disk", "lag")),
)
#: Where points get lost on their way outside, by kind of process.
_LOSSES: Final = {
    "detect": ("vonggac_detect_unexported_points_total",),
    "export": ("vonggac_export_dropped_points_total", "vonggac_export_refused_points_total"),
}


class Processes:
    """Remembers between looks: what moved, and when."""

    def __init__(self) -> None:
        self._beats: LastChange[object] = LastChange()
        self._starts: dict[str, tuple[object, HourCount, int]] = {}
        self._counts: dict[tuple[str, str], HourCount] = {}
        self._inserts: dict[str, tuple[float, float]] = {}
        self._latency: dict[str, float] = {}
        self._unsynchronised: dict[str, float] = {}

    def look(self, rows: Sequence[ProcessHealth], steady: float) -> Iterator[Reading]:
        """Of every process: its silence, its restarts, and what its figures say of refused batches and the
        export."""
        for row in rows:
            silence = self._beats.age(row.process, row.beat_at, steady)
            yield Reading("process_silence", row.process, silence, detail={"kind": row.kind})
            yield Reading("process_restarts", row.process, self._restarts(row, steady))
            if row.kind == "ingest":
                for name, reasons in _REFUSALS:
                    for reason in reasons:
                        said = sample_sum(row.figures, name, reason=reason)
                        rise = self._count((row.process, reason), steady, said or 0.0)
                        yield Reading("refused_batches", f"{row.process} {reason}", rise)
            if row.kind == "export":
                lag = sample_sum(row.figures, "vonggac_export_lag_seconds") or 0.0
                yield Reading("export_lag", row.process, lag)
            if row.kind in _LOSSES:
                lost = sum(sample_sum(row.figures, name) or 0.0 for name in _LOSSES[row.kind])
                rise = self._count((row.process, "lost"), steady, lost)
                if lost or row.kind == "export":
                    yield Reading("export_loss", row.process, rise)
        self._beats.keep({row.process for row in rows})

    def look_at_stores(self, rows: Sequence[ProcessHealth]) -> Iterator[Reading]:
        """What of the event store is damaged, and how long the stores take to make something durable: the mean of the
        inserts since the last look (kept where there was none), and the newest sign of life's own writing, the slowest
        of all processes."""
        state = [
            value for row in rows if (value := row.figures.get("machine", {}).get("state_write_seconds"))
        ]
        if state:
            yield Reading("store_latency", "state", max(state))
        for row in rows:
            damaged = sample_sum(row.figures, "vonggac_store_damaged_parts")
            if damaged is not None:
                yield Reading("store_damage", "events", damaged)
            total = sample_sum(row.figures, "vonggac_store_insert_seconds_sum", table="events")
            count = sample_sum(row.figures, "vonggac_store_insert_seconds_count", table="events")
            if total is None or count is None:
                continue
            before = self._inserts.get(row.process, (0.0, 0.0))
            if count < before[1]:
                before = (0.0, 0.0)
            if count > before[1]:
                self._latency[row.process] = (total - before[0]) / (count - before[1])
            self._inserts[row.process] = (total, count)
            yield Reading("store_latency", "events", self._latency.get(row.process, 0.0))

    def look_at_machines(
        self,
        rows: Sequence[ProcessHealth],
        samples: Mapping[str, Sequence[Sequence[float]]],
        now: float,
        steady: float,
    ) -> Iterator[Reading]:
        """Disk, clock and certificates of every machine, by its newest sign of life.

        ``samples``: of the disk, as the last look's ``detail`` had them: ``[[time, free bytes], …]`` a machine.
        """
        newest: dict[str, ProcessHealth] = {}
        for row in rows:
            if row.host not in newest or row.beat_at > newest[row.host].beat_at:
                newest[row.host] = row
        for host, row in newest.items():
            said: dict[str, Any] = row.figures.get("machine", {})
            yield from _disk(host, said, samples.get(host, ()), now)
            if "clock_jump_seconds" in said:
                jump = float(said["clock_jump_seconds"])
                yield Reading("clock_jump", host, abs(jump), detail={"seconds": jump})
            if "clock_synchronised" in said:
                if said["clock_synchronised"]:
                    self._unsynchronised.pop(host, None)
                since = (
                    self._unsynchronised.setdefault(host, steady)
                    if not said["clock_synchronised"]
                    else steady
                )
                yield Reading("clock_unsynchronised", host, steady - since)
            for name, end in said.get("certificates", {}).items():
                yield Reading("certificate", f"{host} {name}", (end - now) / _DAY, detail={"ends": end})

    def forget(self, session: Session, rows: Sequence[ProcessHealth], steady: float) -> None:
        """Take away the rows of processes that nobody misses any more. In a write transaction."""
        gone = [
            row.process
            for row in rows
            if self._beats.age(row.process, row.beat_at, steady) > _FORGOTTEN_SECONDS
        ]
        if gone:
            session.execute(delete(ProcessHealth).where(ProcessHealth.process.in_(gone)))

    def _restarts(self, row: ProcessHealth, steady: float) -> float:
        started, count, total = self._starts.get(row.process, (row.started_at, HourCount(), 0))
        if started != row.started_at:
            total += 1
        self._starts[row.process] = (row.started_at, count, total)
        return count.add(steady, total)

    def _count(self, key: tuple[str, str], steady: float, total: float) -> float:
        return self._counts.setdefault(key, HourCount()).add(steady, total)


def _disk(
    host: str, said: Mapping[str, Any], samples: Sequence[Sequence[float]], now: float
) -> Iterator[Reading]:
    free, size = said.get("disk_free_bytes"), said.get("disk_size_bytes")
    if free is None or not size:
        return
    yield Reading("disk_free", host, free / size, detail={"free_bytes": free, "size_bytes": size})
    kept = [list(each) for each in samples if now - _TREND_SECONDS <= each[0] <= now]
    if not kept or now - kept[-1][0] >= HOUR:
        kept.append([now, float(free)])
    yield Reading("disk_runway", host, runway_days(kept, now, float(free)), detail={"samples": kept})


def runway_days(samples: Sequence[Sequence[float]], now: float, free: float) -> float:
    """Days until the disk is full if it goes on as from the oldest sample until now; :data:`NEVER_DAYS` at most, also
    where there is too little of a past."""
    if not samples or now - samples[0][0] < _TREND_FROM_SECONDS:
        return NEVER_DAYS
    used_a_second = (samples[0][1] - free) / (now - samples[0][0])
    if used_a_second <= 0:
        return NEVER_DAYS
    return min(NEVER_DAYS, free / used_a_second / _DAY)
