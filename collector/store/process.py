"""``python -m collector.process store``: the event store's owner as a process of its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from collector.health import Heartbeat
from collector.metrics import StoreMetrics
from collector.state.database import open_state
from collector.store.owner import serve

if TYPE_CHECKING:
    from collector.settings import DataDirectory, Settings

log = logging.getLogger("vonggac.store")


def main(data: DataDirectory, settings: Settings) -> int:
    """Own the store until SIGTERM or SIGINT; return the process's exit status."""
    log.info("store starts", extra={"path": str(data.events)})
    metrics = StoreMetrics()
    state = open_state(settings, data)
    heartbeat = Heartbeat(state, data, kind="store", name="store", registry=metrics.registry)
    try:
        serve(data.events, data.store_socket, metrics, heartbeat.keep_beating)
        heartbeat.leave()
    finally:
        state.close()
    log.info("store stopped")
    return 0
