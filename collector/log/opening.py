"""Opens the durable log that the settings name.

What JetStream needs is imported only where it is used: it costs each process memory.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from collector.log import schema
from collector.log.mending import mend_if_marked
from collector.log.sqlite_reader import SqliteReader
from collector.log.sqlite_writer import SqliteWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.log.interface import LogReader, LogWriter
    from collector.settings import DataDirectory, Settings

log = logging.getLogger("vonggac.log")


def open_writer(
    settings: Settings, data: DataDirectory, on_commit: Callable[[float, int], None] | None = None
) -> LogWriter:
    """Close it. ``on_commit`` is called in a thread of the writer's with the seconds and rows of each commit.

    Raises:
        LogError: it cannot be opened now.
        LogDamagedError: it cannot be used as it is.
    """
    if settings.log.url:
        from collector.log.jetstream.writer import NatsWriter

        return NatsWriter(settings.log, queue_bytes=settings.ingest.queue_bytes, on_commit=on_commit)
    with schema.reading(data.log):
        return SqliteWriter(
            data.log,
            queue_bytes=settings.ingest.queue_bytes,
            reserve_bytes=settings.ingest.reserve_bytes,
            on_commit=on_commit,
        )


def open_reader(settings: Settings, data: DataDirectory) -> LogReader:
    """Close it. Raises as :func:`open_writer`."""
    if settings.log.url:
        from collector.log.jetstream.reader import NatsReader

        return NatsReader(settings.log)
    return SqliteReader(data.log)


def prepare_log(settings: Settings, data: DataDirectory, positions: Mapping[int, int]) -> bool:
    """Make sure that every row to come gets an offset above all ``positions``, up to which the workers have read;
    whether the log was behind them: it was lost then, or is an older one. To be called before writers and
    readers run.

    A file with damaged pages is mended first. Where JetStream has taken the place of the file, what it has and nobody
    read is carried over, and it gets out of the way (`log.db.carried`).

    Raises as :func:`open_writer`.
    """
    checkpoint = max(positions.values())
    mend_if_marked(data.log)
    if not settings.log.url:
        return schema.go_on_behind(data.log, checkpoint) > 0
    from collector.log.jetstream.preparing import prepare_stream
    from collector.log.jetstream.writer import NatsWriter
    from collector.log.moving import carry_over

    behind = prepare_stream(settings.log, checkpoint)
    if not data.log.exists():
        return behind
    writer = NatsWriter(settings.log)
    try:
        carried = carry_over(data.log, writer, positions)
    finally:
        writer.close()
    data.log.rename(data.log.with_name("log.db.carried"))
    log.info("the log on this machine was carried over to JetStream", extra={"unread_rows": carried})
    return False
