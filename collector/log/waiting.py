"""Rows on their way to becoming durable, and who waits for them on which event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from collector.log.errors import LogBusy, LogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from collector.log.interface import LogRow, WriterStatistics


class Waiting:
    """One row, and the future that its sender awaits. To be made on the sender's event loop."""

    __slots__ = ("future", "loop", "row")

    def __init__(self, row: LogRow) -> None:
        self.row = row
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[int] = self.loop.create_future()


class Intake:
    """Lets rows in to wait for the disk or the servers, up to so many bytes, until it is closed. Thread-safe.

    ``awaited``: what they wait for, in words. ``statistics`` are told how many bytes wait.
    """

    def __init__(self, limit_bytes: int, awaited: str, statistics: WriterStatistics) -> None:
        self._limit_bytes = limit_bytes
        self._awaited = awaited
        self._statistics = statistics
        self._lock = threading.Lock()
        self._bytes = 0
        self.closed = False

    def admit(self, row: LogRow, put: Callable[[Waiting], None]) -> Waiting:
        """Let a row in. ``put`` lines it up: no two at once, and none after :meth:`close`.

        Raises:
            LogBusy: too many bytes wait already.
            LogError: it is closed.
        """
        size = len(row.body)
        with self._lock:
            if self.closed:
                raise LogError("the log is closed")
            if self._bytes + size > self._limit_bytes:
                raise LogBusy(f"{self._bytes} bytes wait for {self._awaited}")
            self._count(size)
            waiting = Waiting(row)
            put(waiting)
        return waiting

    def leave(self, size: int) -> None:
        """So many bytes wait no more."""
        with self._lock:
            self._count(-size)

    def close(self) -> bool:
        """Let nothing in any more; whether it was open until now."""
        with self._lock:
            was_open, self.closed = not self.closed, True
        return was_open

    def _count(self, size: int) -> None:
        self._bytes += size
        self._statistics.waiting_bytes = self._bytes


def answer(results: Iterable[tuple[Waiting, int | LogError]]) -> None:
    """Give each sender its row's offset or error, waking every event loop once. From any thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], int | LogError]]] = {}
    for waiting, result in results:
        by_loop.setdefault(waiting.loop, []).append((waiting.future, result))
    for loop, answers in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_set_results, answers)


def _set_results(answers: list[tuple[asyncio.Future[int], int | LogError]]) -> None:
    for future, result in answers:
        if future.done():
            continue  # the sender went away
        if isinstance(result, LogError):
            future.set_exception(result)
        else:
            future.set_result(result)
