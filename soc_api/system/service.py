"""How far the log is worked, how the collector's processes fare, streams with gaps, dead letters."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from collector.detect.checkpoints import load_places
from collector.errors import CollectorError
from collector.health import sample_sum
from collector.log.opening import open_reader
from collector.state.tables import DeadLetter, Endpoint, ProcessHealth, Stream, WatchState
from collector.watch.concerns import CONCERNS
from collector.watch.record import OK, PULSE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from collector.log.interface import LogReader
    from collector.settings import DataDirectory, Settings
    from soc_api.services import Services


@dataclass(frozen=True, slots=True)
class PartitionPlace:
    """How far one partition of the log is worked: everything of it received until ``received_at`` is in the stores;
    ``updated_at`` is when a worker last said so."""

    partition: int
    log_offset: int
    received_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """``waiting``: batches of the log that no worker has worked yet (None: the log is not on this machine).
    ``lag_seconds``: how far the slowest partition is behind (None: no worker has said yet)."""

    partitions: list[PartitionPlace]
    waiting: int | None
    lag_seconds: float | None
    log_last_offset: int | None
    store_healthy: bool
    dead_letters: int
    endpoints: int
    batches_missing: int
    items_dropped: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process's last sign of life. ``figures`` hold what can be said of it in a line: ``memory_bytes``,
    ``cpu_seconds``, and ``events``, ``lag_seconds`` where it counts them."""

    name: str
    kind: str
    machine: str
    pid: int
    started_at: datetime
    beat_at: datetime
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Observation:
    """What the collector's watch over itself last found. ``mark`` 0: well."""

    concern: str
    subject: str
    value: float | None
    mark: float
    trouble: bool
    since: datetime
    looked_at: datetime


@dataclass(frozen=True, slots=True)
class Health:
    """``looked_at``: when the collector last looked at itself; None: never."""

    processes: list[Process]
    observations: list[Observation]
    looked_at: datetime | None


def pipeline(services: Services) -> Pipeline:
    last = last_log_offset(services.settings, services.data)
    with services.state.read() as session:
        missing, dropped = session.execute(
            select(func.coalesce(func.sum(Stream.missing), 0), func.coalesce(func.sum(Stream.dropped), 0))
        ).one()
        places = load_places(session)
        letters = session.scalar(select(func.count()).select_from(DeadLetter)) or 0
        endpoints = session.scalar(select(func.count()).where(Endpoint.retired_at.is_(None))) or 0
    received = [place.received_at for place in places.values() if place.received_at is not None]
    lag = None if not received else max(0.0, (services.clock() - min(received)).total_seconds())
    return Pipeline(
        partitions=[
            PartitionPlace(partition, place.log_offset, place.received_at, place.updated_at)
            for partition, place in sorted(places.items())
        ],
        waiting=waiting_batches(
            services.settings, services.data, {each: place.log_offset for each, place in places.items()}
        ),
        lag_seconds=lag,
        log_last_offset=last,
        store_healthy=services.store.healthy(),
        dead_letters=letters,
        endpoints=endpoints,
        batches_missing=missing,
        items_dropped=dropped,
    )


def health(session: Session) -> Health:
    """Processes by name, observations with the gravest trouble first."""
    rows = session.scalars(select(ProcessHealth).order_by(ProcessHealth.host, ProcessHealth.process)).all()
    states = session.scalars(select(WatchState)).all()
    observations = [
        Observation(
            row.concern,
            row.subject,
            row.value,
            float(row.detail.get("mark", 0)),
            row.state != OK,
            row.since,
            row.looked_at,
        )
        for row in states
        if row.concern in CONCERNS
    ]
    order = list(CONCERNS)
    observations.sort(key=lambda each: (not each.trouble, order.index(each.concern), each.subject))
    return Health(
        processes=[
            Process(
                row.process.rpartition("/")[2],
                row.kind,
                row.host,
                row.pid,
                row.started_at,
                row.beat_at,
                _key_figures(row.figures),
            )
            for row in rows
        ],
        observations=observations,
        looked_at=next((row.looked_at for row in states if row.concern == PULSE), None),
    )


#: The figures of a process that are said in a line, and the samples that they are sums of.
_KEY_FIGURES: Final = {
    "memory_bytes": ("process_resident_memory_bytes",),
    "cpu_seconds": ("process_cpu_seconds_total",),
    "events": ("vonggac_detect_events_total", "vonggac_correlate_events_total"),
    "lag_seconds": (
        "vonggac_detect_lag_seconds",
        "vonggac_correlate_lag_seconds",
        "vonggac_export_lag_seconds",
    ),
    "connections": ("vonggac_ingest_connections",),
}


def _key_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, samples in _KEY_FIGURES.items():
        said = [value for sample in samples if (value := sample_sum(figures, sample)) is not None]
        if said:
            found[name] = sum(said)
    return found


def waiting_batches(settings: Settings, data: DataDirectory, positions: Mapping[int, int]) -> int | None:
    """How many batches of the durable log are behind these positions; None as for :func:`last_log_offset`."""
    return _of_log(settings, data, lambda reader: reader.waiting(positions))


def first_waiting(settings: Settings, data: DataDirectory, positions: Mapping[int, int]) -> int | None:
    """The lowest offset behind these positions; None where none waits, and as for :func:`last_log_offset`."""
    return _of_log(settings, data, lambda reader: reader.first_waiting(positions))


def last_log_offset(settings: Settings, data: DataDirectory) -> int | None:
    """The newest offset of the durable log; None where there is none here (a web process on its own
    machine), or it cannot be read."""
    return _of_log(settings, data, lambda reader: reader.last_offset())


def _of_log(settings: Settings, data: DataDirectory, ask: Callable[[LogReader], int | None]) -> int | None:
    if not settings.log.url and not data.log.exists():
        return None
    try:
        with closing(open_reader(settings, data)) as reader:
            return ask(reader)
    except CollectorError:
        return None


def streams_with_gaps(session: Session, start: int, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """The worst first: endpoint_id, hostname, stream, last_seq, missing, dropped, updated_at."""
    query = (
        select(
            Stream.endpoint_id,
            Endpoint.hostname,
            Stream.stream,
            Stream.last_seq,
            Stream.missing,
            Stream.dropped,
            Stream.updated_at,
        )
        .join(Endpoint, Endpoint.id == Stream.endpoint_id)
        .where((Stream.missing > 0) | (Stream.dropped > 0))
        .order_by((Stream.missing + Stream.dropped).desc(), Stream.endpoint_id, Stream.stream)
    )
    return session.execute(query.offset(start).limit(limit)).all()


def dead_letters(session: Session, before: int | None, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """The newest first, without their bodies: id, endpoint_id, log_offset, reason, size_bytes,
    received_at."""
    query = select(
        DeadLetter.id,
        DeadLetter.endpoint_id,
        DeadLetter.log_offset,
        DeadLetter.reason,
        func.length(DeadLetter.body).label("size_bytes"),
        DeadLetter.received_at,
    ).order_by(DeadLetter.id.desc())
    if before is not None:
        query = query.where(DeadLetter.id < before)
    return session.execute(query.limit(limit)).all()
