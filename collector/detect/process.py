"""``python -m collector.process detect --number N`` and ``… correlate``: each as a process of its own."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from collector import locks
from collector.backups.watch import Backups
from collector.detect.checkpoints import CORRELATE, NAMES
from collector.detect.correlator import Correlator
from collector.detect.rulebook import LiveRules
from collector.detect.worker import Worker
from collector.devices.unauthorised import UnauthorisedLook
from collector.export.spool import SpoolWriter
from collector.files import write_file
from collector.health import Heartbeat
from collector.leases import Leases
from collector.log.opening import open_reader
from collector.machine import machine_name
from collector.metrics import CorrelateMetrics, DetectMetrics
from collector.rulebook.sources import Rulebook
from collector.services.round import Availability
from collector.sources.watch import LogSources
from collector.state.database import open_state
from collector.store.client import StoreClient
from collector.watch.service import Watch
from rules.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from collector.log.interface import LogReader
    from collector.settings import DataDirectory, Settings
    from collector.state.database import StateStore

log = logging.getLogger("vonggac.detect")

#: The first of several processes compiles the rules, the others read what it has kept.
_COMPILE_SECONDS: Final = 180.0
#: Objects made before the collector of garbage looks: more than a step holds.
_GARBAGE: Final = 1_000_000


class _Parts:
    """What both kinds of processes are made of. ``name``: ``detect-2``, ``correlate``."""

    def __init__(self, data: DataDirectory, settings: Settings, name: str, stack: ExitStack) -> None:
        self.stop = threading.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda _number, _frame: self.stop.set())
        self.state: StateStore = stack.enter_context(closing(open_state(settings, data)))
        self.store = stack.enter_context(closing(StoreClient(data.store_socket)))
        self.reader: LogReader = stack.enter_context(closing(open_reader(settings, data)))
        rulebook = Rulebook(
            settings.detect.rule_folders, data.imported_rules, data.cache / f"rules-{name}.index"
        )
        with _in_turn(data.run / "compile.lock"):
            self.rules = LiveRules(rulebook, self.state, lambda sources: _engine(sources, data))
        gc.collect()
        gc.freeze()  # the rules stay: nothing has to look through them again
        gc.set_threshold(_GARBAGE, *gc.get_threshold()[1:])  # events are no cycles: they go by themselves
        self._data = data
        self._name = name

    def leases(self, names: Iterable[str], group: str) -> Leases:
        owner = f"{machine_name()}/{_identity(self._data.run)}/{self._name}"
        return Leases(self.state, owner, names, group=group, now=lambda: datetime.now(UTC))

    def heartbeat(self, kind: str, metrics: DetectMetrics | CorrelateMetrics) -> Heartbeat:
        return Heartbeat(self.state, self._data, kind=kind, name=self._name, registry=metrics.registry)


def main(data: DataDirectory, settings: Settings, number: int) -> int:
    """Work until SIGTERM or SIGINT; return the process's exit status. The data directory must be prepared."""
    metrics = DetectMetrics()
    name = f"detect-{number}"
    with ExitStack() as stack:
        parts = _Parts(data, settings, name, stack)
        heartbeat = parts.heartbeat("detect", metrics)
        export = None
        if settings.metrics.export_url:
            spool = SpoolWriter(data.export, name, settings.metrics.export_spool_bytes)
            export = stack.enter_context(closing(spool))
        worker = Worker(
            state=parts.state,
            reader=parts.reader,
            reread=lambda: open_reader(settings, data),
            store=parts.store,
            rules=parts.rules,
            leases=parts.leases(NAMES, "detect"),
            settings=settings,
            metrics=metrics,
            now=time.time,
            stop=parts.stop,
            beat=heartbeat.beat_if_due,
            export=export,
        )
        worker.run()
        heartbeat.leave()
    log.info("detect stopped")
    return 0


def main_correlate(data: DataDirectory, settings: Settings) -> int:
    """As :func:`main`, for what one process does for all."""
    metrics = CorrelateMetrics()
    with ExitStack() as stack:
        parts = _Parts(data, settings, CORRELATE, stack)
        heartbeat = parts.heartbeat("correlate", metrics)
        correlator = Correlator(
            state=parts.state,
            reader=parts.reader,
            store=parts.store,
            rules=parts.rules,
            memory=data.correlations,
            leases=parts.leases([CORRELATE], "correlate"),
            settings=settings,
            metrics=metrics,
            now=time.time,
            stop=parts.stop,
            beat=heartbeat.beat_if_due,
            make_watches=lambda: (
                Watch(settings, data),
                Availability(settings),
                UnauthorisedLook(settings.coverage, time.time),
                LogSources(settings),
                Backups(settings),
            ),
        )
        correlator.run()
        heartbeat.leave()
    log.info("correlate stopped", extra={"step": correlator.step})
    return 0


@contextmanager
def _in_turn(path: Path) -> Iterator[None]:
    """One process after the other; but nobody waits for ever, for it is only faster."""
    with ExitStack() as stack:
        with suppress(locks.AlreadyRunningError):
            stack.enter_context(locks.hold(path, "compiling the rules", _COMPILE_SECONDS))
        yield


def _engine(sources: Sequence[Path | str], data: DataDirectory) -> Engine:
    return Engine(sources, cache=data.cache / "rules")


def _identity(folder: Path) -> str:
    """What tells this data directory from every other one, of this machine or of another of its name."""
    path = folder / "identity"
    with locks.hold(folder / "identity.lock", "naming the data directory", 10.0):
        if not path.exists():
            write_file(path, uuid4().hex[:12].encode("ascii"), 0o600)
        return path.read_text(encoding="ascii")
