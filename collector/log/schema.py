"""The log's one file: its tables, and how a connection to it is opened."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# ``record.offset`` is AUTOINCREMENT so that a number is never used again, not even after the newest rows were
# trimmed. ``received`` remembers which numbers of a stream are behind trimmed rows, as ranges: one range
# a stream as long as nothing is missing in it.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    "offset" INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL,
    sent_at REAL NOT NULL,
    received_at REAL NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS uq_record_batch ON record (endpoint_id, stream, seq) WHERE kind = 'batch';
CREATE TABLE IF NOT EXISTS received (
    endpoint_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, stream, first)
) WITHOUT ROWID;
"""

_BUSY_SECONDS = 10.0


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode (we say BEGIN), usable from any one thread at a time.

    Every commit is in the WAL and fsynced when it returns (``synchronous=FULL``).
    """
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only a new file listens to this
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=2000")
    connection.execute(f"PRAGMA journal_size_limit={64 << 20}")
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Make the tables where they are missing; two processes may do it at once."""
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            connection.execute(statement)
