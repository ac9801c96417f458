"""Opens the durable log that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.log import schema
from collector.log.sqlite_reader import SqliteReader
from collector.log.sqlite_writer import SqliteWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.log.interface import LogReader, LogWriter
    from collector.settings import DataDirectory, Settings


def open_writer(
    settings: Settings, data: DataDirectory, on_commit: Callable[[float, int], None] | None = None
) -> LogWriter:
    """Close it. ``on_commit`` is called in a thread of the writer's with the seconds and rows of each commit.

    Raises:
        LogError: it cannot be opened now.
        LogDamagedError: it cannot be used as it is.
    """
    with schema.reading(data.log):
        return SqliteWriter(
            data.log,
            queue_bytes=settings.ingest.queue_bytes,
            reserve_bytes=settings.ingest.reserve_bytes,
            on_commit=on_commit,
        )


def open_reader(settings: Settings, data: DataDirectory) -> LogReader:
    """Close it. Raises as :func:`open_writer`."""
    return SqliteReader(data.log)


def prepare_log(settings: Settings, data: DataDirectory, checkpoint: int) -> bool:
    """Make sure that every row to come gets an offset above ``checkpoint``, the highest one worked on; whether
    the log was behind it: it was lost then, or is an older one. To be called before writers and readers run.

    Raises as :func:`open_writer`.
    """
    return schema.go_on_behind(data.log, checkpoint) > 0
