"""Everything that the collector says of itself, for Prometheus: one answer for all processes of all machines.

Each process writes its figures beside its sign of life (:mod:`collector.health`); whichever is asked gives them all,
its own as they are now, the others' as of their last sign of life. So one scrape of one port sees the whole pipeline.
Blocking; call it from a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from collector.health import as_figures
from collector.identity.links import succeeded
from collector.machine import machine_name
from collector.state.base import utcnow
from collector.state.tables import Alert, Checkpoint, DeadLetter, Endpoint, ProcessHealth, Stream, WatchState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.database import StateStore

#: Figures of a process that was not heard of for so long are no longer given; when it was heard of last is.
STALE_SECONDS: Final = 120.0


class Exposition:
    """A collector in the sense of prometheus_client: register it, or iterate :meth:`collect`.

    Args:
        own: the registry of the process that answers.
        name: that process's name, as its sign of life has it.
    """

    def __init__(self, state: StateStore, own: CollectorRegistry, name: str) -> None:
        self._state = state
        self._own = own
        self._process = f"{machine_name()}/{name}"

    def registry(self) -> CollectorRegistry:
        """A registry that gives all of it and nothing else."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry

    def collect(self) -> Iterator[Metric]:
        """All families, each once, its samples labelled with ``process`` and ``machine``. Without the state store
        only this process's own, and ``vonggac_state_up`` says so."""
        merged = _Merged()
        merged.add(self._process, as_figures(self._own.collect()))
        families: list[Metric] = []
        try:
            with self._state.read() as session:
                rows = session.scalars(select(ProcessHealth).order_by(ProcessHealth.process)).all()
                families = [*_signs_of_life(rows), *_machines(rows), *_pipeline(session), *_watch(session)]
        except SQLAlchemyError:
            rows = []
        yield GaugeMetricFamily(
            "vonggac_state_up", "Whether the state store answers", value=int(bool(families))
        )
        now = utcnow()
        for row in rows:
            if row.process != self._process and _age(row, now) < STALE_SECONDS:
                merged.add(row.process, row.figures.get("families", []))
        yield from families
        yield from merged.families()


