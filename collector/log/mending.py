"""Makes a readable log on SQLite of one with damaged pages, before anybody has it open.

Whoever meets a damaged page leaves a mark beside the file; the next start finds it and copies every row that can still
be read into a new file, under its old offset. What cannot be read was either worked on already (then nothing
is lost) or shows as a gap in its endpoint's numbers, as whatever else never came. The damaged file is kept.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from collector.log import schema
from collector.log.errors import LogError
from collector.log.interface import LogRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger("vonggac.log")

_SELECT: Final = (
    'SELECT "offset", kind, endpoint_id, stream, seq, sent_at, received_at, body, checksum FROM record'
    ' WHERE "offset"'
)
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Mended:
    """``lost``: offsets that had a row which could not be read. ``kept`` is where the damaged file is now."""

    rows: int
    lost: tuple[int, ...]
    kept: Path


def mend_if_marked(path: Path) -> Mended | None:
    """The rows that are left in a new file; None where nothing is marked. May be interrupted and done again.

    Raises:
        LogError: the disk has not the room, or cannot be written.
        LogDamagedError: not even a part can be read.
    """
    if not schema.mark_of(path).exists():
        return None
    fresh = path.with_name(f"{path.name}.mending")
    _remove(fresh)
    try:
        with closing(schema.connect(path)) as damaged, closing(schema.connect(fresh)) as target:
            schema.create(target)
            fresh.chmod(0o600)
            rows, lost = _copy(damaged, target)
    except OSError as error:
        raise LogError(f"{path}: the damaged log cannot be mended now: {error}") from error
    except sqlite3.Error as error:
        raise schema.damaged(path, error) from error
    kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    kept.hardlink_to(path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    fresh.replace(path)  # at no moment there is no log
    schema.mark_of(path).unlink()
    log.error(
        "the log had damaged pages and was mended",
        extra={"rows": rows, "rows_lost": len(lost), "lost_offsets": list(lost[:50]), "kept": str(kept)},
    )
    return Mended(rows, tuple(lost), kept)


def _copy(damaged: sqlite3.Connection, target: sqlite3.Connection) -> tuple[int, list[int]]:
    """Everything that can be read; the number of rows, and the offsets of those that cannot."""
    first, last = _ends(damaged)
    target.execute("BEGIN IMMEDIATE")
    copied: set[int] = set()
    for *values, checksum in _rows(damaged, first, last):
        with suppress(TypeError, AttributeError, ValueError):  # damaged so that it is no row any more
            row = LogRow(*values)
            if checksum is None or schema.checksum_of(row) == checksum:
                schema.insert(target, row, row.offset)
                copied.add(row.offset)
    target.execute("DELETE FROM sqlite_sequence WHERE name = 'record'")
    target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('record', ?)", (last,))
    target.execute("COMMIT")
    return len(copied), sorted(_indexed(damaged) - copied)


def _ends(damaged: sqlite3.Connection) -> tuple[int, int]:
    """The first offset that there may be a row at, and the highest that was ever given."""
    first, last = 1, schema.last_offset(damaged)
    with suppress(sqlite3.DatabaseError):
        found = damaged.execute('SELECT min("offset") FROM record').fetchone()[0]
        first = last + 1 if found is None else int(found)
    return first, last


def _rows(damaged: sqlite3.Connection, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """Rows in order, stepping over what cannot be read: one by one where a piece fails."""
    for start in range(first, last + 1, _CHUNK):
        end = min(start + _CHUNK - 1, last)
        try:
            found = damaged.execute(f"{_SELECT} BETWEEN ? AND ?", (start, end)).fetchall()
        except sqlite3.DatabaseError:
            found = []
            for offset in range(start, end + 1):
                with suppress(sqlite3.DatabaseError):
                    found.extend(damaged.execute(f"{_SELECT} = ?", (offset,)).fetchall())
        yield from found


def _indexed(damaged: sqlite3.Connection) -> set[int]:
    """Offsets that one of the indices knows, which lie on pages of their own."""
    known: set[int] = set()
    for index in ("ix_record_partition", "uq_record_content"):
        where = "WHERE kind = 'batch'" if index == "uq_record_content" else ""
        with suppress(sqlite3.DatabaseError):
            cursor = damaged.execute(f'SELECT "offset" FROM record INDEXED BY {index} {where}')  # noqa: S608 - our own names
            known.update(int(offset) for (offset,) in cursor)
    return known


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
