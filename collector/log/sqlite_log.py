"""The durable log on SQLite: everything taken in, in order, until the worker is done with it.

One row a batch. :class:`LogWriter` gathers the rows of many connections into one transaction (group
commit), so that an fsync is shared; :class:`LogReader` reads behind it from another process. Offsets rise
strictly and are never reused. A batch that is already known by (endpoint, stream, number) is not stored
again, not even when its row was trimmed long ago.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from collector.log import schema
from collector.log.errors import LogBusy, LogError, LogFull
from collector.log.trim import trim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: A group commit takes no more than this in one transaction.
_GROUP_ROWS: Final = 512
_GROUP_BYTES: Final = 16 << 20
#: ``LogReader.read`` stops here even below its row limit (it always returns at least one row).
_READ_BYTES: Final = 32 << 20

#: How long a look at the disk's free space holds.
_ROOM_SECONDS: Final = 1.0
_FULL: Final = "no room on the disk for the log: free some, or shorten detect.log_keep_hours"

_FIND_BATCH: Final = (
    "SELECT \"offset\" FROM record WHERE kind = 'batch' AND endpoint_id = ? AND stream = ? AND seq = ?"
)
_FIND_TRIMMED: Final = (
    "SELECT last FROM received WHERE endpoint_id = ? AND stream = ? AND first <= ?"
    " ORDER BY first DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class LogRow:
    """``kind`` is ``batch`` or ``heartbeat``; ``body`` is the Zstandard frame as it came (empty for a
    heartbeat).

    ``sent_at`` (agent's clock) and ``received_at`` (collector's) are seconds since the epoch. ``offset``
    is 0 until the row is in the log.
    """

    offset: int
    kind: str
    endpoint_id: str
    stream: str
    seq: int
    sent_at: float
    received_at: float
    body: bytes


@dataclass(slots=True)
class WriterStatistics:
    """Counters since the writer was opened, for metrics. ``commit_seconds`` is the newest commit's
    duration.
    """

    commits: int = 0
    rows: int = 0
    repeats: int = 0
    commit_seconds: float = 0.0
    commit_seconds_total: float = 0.0
    waiting_bytes: int = 0
    last_offset: int = 0


class _Waiting:
    """One row on its way to the disk, and who waits for it."""

    __slots__ = ("future", "loop", "row")

    def __init__(self, row: LogRow) -> None:
        self.row = row
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[int] = self.loop.create_future()


class LogWriter:
    """The only writer of new rows: one a data directory. Owns a thread; call :meth:`close` (idempotent).

    Args:
        path: the log's file; made where it is missing.
        queue_bytes: bodies waiting for the disk beyond this are refused with :class:`LogBusy`.
        reserve_bytes: this much of the disk stays free for the other stores: rows are refused with
            :class:`LogFull` before the last byte is used, and the worker can go on emptying the log.
        max_bytes: a bound on the file itself.
        on_commit: called in the writer's thread after each commit with its seconds and rows.
    """

    def __init__(
        self,
        path: Path,
        *,
        queue_bytes: int = 64 << 20,
        on_commit: Callable[[float, int], None] | None = None,
        reserve_bytes: int = 0,
        max_bytes: int | None = None,
    ) -> None:
        self._connection = schema.connect(path)
        schema.create(self._connection)
        path.chmod(0o600)
        if max_bytes is not None:
            page_bytes = self._connection.execute("PRAGMA page_size").fetchone()[0]
            self._connection.execute(f"PRAGMA max_page_count={max(1, max_bytes // page_bytes)}")
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._queue_bytes = queue_bytes
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._on_commit = on_commit
        self._folder = path.parent
        self._reserve_bytes = reserve_bytes
        self._room_known_until = 0.0
        self._closed = False
        self.statistics = WriterStatistics(last_offset=schema.last_offset(self._connection))
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self._thread.start()

    async def append(self, row: LogRow) -> int:
        """Return the row's offset once it is on disk (fsynced); of a repeated batch, the first one's (or
        0 where that row is trimmed already).

        Cancelling gives up the wait, not the row.

        Raises:
            LogFull: no room on the disk.
            LogBusy: too many bytes wait already.
            LogError: the disk failed, or the log is closed.
        """
        size = len(row.body)
        with self._lock:
            if self._closed:
                raise LogError("the log is closed")
            if self._waiting_bytes + size > self._queue_bytes:
                raise LogBusy(f"{self._waiting_bytes} bytes wait for the disk")
            self._waiting_bytes += size
            self.statistics.waiting_bytes = self._waiting_bytes
            waiting = _Waiting(row)
            self._queue.put(waiting)
        return await waiting.future

    def alive(self) -> bool:
        """Whether rows are still written."""
        return not self._closed and self._thread.is_alive()

    def close(self) -> None:
        """Write what waits, then stop the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
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
            with self._lock:
                self._waiting_bytes -= size
                self.statistics.waiting_bytes = self._waiting_bytes
            if last:
                return

    def _commit(self, group: list[_Waiting]) -> None:
        started = monotonic()
        results: list[int] | LogError
        try:
            self._check_room(started)
            results = self._write([waiting.row for waiting in group])
        except LogFull as error:
            results = error
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            results = _as_log_error(error)
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
        _answer(group, results)

    def _check_room(self, now: float) -> None:
        if not self._reserve_bytes or now < self._room_known_until:
            return
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes:
            raise LogFull(_FULL)
        self._room_known_until = now + _ROOM_SECONDS

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
            cursor = execute(
                "INSERT INTO record (kind, endpoint_id, stream, seq, sent_at, received_at, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row.kind, row.endpoint_id, row.stream, row.seq, row.sent_at, row.received_at, row.body),
            )
            offsets.append(int(cursor.lastrowid or 0))
            new += 1
        execute("COMMIT")
        self.statistics.rows += new
        self.statistics.repeats += repeats
        if new:
            self.statistics.last_offset = max(offsets)
        return offsets