class _Merged:
    """Families of several processes, joined by name."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def add(self, process: str, families: list[dict[str, Any]]) -> None:
        machine, _, name = process.rpartition("/")
        for family in families:
            metric = self._families.setdefault(
                family["name"], Metric(family["name"], family["help"], family["type"])
            )
            for sample, labels, value in family["samples"]:
                metric.add_sample(sample, {**labels, "process": name, "machine": machine}, value)

    def families(self) -> Iterator[Metric]:
        for name in sorted(self._families):
            yield self._families[name]


def _signs_of_life(rows: Any) -> Iterator[Metric]:
    beat = GaugeMetricFamily(
        "vonggac_process_beat_timestamp_seconds",
        "When each process gave its last sign of life",
        labels=["process", "machine", "kind"],
    )
    for row in rows:
        beat.add_metric([row.process.rpartition("/")[2], row.host, row.kind], row.beat_at.timestamp())
    yield beat


#: Figures of a machine: name and words.
_MACHINE: Final = {
    "disk_free_bytes": "Free bytes of the file system under the data directory",
    "disk_size_bytes": "Size of the file system under the data directory",
    "clock_synchronised": "Whether the kernel's clock is disciplined by NTP",
    "clock_error_seconds": "The kernel's bound on the clock's error",
    "clock_jump_seconds": "By how much the clock was set in the last hour",
    "state_write_seconds": "How long the state store took to make a sign of life durable",
}


def _machines(rows: Any) -> Iterator[Metric]:
    newest: dict[str, ProcessHealth] = {}
    for row in rows:
        if row.host not in newest or row.beat_at > newest[row.host].beat_at:
            newest[row.host] = row
    for name, words in _MACHINE.items():
        family = GaugeMetricFamily(f"vonggac_machine_{name}", words, labels=["machine"])
        for host, row in newest.items():
            value = row.figures.get("machine", {}).get(name)
            if value is not None:
                family.add_metric([host], value)
        yield family
    ends = GaugeMetricFamily(
        "vonggac_certificate_expiry_timestamp_seconds",
        "When the collector's own certificates end",
        labels=["machine", "certificate"],
    )
    for host, row in newest.items():
        for certificate, end in row.figures.get("machine", {}).get("certificates", {}).items():
            ends.add_metric([host, certificate], end)
    yield ends


def _pipeline(session: Session) -> Iterator[Metric]:
    offset = GaugeMetricFamily(
        "vonggac_checkpoint_offset", "How far each partition's worker has come", labels=["worker"]
    )
    moved = GaugeMetricFamily(
        "vonggac_checkpoint_timestamp_seconds",
        "When each checkpoint was last written or confirmed",
        labels=["worker"],
    )
    for row in session.scalars(select(Checkpoint).order_by(Checkpoint.worker)):
        offset.add_metric([row.worker], row.log_offset)
        moved.add_metric([row.worker], row.updated_at.timestamp())
    yield offset
    yield moved
    yield GaugeMetricFamily(
        "vonggac_dead_letters",
        "Batches, or parts of them, kept because they could not be read",
        value=session.scalar(select(func.count()).select_from(DeadLetter)) or 0,
    )
    missing, dropped = session.execute(
        select(func.coalesce(func.sum(Stream.missing), 0), func.coalesce(func.sum(Stream.dropped), 0))
    ).one()
    yield CounterMetricFamily("vonggac_batches_missing", "Batches that never came", value=missing)
    yield CounterMetricFamily("vonggac_agent_dropped", "Entries that agents had to discard", value=dropped)
    silent = session.scalar(
        select(func.count()).where(
            Endpoint.retired_at.is_(None), ~succeeded(), Endpoint.silence_mark_seconds > 0
        )
    )
    enrolled = session.scalar(select(func.count()).where(Endpoint.retired_at.is_(None), ~succeeded())) or 0
    yield GaugeMetricFamily(
        "vonggac_endpoints", "Endpoints that are enrolled and not retired", value=enrolled
    )
    yield GaugeMetricFamily("vonggac_endpoints_silent", "Of them, the silent ones", value=silent or 0)
    alerts = GaugeMetricFamily("vonggac_alerts", "Alerts that are not closed", labels=["level", "status"])
    counted = (
        select(Alert.level, Alert.status, func.count())
        .where(Alert.status != "closed")
        .group_by(Alert.level, Alert.status)
    )
    for level, status, count in session.execute(counted):
        alerts.add_metric([level, status], count)
    yield alerts


def _watch(session: Session) -> Iterator[Metric]:
    value = GaugeMetricFamily(
        "vonggac_watch_value",
        "What the collector's watch over itself measured last (units: docs/operations.md)",
        labels=["concern", "subject"],
    )
    level = GaugeMetricFamily(
        "vonggac_watch_mark", "The mark that the value has passed; 0 when well", labels=["concern", "subject"]
    )
    pulse: datetime | None = None
    for row in session.scalars(select(WatchState).order_by(WatchState.concern, WatchState.subject)):
        if row.value is not None:
            value.add_metric([row.concern, row.subject], row.value)
        level.add_metric([row.concern, row.subject], float(row.detail.get("mark", 0)))
        pulse = row.looked_at if pulse is None else max(pulse, row.looked_at)
    yield value
    yield level
    if pulse is not None:
        yield GaugeMetricFamily(
            "vonggac_watch_pulse_timestamp_seconds",
            "When the collector last looked at itself: its age is the dead-man signal",
            value=pulse.timestamp(),
        )


def _age(row: ProcessHealth, now: datetime) -> float:
    return (now - row.beat_at).total_seconds()
