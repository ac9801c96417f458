"""Every process's sign of life: a row of the state store with its figures, written anew every few seconds.

What reads it: the exposition for Prometheus (:mod:`collector.exposition`), the collector's watch over itself
(:mod:`collector.watch`) and the console. A process that ends in order takes its row away; one that was killed leaves
it, and is missed.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import ProcessCollector
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from collector.machine import Machine, machine_name
from collector.state.tables import ProcessHealth
from collector.state.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from collector.settings import DataDirectory
    from collector.state.database import StateStore

BEAT_SECONDS: Final = 10.0

log = logging.getLogger("vonggac.health")


class Heartbeat:
    """One a process. Asyncio servers run :meth:`keep_beating` on their own loop, so that a loop that stands still is
    missed; others call :meth:`beat_if_due` in theirs. Never raises because the state store is away.

    Args:
        kind: ``ingest detect correlate store web export vulnerabilities``.
        name: the process's own name, ``detect-2``; with the machine's it names the row.
        registry: what the process counts; the standard ``process_*`` figures are added to it.
    """

    def __init__(
        self,
        state: StateStore,
        data: DataDirectory,
        *,
        kind: str,
        name: str,
        registry: CollectorRegistry,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._machine = Machine(data)
        self._registry = registry
        self._now = now
        self._next = 0.0
        self._took = 0.0
        self._failing = False
        self.process = f"{machine_name()}/{name}"
        self._row: dict[str, Any] = {
            "process": self.process,
            "kind": kind,
            "host": machine_name(),
            "pid": os.getpid(),
            "started_at": datetime.fromtimestamp(now(), UTC),
        }
        ProcessCollector(registry=registry)

    def beat_if_due(self) -> None:
        """Beat where the last one was :data:`BEAT_SECONDS` ago. Takes a few milliseconds then, else nothing."""
        if monotonic() >= self._next:
            self.beat()

    def beat(self) -> None:
        """Write the row now. Blocking."""
        self._next = monotonic() + BEAT_SECONDS
        machine = {**self._machine.figures(), "state_write_seconds": self._took}
        figures = {"machine": machine, "families": as_figures(self._registry.collect())}
        row = {**self._row, "beat_at": datetime.fromtimestamp(self._now(), UTC), "figures": figures}
        started = monotonic()
        try:
            with self._state.write() as session:
                upsert(session, ProcessHealth, [row], ("process",))
        except SQLAlchemyError as error:
            if not self._failing:
                log.warning("the sign of life cannot be written", extra={"error": str(error)[:300]})
            self._failing = True
        else:
            self._took = round(monotonic() - started, 6)
            if self._failing:
                log.info("the sign of life is written again")
            self._failing = False

    async def keep_beating(self) -> None:
        """Beat until cancelled: on the loop whose life it is to tell (``collector.serving.run(…, beside=)``)."""
        while True:
            await asyncio.to_thread(self.beat)
            await asyncio.sleep(BEAT_SECONDS)

    def leave(self) -> None:
        """The process ends in order: nobody is to miss it."""
        try:
            with self._state.write() as session:
                session.execute(
                    delete(ProcessHealth).where(
                        ProcessHealth.process == self.process, ProcessHealth.pid == os.getpid()
                    )
                )
        except SQLAlchemyError as error:
            log.warning("the sign of life cannot be taken away", extra={"error": str(error)[:300]})


def as_figures(metrics: Iterable[Metric]) -> list[dict[str, Any]]:
    """Families of samples as JSON: ``{name, type, help, samples: [[name, labels, value]]}``; without what JSON cannot
    say (NaN, infinities)."""
    return [
        {
            "name": metric.name,
            "type": metric.type,
            "help": metric.documentation,
            "samples": [
                [sample.name, dict(sample.labels), sample.value]
                for sample in metric.samples
                if math.isfinite(sample.value)
            ],
        }
        for metric in metrics
    ]


def sample_sum(figures: Mapping[str, Any], name: str, **labels: str) -> float | None:
    """The sum of a process's samples of this name whose labels hold ``labels``; None where there is none."""
    found = [
        value
        for family in figures.get("families", ())
        for sample, given, value in family["samples"]
        if sample == name and labels.items() <= given.items()
    ]
    return sum(found) if found else None
