"""Takes what a log on SQLite has and was not worked on into another log, when an installation outgrows one machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from collector.log.interface import moved
from collector.log.sqlite_reader import SqliteReader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from collector.log.interface import LogRow, LogWriter

_ROWS: Final = 500


def carry_over(path: Path, writer: LogWriter, positions: Mapping[int, int]) -> int:
    """Append the rows behind ``positions`` to the other log, in their order; return how many.

    May be interrupted at any point and done again: batches that come twice are known by their numbers.

    Raises:
        LogError: one of the logs does not do its part now.
        LogDamagedError: the file cannot be read.
    """
    reader = SqliteReader(path)
    carried = 0
    try:
        while rows := reader.read(positions, _ROWS):
            asyncio.run(_append(writer, rows))
            positions = moved(positions, rows)
            carried += len(rows)
    finally:
        reader.close()
    return carried


async def _append(writer: LogWriter, rows: list[LogRow]) -> None:
    await asyncio.gather(*(writer.append(row) for row in rows))
