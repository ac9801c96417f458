"""The main thread's sleep: ended by a signal, by another thread, or by its time."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


class Wake:
    """Make and use in the main thread; :meth:`wake` may be called from any.

    A handler that takes a lock can deadlock with the very code it interrupts, so the handler only sets a flag
    and the wake-up comes through a pair of sockets (``signal.set_wakeup_fd``; Windows can wait for no pipe).
    """

    def __init__(self) -> None:
        self.stopping = False
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)

    def on_signals(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            signal.signal(number, self._stop)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def stop(self) -> None:
        self.stopping = True
        self.wake()

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._write.send(b"w")

    def sleep(self, seconds: float) -> None:
        """Return after ``seconds``, or earlier where something happened."""
        if seconds <= 0 or self.stopping:
            return
        ready, _, _ = select.select([self._read], [], [], seconds)
        if ready:
            self._read.recv(4096)
