"""``/healthz`` and ``/metrics`` of the agents' port. Blocking; call it from a thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from collector import exposition
from collector.state.tables import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from collector.log.interface import LogWriter
    from collector.metrics import IngestMetrics
    from collector.state.database import StateStore

#: What this process's sign of life is called.
NAME: Final = "ingest"


class Exposition:
    """Everything the collector says of itself, this process's counters and the log's among it."""

    def __init__(self, metrics: IngestMetrics, writer: LogWriter, state: StateStore) -> None:
        self._writer = writer
        self._state = state
        self._lock = threading.Lock()
        metrics.registry.register(LogFigures(writer))
        self._registry = exposition.Exposition(state, metrics.registry, NAME).registry()

    def healthy(self) -> bool:
        """Whether the log is written and the state store answers: what taking in needs."""
        try:
            with self._state.read() as session:
                session.execute(select(func.count()).select_from(Checkpoint))
        except SQLAlchemyError:
            return False
        return self._writer.alive()

    def text(self) -> bytes:
        """Everything in Prometheus's text format; one at a time, others wait."""
        with self._lock:
            return prometheus_client.generate_latest(self._registry)


class LogFigures:
    """The log's own counts, as a collector of prometheus_client."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    def collect(self) -> Iterator[Metric]:
        said = self._writer.statistics
        yield CounterMetricFamily("vonggac_log_rows", "Rows that were written to the log", value=said.rows)
        yield CounterMetricFamily("vonggac_log_repeats", "Batches that came again", value=said.repeats)
        yield GaugeMetricFamily(
            "vonggac_log_waiting_bytes", "Bytes that wait for the disk", value=said.waiting_bytes
        )
        yield GaugeMetricFamily(
            "vonggac_log_offset", "Highest offset that the log has given", value=said.last_offset
        )
        yield GaugeMetricFamily(
            "vonggac_log_up", "Whether the log can be written now", value=int(self._writer.alive())
        )
