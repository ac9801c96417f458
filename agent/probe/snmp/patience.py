"""A time limit that holds where what it limits swallows its cancellation.

``asyncio.wait_for`` of Python 3.11 gives a result that comes in the same moment as the cancellation, and forgets the
latter (https://bugs.python.org/issue37658). A device that sends again and again what nobody asked for makes that
happen, and :func:`asyncio.timeout` cancels once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

_AGAIN_SECONDS: Final = 0.05


class Patience:
    """Raises TimeoutError out of its block after ``seconds``, by cancelling the task as often as it takes. Once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._cancels = 0

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("outside of a task")
        self._task: asyncio.Task[object] = task
        self._before = task.cancelling()
        self._next = asyncio.get_running_loop().call_later(self._seconds, self._expire)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._next.cancel()
        left = self._task.cancelling()
        for _ in range(self._cancels):
            left = self._task.uncancel()
        if self._cancels and kind is asyncio.CancelledError and left <= self._before:
            raise TimeoutError from error

    def _expire(self) -> None:
        self._cancels += 1
        self._task.cancel()
        self._next = asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._expire)
