"""The main thread's sleep: ended by a signal, by another thread, or by its time."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


class Wake:
    """Make and use in the main thread; :meth:`wake` may be called from any.

    A handler that takes a lock can deadlock with the very code it interrupts, so the handler only sets a flag
    and the wake-up comes through a pipe (``signal.set_wakeup_fd``).
    """

    def __init__(self) -> None:
        self.stopping = False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def on_signals(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            signal.signal(number, self._stop)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def stop(self) -> None:
        self.stopping = True
        self.wake()

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"w")

    def sleep(self, seconds: float) -> None:
        """Return after ``seconds``, or earlier where something happened."""
        if seconds <= 0 or self.stopping:
            return
        ready, _, _ = select.select([self._read], [], [], seconds)
        if ready:
            os.read(self._read, 4096)
