"""The life of a Windows service: what the service control manager is told, and what its orders come to.

Speaks with nobody itself: :mod:`agent.windows.service_api` hands orders in and reports out. Numbers are of winsvc.h.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

STOPPED: Final = 1
START_PENDING: Final = 2
STOP_PENDING: Final = 3
RUNNING: Final = 4

CONTROL_STOP: Final = 1
CONTROL_INTERROGATE: Final = 4
CONTROL_SHUTDOWN: Final = 5
CONTROL_PRESHUTDOWN: Final = 0xF

#: Orders that are taken while it runs. A machine that shuts down says so early (Vista and newer), when the
#: disk and the network are still there; ``SHUTDOWN`` itself comes to services that have not ended by then.
ACCEPTED: Final = 0x1 | 0x4 | 0x100

NO_ERROR: Final = 0
ERROR_CALL_NOT_IMPLEMENTED: Final = 120
ERROR_SERVICE_SPECIFIC_ERROR: Final = 1066

#: The exit status of a service that was told to stop and did not within its time.
STOPPED_LATE: Final = 70
_BEAT_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 20.0
#: Until the next report; Windows gives up on a service that is later than that.
_HINT_MS: Final = 10_000


class Report(Struct, frozen=True):
    """SERVICE_STATUS without what never changes: ``accepts`` a mask, ``exit_code`` Windows' own, ``specific`` ours,
    ``wait_ms`` until the next report is due."""

    state: int
    accepts: int = 0
    exit_code: int = NO_ERROR
    specific: int = 0
    checkpoint: int = 0
    wait_ms: int = 0


def exit_codes(status: int) -> tuple[int, int]:
    """``(exit_code, specific)`` for an exit status: 0 is an end without error, every other one is our own number, at
    which the failure actions of the service begin."""
    return (ERROR_SERVICE_SPECIFIC_ERROR, status) if status else (NO_ERROR, 0)


class Lifecycle:
    """Threads: :meth:`serve` is the service's main function, :meth:`control` Windows' dispatcher, the rest the main
    thread, which does the work.

    Args:
        tell: hands a report to Windows; must not raise.
        stop_seconds: how long the agent may take to end after it was told to.
    """

    def __init__(
        self,
        tell: Callable[[Report], None],
        *,
        stop_seconds: float = _STOP_SECONDS,
        beat_seconds: float = _BEAT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.begun = threading.Event()
        self.stopping = threading.Event()
        self._tell = tell
        self._stop_seconds = stop_seconds
        self._beat_seconds = beat_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._stop: Callable[[], None] | None = None
        self._last = Report(STOPPED)
        self._status = 0
        self._told_at = 0.0

    def serve(self) -> int:
        """Report until the work has ended, or is too late to; return the exit status."""
        self._say(START_PENDING)
        self.begun.set()
        while not self._ended.wait(self._beat_seconds):
            with self._lock:
                late = self.stopping.is_set() and self._clock() - self._told_at >= self._stop_seconds
                pending = self._last.state in (START_PENDING, STOP_PENDING)
            if late:
                self._status = STOPPED_LATE
                break
            if pending:
                self._say(None)
        self._say(STOPPED)
        return self._status

    def running(self) -> None:
        """The work has begun."""
        self._say(RUNNING)

    def stop_by(self, stop: Callable[[], None]) -> None:
        """Call ``stop``, which must not block, when the service is told to end; at once where it has been."""
        with self._lock:
            self._stop = stop
            due = self.stopping.is_set()
        if due:
            stop()

    def end(self, status: int) -> None:
        """The work has ended with this exit status."""
        self._status = status
        self._ended.set()

    def control(self, code: int) -> int:
        """Take an order; return what the handler answers Windows."""
        if code in (CONTROL_STOP, CONTROL_SHUTDOWN, CONTROL_PRESHUTDOWN):
            with self._lock:
                again = self.stopping.is_set()
                if not again:
                    self._told_at = self._clock()
                    self.stopping.set()
                stop = self._stop
            if not again:
                self._say(STOP_PENDING)
                if stop is not None:
                    stop()
            return NO_ERROR
        if code == CONTROL_INTERROGATE:
            with self._lock:
                self._tell(self._last)
            return NO_ERROR
        return ERROR_CALL_NOT_IMPLEMENTED

    def _say(self, state: int | None) -> None:
        """Report ``state``, or that the one of before goes on. A service that stops is not said to run any more."""
        with self._lock:
            last = self._last
            if state == RUNNING and self.stopping.is_set():
                return
            if state is None or state == last.state:
                self._last = Report(
                    last.state, last.accepts, checkpoint=last.checkpoint + 1, wait_ms=_HINT_MS
                )
            elif state in (START_PENDING, STOP_PENDING):
                self._last = Report(state, checkpoint=1, wait_ms=_HINT_MS)
            elif state == RUNNING:
                self._last = Report(state, ACCEPTED)
            else:
                self._last = Report(state, 0, *exit_codes(self._status))
            self._tell(self._last)
