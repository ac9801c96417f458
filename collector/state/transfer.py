"""Copies a state store into another, of either kind: all of it or nothing, and checked row by row.

This is how an installation moves from SQLite to PostgreSQL, and how the state in a PostgreSQL database gets into a
backup and out of it again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, insert, select, text

from collector.errors import CollectorError
from collector.state.base import Base
from collector.state.migrate import newest, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.orm import Session

    from collector.state.database import StateStore

_ROWS_AT_ONCE: Final = 1000


class TransferError(CollectorError):
    """The state cannot be copied; the target is as it was."""


@dataclass(frozen=True)
class Content:
    """What a table holds: ``rows``, and a SHA-256 over all of their values in the order of the primary key, the same
    on every database."""

    rows: int
    sha256: str


@dataclass
class _Digest:
    rows: int = 0
    hash: Any = field(default_factory=hashlib.sha256)

    def add(self, row: Sequence[Any]) -> None:
        self.rows += 1
        self.hash.update(json.dumps(list(row), default=_plain).encode("ascii") + b"\n")

    def content(self) -> Content:
        return Content(self.rows, self.hash.hexdigest())


def tables() -> list[Table]:
    """All tables, each after those that it refers to."""
    return list(Base.metadata.sorted_tables)


def contents(session: Session) -> dict[str, Content]:
    """What every table holds, at one moment in a transaction of ``StateStore.read``."""
    return {table.name: _content(session, table) for table in tables()}


def is_empty(session: Session) -> bool:
    return not any(session.execute(select(table).limit(1)).first() for table in tables())


def copy(source: StateStore, target: StateStore, progress: Callable[[str], None]) -> dict[str, Content]:
    """Copy every row of ``source``, at one moment, into ``target``, whose tables must be there and empty; return what
    both hold then. One transaction: killed at any time, it leaves nothing behind. ``progress`` gets one line a table.

    Raises:
        TransferError: the stores are not of this program's version, the target is not empty, or holds something else
            than was given to it.
    """
    copied: dict[str, Content] = {}
    with source.read() as reader, target.write() as writer:
        _demand_newest(reader, source)
        _demand_newest(writer, target)
        if not is_empty(writer):
            raise TransferError(f"{target.where} is not empty: name an empty one")
        for table in tables():
            digest = _Digest()
            names = table.columns.keys()
            for rows in _rows(reader, table):
                for row in rows:
                    digest.add(row)
                writer.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])
            copied[table.name] = digest.content()
            _go_on_behind(writer.connection(), table, _last_given(reader.connection(), table))
            if digest.rows:
                progress(f"{table.name}: {digest.rows}")
        for table in tables():
            if _content(writer, table) != copied[table.name]:
                raise TransferError(
                    f"{target.where} does not hold what was given to it in {table.name}: nothing is kept"
                )
    return copied


def _demand_newest(session: Session, store: StateStore) -> None:
    version = version_of(session.connection())
    if version != newest():
        raise TransferError(
            f"{store.where} has schema {version}, this program wants {newest()}: start it once with `vonggac serve`"
        )


def _rows(session: Session, table: Table) -> Iterator[Sequence[Sequence[Any]]]:
    """Rows in the order of the primary key, some at once, never all in memory."""
    ordered = select(table).order_by(*table.primary_key.columns)
    with session.connection().execute(ordered, execution_options={"yield_per": _ROWS_AT_ONCE}) as result:
        yield from result.partitions()


def _content(session: Session, table: Table) -> Content:
    digest = _Digest()
    for rows in _rows(session, table):
        for row in rows:
            digest.add(row)
    return digest.content()


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return str(value.isoformat())  # type: ignore[attr-defined]  # a date or a time: nothing else is in the tables


def _numbered(table: Table) -> bool:
    return table.autoincrement_column is not None


def _last_given(connection: Connection, table: Table) -> int:
    """The highest number that a row of ``table`` ever had, as far as the database knows; 0 where rows have none."""
    if not _numbered(table):
        return 0
    highest = connection.execute(select(func.max(table.c.id))).scalar() or 0
    if connection.dialect.name == "postgresql":
        given = connection.execute(
            text("SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(:name, 'id')), 0)"),
            {"name": _quoted(connection, table)},
        )
        return max(highest, int(given.scalar_one()))
    if table.dialect_options["sqlite"]["autoincrement"]:
        query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        return max(highest, connection.execute(query, {"name": table.name}).scalar() or 0)
    return int(highest)


def _go_on_behind(connection: Connection, table: Table, number: int) -> None:
    """Give the next row of ``table`` a number above ``number``; others count on what was numbered before."""
    if not number:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :number)"),
            {"name": _quoted(connection, table), "number": number},
        )
    elif table.dialect_options["sqlite"]["autoincrement"]:
        name = {"name": table.name, "number": number}
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), name)
        connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)"), name)


def _quoted(connection: Connection, table: Table) -> str:
    return connection.dialect.identifier_preparer.format_table(table)
