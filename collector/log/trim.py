"""Removes what the worker is done with. A batch that comes again after that, the worker knows."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Final

#: Rows a transaction: the writer of new rows waits no longer than one of them takes.
_CHUNK_ROWS: Final = 1000
#: Pages that are free inside the file, for rows to come; more than that is given back to the disk.
_SLACK_PAGES: Final = 16_384


def trim(connection: sqlite3.Connection, end: int, received_before: float) -> int:
    """Remove all rows below ``end`` that were received before that time; return their count."""
    end = min(end, _first_since(connection, received_before))
    total = 0
    while True:
        removed = _trim_chunk(connection, end)
        total += removed
        if removed:
            _give_back(connection)
        if removed < _CHUNK_ROWS:
            break
    if total:
        connection.execute(
            "PRAGMA wal_checkpoint(PASSIVE)"
        ).fetchall()  # only then the file itself gets smaller
    return total


def _first_since(connection: sqlite3.Connection, moment: float) -> int:
    """The offset below which every row was received before ``moment``: rows are in the order in which they were
    received (but for a clock that was set), so halving finds it."""
    connection.execute("BEGIN")  # one snapshot: others may be trimming too
    try:
        return _halve(connection, moment)
    finally:
        connection.execute("ROLLBACK")


def _halve(connection: sqlite3.Connection, moment: float) -> int:
    low, high = connection.execute(
        'SELECT coalesce(min("offset"), 1), coalesce(max("offset"), 0) + 1 FROM record'
    ).fetchone()
    while low < high:
        middle = (low + high) // 2
        offset, received_at = connection.execute(
            'SELECT "offset", received_at FROM record WHERE "offset" >= ? ORDER BY "offset" LIMIT 1',
            (middle,),
        ).fetchone()
        if received_at < moment:
            low = offset + 1
        else:
            high = middle
    return int(low)


def _give_back(connection: sqlite3.Connection) -> None:
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    if free > _SLACK_PAGES:
        # As a script, because execute() takes one step of it, which is one page.
        connection.executescript(f"PRAGMA incremental_vacuum({free - _SLACK_PAGES})")


def _trim_chunk(connection: sqlite3.Connection, end: int) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        rows = connection.execute(
            'SELECT "offset" FROM record WHERE "offset" < ? ORDER BY "offset" LIMIT ?', (end, _CHUNK_ROWS)
        ).fetchall()
        if rows:
            connection.execute('DELETE FROM record WHERE "offset" <= ?', (rows[-1][0],))
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.OperationalError):  # on a full disk SQLite has done it already
            connection.execute("ROLLBACK")
        raise
    return len(rows)
