"""Rows for tests of the log, and reading until what is awaited is there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from collector.log.interface import LogRow, moved
from collector.partitions import all_from, partition_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.log.interface import LogReader, LogWriter


def batch(
    seq: int, body: bytes = b"body", endpoint: str = "e", stream: str = "s", received_at: float = 2.0
) -> LogRow:
    return LogRow(0, "batch", endpoint, stream, seq, 1.0, received_at, body)


def heartbeat(seq: int) -> LogRow:
    return LogRow(0, "heartbeat", "e", "s", seq, 1.0, 2.0, b"")


def endpoint_in(partition: int) -> str:
    """The first of `e0`, `e1`… that belongs to the partition."""
    return next(
        name for name in (f"e{number}" for number in range(10_000)) if partition_of(name) == partition
    )


def append(writer: LogWriter, *rows: LogRow) -> list[int]:
    """Append them at the same time; their offsets."""

    async def all_at_once() -> list[int]:
        return list(await asyncio.gather(*(writer.append(row) for row in rows)))

    return asyncio.run(all_at_once())


def read(
    reader: LogReader, count: int, positions: Mapping[int, int] | None = None, limit: int = 1000
) -> list[LogRow]:
    """Rows behind ``positions`` (from the beginning where None) as they arrive, until there are ``count``."""
    at = dict(all_from(0) if positions is None else positions)
    rows: list[LogRow] = []

    def enough() -> bool:
        nonlocal at
        found = reader.read(at, limit)
        rows.extend(found)
        at = moved(at, found)
        return len(rows) >= count

    wait_until(enough, seconds=20, what=f"{count} rows", every=0.01)
    return rows
