"""``python -m collector.process vulnerabilities``: keeps what every machine has up to date, in a process of its own
that gives way to every other one."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy.exc import SQLAlchemyError

from collector.health import Heartbeat
from collector.state.base import utcnow
from collector.state.database import open_state
from collector.vulnerabilities.fleet import Fleet

if TYPE_CHECKING:
    from collector.settings import DataDirectory, Settings

log = logging.getLogger("vonggac.vulnerabilities")

_NICE: Final = 15
#: How often it is looked whether anything has changed.
_LOOK_SECONDS: Final = 5.0
#: Between two pieces, so that whoever waits to write has his turn.
_BREATH_SECONDS: Final = 0.02


def main(data: DataDirectory, settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; return the process's exit status."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _number, _frame: stop.set())
    os.nice(_NICE)
    state = open_state(settings, data)
    registry = CollectorRegistry()
    examined = Counter(
        "vonggac_vulnerabilities_examined_machines_total",
        "Times that a machine's software was matched with the feeds",
        registry=registry,
    )
    waiting = Gauge(
        "vonggac_vulnerabilities_waiting_machines",
        "Machines whose software or whose feeds have changed since they were matched",
        registry=registry,
    )
    aside = Gauge(
        "vonggac_vulnerabilities_set_aside_machines",
        "Machines that could not be matched; the log says why",
        registry=registry,
    )
    heartbeat = Heartbeat(state, data, kind="vulnerabilities", name="vulnerabilities", registry=registry)
    fleet = Fleet(state, utcnow)
    failing = False
    while not stop.is_set():
        heartbeat.beat_if_due()
        try:
            done = fleet.turn()
        except SQLAlchemyError as error:
            if not failing:
                log.warning("the state store does not answer", extra={"error": str(error)[:300]})
            failing, wait = True, _LOOK_SECONDS
        else:
            failing = False
            examined.inc(done)
            waiting.set(fleet.waiting)
            aside.set(fleet.aside)
            wait = _BREATH_SECONDS if done else _LOOK_SECONDS
        stop.wait(wait)
    heartbeat.leave()
    state.close()
    log.info("vulnerabilities stopped")
    return 0
