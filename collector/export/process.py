"""``python -m collector.process export``: what carries figures outside, in a process of its own, so that a slow or
hostile far end holds up nothing else."""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from collector.errors import CollectorError
from collector.export.exporter import Exporter
from collector.export.lines import LabelBook
from collector.export.ping import Pinger
from collector.export.sender import Sender
from collector.export.spool import SpoolReader
from collector.health import Heartbeat
from collector.metrics import ExportMetrics
from collector.state.database import open_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.settings import DataDirectory, Settings

log = logging.getLogger("vonggac.export")

_BEAT_SECONDS = 1.0
_RETRY_SECONDS = 5.0
#: A request that hangs is not waited for longer: whatever it carried is sent again.
_END_SECONDS = 2.0


def main(data: DataDirectory, settings: Settings) -> int:
    """Export and give signs of life until SIGTERM or SIGINT; return the process's exit status."""
    if not settings.sends_outside:
        raise CollectorError("nothing to export: set [metrics] export_url or [watch] ping_url")
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _number, _frame: stop.set())
    state = open_state(settings, data)
    metrics = ExportMetrics()
    heartbeat = Heartbeat(state, data, kind="export", name="export", registry=metrics.registry)
    closing: list[Callable[[], None]] = []
    duties: dict[str, Callable[[], float]] = {}
    if settings.metrics.export_url:
        sender = Sender(settings.metrics)
        closing.append(sender.close)
        exporter = Exporter(
            SpoolReader(data.export),
            sender,
            LabelBook(state),
            metrics,
            batch_points=settings.metrics.export_batch_points,
            pause_seconds=settings.metrics.export_seconds,
            stopping=stop.is_set,
        )
        duties["export"] = exporter.turn
    if settings.watch.ping_url:
        pinger = Pinger(settings.watch, state, metrics)
        closing.append(pinger.close)

        def ping() -> float:
            pinger.turn()
            return settings.watch.ping_seconds

        duties["ping"] = ping
    threads = [
        threading.Thread(target=_repeat, args=(duty, stop), name=name, daemon=True)
        for name, duty in duties.items()
    ]
    log.info("export starts", extra={"duties": sorted(duties), "url": settings.metrics.export_url})
    for thread in threads:
        thread.start()
    while not stop.is_set() and all(thread.is_alive() for thread in threads):
        heartbeat.beat_if_due()
        stop.wait(_BEAT_SECONDS)
    status = 0 if stop.is_set() else 1
    stop.set()
    deadline = time.monotonic() + _END_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for close in closing:
        close()
    if status == 0:
        heartbeat.leave()
    state.close()
    log.info("export stopped")
    return status


def _repeat(duty: Callable[[], float], stop: threading.Event) -> None:
    failing = False
    while not stop.is_set():
        try:
            wait = duty()
        except SQLAlchemyError as error:
            if not failing:
                log.warning("the state store does not answer", extra={"error": str(error)[:300]})
            failing, wait = True, _RETRY_SECONDS
        except Exception:
            log.critical("ended by an error that nobody foresaw", exc_info=True)
            return
        else:
            failing = False
        stop.wait(wait)
