"""Ends a call that computes for too long: by the CPU time of this process, whatever else the machine does."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: A thousand times what the slowest parser needs for its longest input.
CPU_SECONDS: Final = 10.0


class HangError(BaseException):
    """No ``Exception``, so that no parser catches it."""


@contextmanager
def limited(seconds: float = CPU_SECONDS) -> Iterator[None]:
    """Raises :class:`HangError` in what computes for longer. In the main thread only."""
    before = signal.signal(signal.SIGVTALRM, _stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise HangError("it computes for too long")