def _known(connection: sqlite3.Connection, row: LogRow) -> int | None:
    """The offset of the batch if it came before (0 where it is trimmed), else None."""
    key = (row.endpoint_id, row.stream, row.seq)
    found = connection.execute(_FIND_BATCH, key).fetchone()
    if found is not None:
        return int(found[0])
    found = connection.execute(_FIND_TRIMMED, key).fetchone()
    return 0 if found is not None and row.seq <= found[0] else None


def _answer(group: list[_Waiting], results: list[int] | LogError) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], int | LogError]]] = {}
    for position, waiting in enumerate(group):
        result = results if isinstance(results, LogError) else results[position]
        by_loop.setdefault(waiting.loop, []).append((waiting.future, result))
    for loop, answers in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_set_results, answers)


def _set_results(answers: list[tuple[asyncio.Future[int], int | LogError]]) -> None:
    for future, result in answers:
        if future.done():
            continue  # the sender went away
        if isinstance(result, LogError):
            future.set_exception(type(result)(str(result)))
        else:
            future.set_result(result)


def _as_log_error(error: sqlite3.Error) -> LogError:
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
        return LogFull(_FULL)
    return LogError(f"the log could not write: {error}")


class LogReader:
    """Reads the log from any process, beside the writer. Not for several threads at once; :meth:`close`
    it.
    """

    def __init__(self, path: Path) -> None:
        self._connection = schema.connect(path)
        schema.create(self._connection)
        self._version: int | None = None

    def read(self, after: int, limit: int) -> list[LogRow]:
        """Up to ``limit`` rows with an offset above ``after``, in order; fewer where their bodies are
        large.
        """
        rows: list[LogRow] = []
        size = 0
        cursor = self._connection.execute(
            'SELECT "offset", kind, endpoint_id, stream, seq, sent_at, received_at, body FROM record'
            ' WHERE "offset" > ? ORDER BY "offset" LIMIT ?',
            (after, limit),
        )
        for values in cursor:
            rows.append(LogRow(*values))
            size += len(rows[-1].body)
            if size >= _READ_BYTES:
                break
        cursor.close()
        return rows

    def changed(self) -> bool:
        """Whether anybody committed since the last call (true on the first). Costs no disk access."""
        version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        before, self._version = self._version, version
        return version != before

    def last_offset(self) -> int:
        """The highest offset ever given, 0 in an empty log; trimming does not lower it."""
        return schema.last_offset(self._connection)

    def trim(self, before_offset: int) -> int:
        """Remove rows with an offset below ``before_offset`` and return how many. Their numbers stay
        known.

        Raises:
            LogError: the disk is full or failed, or the writer holds the log too long; try again later.
        """
        try:
            return trim(self._connection, before_offset)
        except sqlite3.Error as error:
            raise _as_log_error(error) from error

    def close(self) -> None:
        self._connection.close()
