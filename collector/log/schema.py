"""The log's one file: its tables, and how a connection to it is opened."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from collector.log.errors import LogDamagedError, LogError, LogFull
from collector.partitions import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.log.interface import LogRow


# ``record.offset`` is AUTOINCREMENT so that a number is never used again, not even after the newest rows were
# trimmed. A batch came before where its number and its content did: two copies of one agent's memory give one number to
# two contents, and both were acknowledged. What is repeated after it was trimmed, the worker knows.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    "offset" INTEGER PRIMARY KEY AUTOINCREMENT,
    partition INTEGER NOT NULL,
    kind TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL,
    sent_at REAL NOT NULL,
    received_at REAL NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER
);
DROP INDEX IF EXISTS uq_record_batch;
CREATE UNIQUE INDEX IF NOT EXISTS uq_record_content
    ON record (endpoint_id, stream, seq, checksum) WHERE kind = 'batch';
CREATE INDEX IF NOT EXISTS ix_record_partition ON record (partition);
DROP TABLE IF EXISTS received;
"""

_INSERT: Final = (
    'INSERT INTO record ("offset", partition, kind, endpoint_id, stream, seq, sent_at, received_at, body, checksum)'
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
#: A log of before there were partitions has no such column; its rows get theirs one after the other.
_UNKNOWN: Final = -1
_FILL_ROWS: Final = 1000
_BUSY_SECONDS: Final = 10.0
FULL: Final = "no room on the disk for the log: free some, or shorten detect.log_keep_hours"


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode (we say BEGIN), usable from any one thread at a time.

    Every commit is in the WAL and fsynced when it returns (``synchronous=FULL``).
    """
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only a new file listens to this
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA cell_size_check=ON")
    # Some builds overwrite what is deleted: trimming would write the whole log once more, on a disk that may be full.
    connection.execute("PRAGMA secure_delete=FAST")
    connection.execute("PRAGMA wal_autocheckpoint=2000")
    connection.execute(f"PRAGMA journal_size_limit={64 << 20}")
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Make the tables where they are missing, and give every row its partition; two processes may do it at once."""
    _add_columns(connection)
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            connection.execute(statement)
    if connection.execute("SELECT 1 FROM record WHERE partition = ? LIMIT 1", (_UNKNOWN,)).fetchone():
        _fill_partitions(connection)


def _add_columns(connection: sqlite3.Connection) -> None:
    """To a log of before there were partitions and checksums."""
    columns = _columns(connection)
    if not columns or "partition" in columns:
        return  # new, or as it should be
    connection.execute("BEGIN IMMEDIATE")
    if "partition" not in _columns(connection):
        connection.execute(f"ALTER TABLE record ADD COLUMN partition INTEGER NOT NULL DEFAULT {_UNKNOWN}")
        connection.execute("ALTER TABLE record ADD COLUMN checksum INTEGER")
    connection.execute("COMMIT")


def _columns(connection: sqlite3.Connection) -> set[str]:
    return {str(row[1]) for row in connection.execute("PRAGMA table_info(record)")}


def checksum_of(row: LogRow) -> int:
    """Over all that must not change. SQLite itself notices damage only where its structure is hit, and most of the
    file is bodies."""
    names = f"{row.kind}/{row.endpoint_id}/{row.stream}/{row.seq}".encode()
    return zlib.crc32(row.body, zlib.crc32(names))


def insert(connection: sqlite3.Connection, row: LogRow, offset: int | None = None) -> int:
    """Add the row, at the next offset where none is given; return its offset."""
    values = (
        offset,
        row.partition,
        row.kind,
        row.endpoint_id,
        row.stream,
        row.seq,
        row.sent_at,
        row.received_at,
        row.body,
        checksum_of(row),
    )
    cursor = connection.execute(_INSERT, values)
    return int(cursor.lastrowid or 0)


def _fill_partitions(connection: sqlite3.Connection) -> None:
    while True:
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute(
            'SELECT "offset", endpoint_id FROM record WHERE partition = ? LIMIT ?', (_UNKNOWN, _FILL_ROWS)
        ).fetchall()
        connection.executemany(
            'UPDATE record SET partition = ? WHERE "offset" = ?',
            [(partition_of(endpoint), offset) for offset, endpoint in rows],
        )
        connection.execute("COMMIT")
        if len(rows) < _FILL_ROWS:
            return


def as_write_error(path: Path, error: sqlite3.Error) -> LogError:
    """What a sender or a trimming worker is told: nothing was changed, try again later."""
    if _code(error) == sqlite3.SQLITE_CORRUPT:
        mark(path)
    if _code(error) == sqlite3.SQLITE_FULL:
        return LogFull(FULL)
    return LogError(f"the log could not write: {error}")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what SQLite says while reading into errors of the log."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) == sqlite3.SQLITE_CORRUPT:
            mark(path)
            raise LogDamagedError(
                f"{path}: the log has a damaged page ({error}): stop `vonggac serve` and start it again, which keeps"
                " what can be read; look after the disk"
            ) from error
        if _code(error) == sqlite3.SQLITE_NOTADB:
            raise damaged(path, error) from error
        raise LogError(f"{path}: the log cannot be read now: {error}") from error


def mark(path: Path) -> None:
    """Say that this log has a damaged page, for :mod:`collector.log.mending`."""
    with suppress(OSError):
        mark_of(path).touch(mode=0o600)


def mark_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def damaged(path: Path, error: Exception) -> LogDamagedError:
    return LogDamagedError(
        f"{path}: the log cannot be read ({error}): move it and its -wal file away, or restore a backup;"
        " what agents sent and the worker had not read is lost with it"
    )


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def last_offset(connection: sqlite3.Connection) -> int:
    """The highest offset ever given, 0 in an empty log; trimming does not lower it."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'record'").fetchone()
    return int(found[0]) if found is not None else 0


def go_on_behind(path: Path, checkpoint: int) -> int:
    """Make sure that every row to come gets an offset above ``checkpoint``, and return by how much offsets rose.

    A log that gave fewer offsets than the worker has read is not the one that it read: it was lost, or is an
    older one. Without this, new rows would get offsets that count as read. Rows that it holds already go behind
    the checkpoint too, in their order: nobody can tell whether they were read, and the worker knows a repeated
    batch. Nothing is changed (no file is made) where the log is not behind; idempotent.

    Raises:
        LogDamagedError: the file is no log.
        LogError: it is a log, but cannot be written now (disk full, rights, held by another).
    """
    if checkpoint <= 0:
        return 0
    try:
        with closing(connect(path)) as connection:
            create(connection)
            path.chmod(0o600)
            connection.execute("BEGIN IMMEDIATE")
            given = last_offset(connection)
            if given >= checkpoint:
                connection.execute("ROLLBACK")
                return 0
            # No number can be taken twice meanwhile: all old ones are below, all new ones above the checkpoint.
            connection.execute('UPDATE record SET "offset" = "offset" + ?', (checkpoint,))
            connection.execute("DELETE FROM sqlite_sequence WHERE name = 'record'")
            connection.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES ('record', ?)", (checkpoint + given,)
            )
            connection.execute("COMMIT")
            return checkpoint
    except sqlite3.OperationalError as error:
        raise LogError(f"{path}: the log cannot be prepared: {error}") from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, error) from error
