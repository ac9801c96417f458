"""``python -m collector.process ingest``: the agents' port as a process of its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from collector.ingest.server import serve

if TYPE_CHECKING:
    from collector.settings import DataDirectory, Settings

log = logging.getLogger("vonggac.ingest")


def main(data: DataDirectory, settings: Settings) -> int:
    """Take batches in until SIGTERM or SIGINT; return the process's exit status."""
    log.info("ingest starts", extra={"host": settings.ingest.host, "port": settings.ingest.port})
    serve(data, settings)
    log.info("ingest stopped")
    return 0
