"""Keeps a set of processes running on one machine: starts, restarts with back-off, stops in order.

Made for ``vonggac serve``. It knows command lines only, so that it can also run what it must not import. Children
get a signal when this process dies, however it dies, and are in process groups of their own: Ctrl-C in a terminal
reaches only the supervisor, which then ends them.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from collector import locks
from collector.errors import CollectorError
from collector.process import CANNOT_START, PROCESSES, SEVERAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from collector.settings import DataDirectory, Settings

_TICK_SECONDS: Final = 0.2
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: A process that ran this long was well: its next end counts as the first.
_WELL_SECONDS: Final = 60.0
#: All but the last group, then the last, get this long to end by themselves: within 10 seconds in all.
_STOP_SECONDS: Final = (5.0, 2.5)
_PR_SET_PDEATHSIG: Final = 1

log = logging.getLogger("vonggac.supervisor")
_libc = ctypes.CDLL(None, use_errno=True)


class CannotStartError(CollectorError):
    """A process said that trying again would not help; its own log line says why."""


@dataclass
class _Child:
    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    next_start: float = 0.0
    #: Whether it ever ran for more than a moment: its settings and its port are then good.
    proved: bool = False


def collector_commands(
    data: DataDirectory, settings: Settings, config: Path | None = None
) -> dict[str, list[str]]:
    """The command lines of the collector's own processes that these settings ask for, for :class:`Supervisor`."""
    options = ["--data", str(data.root), *(["--config", str(config)] if config is not None else [])]
    commands = {}
    for name in PROCESSES:
        command = [sys.executable, "-m", "collector.process", name, *options]
        if name in SEVERAL:
            numbers = range(1, worker_count(settings) + 1)
            commands.update({f"{name}-{number}": [*command, "--number", str(number)] for number in numbers})
        elif name != "export" or settings.sends_outside:
            commands[name] = command
    return commands


def worker_count(settings: Settings) -> int:
    """How many detect workers run on this machine: as many as are set, or one for every two cores, since what feeds
    them and what they feed needs the other; but two wherever there are two cores: one works while the other's step is
    being stored."""
    cores = os.cpu_count() or 1
    return settings.detect.workers or max(min(cores, 2), cores // 2)


class Supervisor:
    """Runs ``commands`` (name → command line) until SIGINT, SIGTERM or :meth:`stop`.

    Args:
        lock: a file; a second supervisor on the same one is refused.
        name: what the refusal calls us.
        stop_last: names of processes that others need while they end.
        before: called once the lock is held and before anything starts; what it raises ends :meth:`run`.
        ready: probes; when every one has answered true, ``on_ready`` is called once (and systemd is told, where
            it waits for that).
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        lock: Path,
        stop_last: Sequence[str] = ("store",),
        ready: Sequence[Callable[[], bool]] = (),
        on_ready: Callable[[], None] = lambda: None,
        before: Callable[[], None] = lambda: None,
        name: str = "vonggac serve",
    ) -> None:
        self._children = [_Child(name, list(command)) for name, command in commands.items()]
        self._lock = lock
        self._name = name
        self._before = before
        self._stop_last = frozenset(stop_last)
        self._waiting = list(ready)
        self._on_ready = on_ready
        self._told = False
        self._stop = threading.Event()

    def run(self) -> int:
        """Supervise from the main thread; return 0 after a signal.

        Raises:
            AlreadyRunningError: another supervisor holds the lock.
            CannotStartError: a process cannot start, and everything was stopped again.
        """
        with locks.hold(self._lock, self._name):
            self._before()
            before = {kind: signal.signal(kind, self._on_signal) for kind in (signal.SIGINT, signal.SIGTERM)}
            try:
                while not self._stop.is_set():
                    self._tick()
                    self._stop.wait(_TICK_SECONDS)
            finally:
                self._end_all()
                for kind, handler in before.items():
                    signal.signal(kind, handler)
        return 0

    def stop(self) -> None:
        """Let :meth:`run` end; any thread may call it."""
        self._stop.set()

    def pids(self) -> dict[str, int]:
        """Process ids of those that run, by name."""
        return {
            child.name: child.process.pid
            for child in self._children
            if child.process is not None and child.process.poll() is None
        }

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop.set()

    def _tick(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is not None:
                self._look_after(child, now)
            if child.process is None and now >= child.next_start and not self._stop.is_set():
                self._start(child, now)
        self._check_ready()

    def _look_after(self, child: _Child, now: float) -> None:
        assert child.process is not None  # noqa: S101 - the caller has looked
        status = child.process.poll()
        if status is None:
            child.proved = child.proved or self._told or now - child.started_at > _WELL_SECONDS
            return
        child.process = None
        if status == CANNOT_START and not child.proved:
            raise CannotStartError(f"{child.name} cannot start: see its last line above")
        if now - child.started_at > _WELL_SECONDS:
            child.failures = 0
        delay = _BACKOFF_SECONDS[min(child.failures, len(_BACKOFF_SECONDS) - 1)]
        child.failures += 1
        child.next_start = now + delay
        log.error("process ended", extra={"child": child.name, "status": status, "restart_seconds": delay})

    def _start(self, child: _Child, now: float) -> None:
        child.process = subprocess.Popen(
            child.command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_die_with(os.getpid())
        )
        child.started_at = now
        log.info("process started", extra={"child": child.name, "pid": child.process.pid})

    def _check_ready(self) -> None:
        if self._told:
            return
        self._waiting = [probe for probe in self._waiting if not probe()]
        if not self._waiting:
            self._told = True
            self._on_ready()
            _tell_systemd()

    def _end_all(self) -> None:
        first = [child for child in self._children if child.name not in self._stop_last]
        last = [child for child in self._children if child.name in self._stop_last]
        for group, seconds in zip((first, last), _STOP_SECONDS, strict=True):
            _end([child.process for child in group if child.process is not None], seconds)


def _end(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    """SIGTERM, and SIGKILL for those still there ``seconds`` later."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("process killed: it did not end in time", extra={"pid": process.pid})
            process.kill()
            process.wait()


def _die_with(parent: int) -> Callable[[], None]:
    """What the child does between fork and exec. We have no threads there, and it takes no locks."""

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we could ask to be told
            os._exit(1)

    return prepare


def _tell_systemd() -> None:
    """``READY=1`` for a unit of ``Type=notify`` (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        try:
            notify.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.warning("systemd cannot be told", extra={"reason": str(error)})
