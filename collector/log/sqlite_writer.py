"""Writes the durable log on SQLite.

One row a batch. Rows of many connections are gathered into one transaction (group commit), so that an fsync is
shared. A batch that is already known by (endpoint, stream, number) is not stored again, not even when its row
was trimmed long ago.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
from time import monotonic
from typing import TYPE_CHECKING, Final

from collector.log import schema
from collector.log.errors import LogError, LogFull
from collector.log.interface import WriterStatistics
from collector.log.waiting import Intake, Waiting, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from collector.log.interface import LogRow

#: A group commit takes no more than this in one transaction.
_GROUP_ROWS: Final = 512
_GROUP_BYTES: Final = 16 << 20

_FIND_BATCH: Final = (
    "SELECT \"offset\" FROM record WHERE kind = 'batch' AND endpoint_id = ? AND stream = ? AND seq = ?"
    " AND (checksum = ? OR checksum IS NULL)"
)


class SqliteWriter:
    """The only writer of new rows: one a data directory. Owns a thread; call :meth:`close` (idempotent).

    Args:
        path: the log's file; made where it is missing.
        queue_bytes: bodies waiting for the disk beyond this are refused with :class:`LogBusy`.
        reserve_bytes: this much of the disk stays free for the other stores: rows are refused with
            :class:`LogFull` before the last byte is used, and the worker can go on emptying the log.
        on_commit: called in the writer's thread after each commit with its seconds and rows.
    """

    def __init__(
        self,
        path: Path,
        *,
        queue_bytes: int = 64 << 20,
        on_commit: Callable[[float, int], None] | None = None,
        reserve_bytes: int = 0,
    ) -> None:
        self._connection = schema.connect(path)
        schema.create(self._connection)
        path.chmod(0o600)
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._on_commit = on_commit
        self._path = path
        self._reserve_bytes = reserve_bytes
        self.statistics = WriterStatistics(last_offset=schema.last_offset(self._connection))
        self._intake = Intake(queue_bytes, "the disk", self.statistics)
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self._thread.start()

    async def append(self, row: LogRow) -> int:
        """As :meth:`collector.log.interface.LogWriter.append`; repeated batches are always known."""
        return await self._intake.admit(row, self._queue.put).future

    def alive(self) -> bool:
        """Whether rows are still written."""
        return not self._intake.closed and self._thread.is_alive()

    def close(self) -> None:
        """Write what waits, then stop the thread."""
        if not self._intake.close():
            return
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            group = [first]
            size = len(first.row.body)
            last = False
            while len(group) < _GROUP_ROWS and size < _GROUP_BYTES:
                try:
                    waiting = self._queue.get_nowait()
                except queue.Empty:
                    break
                if waiting is None:
                    last = True
                    break
                group.append(waiting)
                size += len(waiting.row.body)
            self._commit(group)
            self._intake.leave(size)
            if last:
                return

    def _commit(self, group: list[Waiting]) -> None:
        started = monotonic()
        results: list[int] | LogError
        try:
            self._check_room(sum(len(waiting.row.body) for waiting in group))
            results = self._write([waiting.row for waiting in group])
        except LogFull as error:
            results = error
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            results = schema.as_write_error(self._path, error)
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            results = LogError(f"the log could not write: {error}")
        seconds = monotonic() - started
        if not isinstance(results, LogError):
            self.statistics.commits += 1
            self.statistics.commit_seconds = seconds
            self.statistics.commit_seconds_total += seconds
            if self._on_commit is not None:
                self._on_commit(seconds, len(group))
        if isinstance(results, LogError):
            # An exception of its own for each: a raised one carries its sender's traceback.
            answer((waiting, type(results)(str(results))) for waiting in group)
        else:
            answer(zip(group, results, strict=True))

    def _check_room(self, size: int) -> None:
        if not self._reserve_bytes:
            return
        disk = os.statvfs(self._path.parent)
        # Twice: the write-ahead log has it first, the file itself later.
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes + 2 * size:
            raise LogFull(schema.FULL)

    def _write(self, rows: Sequence[LogRow]) -> list[int]:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        offsets = []
        new = repeats = 0
        for row in rows:
            known = _known(self._connection, row) if row.kind == "batch" else None
            if known is not None:
                offsets.append(known)
                repeats += 1
                continue
            offsets.append(schema.insert(self._connection, row))
            new += 1
        execute("COMMIT")
        self.statistics.rows += new
        self.statistics.repeats += repeats
        if new:
            self.statistics.last_offset = max(offsets)
        return offsets


def _known(connection: sqlite3.Connection, row: LogRow) -> int | None:
    """The offset of the batch if it came before with the same content, else None."""
    key = (row.endpoint_id, row.stream, row.seq, schema.checksum_of(row))
    found = connection.execute(_FIND_BATCH, key).fetchone()
    return None if found is None else int(found[0])
