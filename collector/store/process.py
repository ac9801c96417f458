"""``python -m collector.process store``: the event store's owner as a process of its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from collector.store.owner import serve

if TYPE_CHECKING:
    from collector.settings import DataDirectory, Settings

log = logging.getLogger("vonggac.store")


def main(data: DataDirectory, settings: Settings) -> int:  # noqa: ARG001 - every process is called alike
    """Own the store until SIGTERM or SIGINT; return the process's exit status."""
    log.info("store starts", extra={"path": str(data.events)})
    serve(data.events, data.store_socket)
    log.info("store stopped")
    return 0
