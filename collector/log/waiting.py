"""Rows on their way to becoming durable, and who waits for them on which event loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from collector.log.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.log.interface import LogRow


class Waiting:
    """One row, and the future that its sender awaits. To be made on the sender's event loop."""

    __slots__ = ("future", "loop", "row")

    def __init__(self, row: LogRow) -> None:
        self.row = row
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[int] = self.loop.create_future()


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
