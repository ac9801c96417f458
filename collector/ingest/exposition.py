"""``/healthz`` and ``/metrics``: how the collector itself fares. Blocking; call it from a thread."""

from __future__ import annotations

import http.client
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING

import prometheus_client
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from collector.state.tables import Checkpoint, DeadLetter
from collector.store.channel import Channel

if TYPE_CHECKING:
    from pathlib import Path

    from collector.log.interface import LogWriter
    from collector.metrics import IngestMetrics
    from collector.state.database import StateStore

_STORE_SECONDS = 2.0


class Exposition:
    """Gathers what the processes know: this one's counters, the pipeline's state, the event store's figures."""

    def __init__(
        self, metrics: IngestMetrics, writer: LogWriter, state: StateStore, store_socket: Path
    ) -> None:
        self._metrics = metrics
        self._writer = writer
        self._state = state
        self._store = Channel(store_socket)
        self._lock = threading.Lock()

    def healthy(self) -> bool:
        """Whether the log is written and the state store answers: what taking in needs."""
        try:
            with self._state.read() as session:
                session.execute(select(func.count()).select_from(Checkpoint))
        except SQLAlchemyError:
            return False
        return self._writer.alive()

    def text(self) -> bytes:
        """Everything in Prometheus's text format; the event store's part is missing while it is down."""
        with self._lock:
            self._refresh()
            return prometheus_client.generate_latest(self._metrics.registry) + self._store_text()

    def close(self) -> None:
        self._store.close()

    def _refresh(self) -> None:
        statistics = self._writer.statistics
        self._metrics.repeats.set(statistics.repeats)
        self._metrics.waiting_bytes.set(statistics.waiting_bytes)
        self._metrics.log_offset.set(statistics.last_offset)
        try:
            with self._state.read() as session:
                checkpoints = session.execute(select(Checkpoint.worker, Checkpoint.log_offset)).all()
                letters = session.scalar(select(func.count()).select_from(DeadLetter)) or 0
        except SQLAlchemyError:
            return
        for worker, offset in checkpoints:
            self._metrics.checkpoint_offset.labels(worker).set(offset)
            self._metrics.checkpoint_lag.labels(worker).set(max(0, statistics.last_offset - offset))
        self._metrics.dead_letters.set(letters)

    def _store_text(self) -> bytes:
        try:
            status, text = self._store.request("GET", "/metrics", None, "", _STORE_SECONDS)
        except (OSError, http.client.HTTPException):
            return b"# the event store does not answer\n"
        return text if status == HTTPStatus.OK else b""
