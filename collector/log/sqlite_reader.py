"""Reads the durable log on SQLite from any process, beside the writer."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from heapq import merge
from typing import TYPE_CHECKING, Final

from collector.log import schema
from collector.log.interface import LogRow
from collector.log.trim import trim
from collector.partitions import check_complete

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

log = logging.getLogger("vonggac.log")

_HEAD: Final = '"offset", kind, endpoint_id, stream, seq, sent_at, received_at'
_SELECT_HEAD: Final = f"SELECT {_HEAD}, x'' FROM record WHERE \"offset\" = ?"  # noqa: S608 - our own column names
_SELECT_ROW: Final = f'SELECT {_HEAD}, body, checksum FROM record WHERE "offset" = ?'  # noqa: S608

#: ``read`` stops here even below its row limit (it always returns at least one row).
_READ_BYTES: Final = 32 << 20


class SqliteReader:
    """See :class:`collector.log.interface.LogReader`. Rows are in order across partitions too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with schema.reading(path):
            self._connection = schema.connect(path)
            schema.create(self._connection)
        self._version: int | None = None

    def read(self, positions: Mapping[int, int], limit: int) -> list[LogRow]:
        rows: list[LogRow] = []
        size = 0
        with schema.reading(self._path):
            # One snapshot for all partitions, or a row committed between two looks would be stepped over.
            self._connection.execute("BEGIN")
            try:
                for offset in self._offsets(positions):
                    rows.append(self._row(offset))
                    size += len(rows[-1].body)
                    if len(rows) >= limit or size >= _READ_BYTES:
                        break
            finally:
                self._connection.execute("ROLLBACK")
        return rows

    def _offsets(self, positions: Mapping[int, int]) -> Iterator[int]:
        return merge(*(self._of_partition(partition, after) for partition, after in positions.items()))

    def _of_partition(self, partition: int, after: int) -> Iterator[int]:
        found: sqlite3.Cursor = self._connection.execute(
            'SELECT "offset" FROM record WHERE partition = ? AND "offset" > ? ORDER BY "offset"',
            (partition, after),
        )
        for (offset,) in found:
            yield offset

    def _row(self, offset: int) -> LogRow:
        try:
            *values, checksum = self._connection.execute(_SELECT_ROW, (offset,)).fetchone()
            row = LogRow(*values)
        except sqlite3.DatabaseError:
            # A body lies on pages of its own: without them, what precedes it can still be read.
            row = LogRow(*self._connection.execute(_SELECT_HEAD, (offset,)).fetchone())
        else:
            if checksum is None or checksum == schema.checksum_of(row):
                return row
        # Its number has come, so it must not be missed; but nothing that it holds can be believed.
        schema.mark(self._path)
        log.error(
            "a row of the log is damaged on the disk",
            extra={"log_offset": offset, "endpoint": row.endpoint_id},
        )
        return replace(row, body=b"")

    def changed(self) -> bool:
        with schema.reading(self._path):
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        before, self._version = self._version, version
        return version != before

    def last_offset(self) -> int:
        with schema.reading(self._path):
            return schema.last_offset(self._connection)

    def waiting(self, positions: Mapping[int, int]) -> int:
        with schema.reading(self._path):
            return sum(
                int(
                    self._connection.execute(
                        'SELECT count(*) FROM record WHERE partition = ? AND "offset" > ?', each
                    ).fetchone()[0]
                )
                for each in positions.items()
            )

    def first_waiting(self, positions: Mapping[int, int]) -> int | None:
        with schema.reading(self._path):
            found = (
                self._connection.execute(
                    'SELECT min("offset") FROM record WHERE partition = ? AND "offset" > ?', each
                ).fetchone()[0]
                for each in positions.items()
            )
            return min((int(offset) for offset in found if offset is not None), default=None)

    def trim(self, positions: Mapping[int, int], received_before: float) -> int:
        """The numbers of removed batches stay known. The writer waits no longer than a small piece takes."""
        check_complete(positions)
        end = self.last_offset() + 1  # looked at first: what is committed later waits
        first = self.first_waiting(positions)
        if first is not None:
            end = min(end, first)
        try:
            return trim(self._connection, end, received_before)
        except sqlite3.Error as error:
            raise schema.as_write_error(self._path, error) from error

    def close(self) -> None:
        self._connection.close()
