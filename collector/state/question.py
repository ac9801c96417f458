"""One question that one thread asks again and again, each time of the newest commit: a prepared statement on a
connection of its own, no object-relational mapping."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

import psycopg
from sqlalchemy.exc import OperationalError

from collector.state.postgres import Database

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Select

    from collector.state.database import StateStore

#: How long a whole answer of PostgreSQL may take: who asks may be an event loop.
_ANSWER_MILLISECONDS: Final = 3000
_FIRST_CONNECT_SECONDS: Final = 5.0


class _Link(Protocol):
    def ask(self, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None: ...

    def close(self) -> None: ...


class Question:
    """``statement`` has the parameters ``names``, and at most one row answers it. For one thread; call
    :meth:`close`."""

    def __init__(self, state: StateStore, statement: Select[*tuple[Any, ...]], *names: str) -> None:
        dialect = state.engine.dialect
        self._names = names
        self._sql = str(statement.compile(dialect=dialect))
        self._link: _Link
        if isinstance(state.where, Database):
            self._link = _PostgresLink(state.where, self._sql, names)
        else:
            self._link = _SqliteLink(state, self._sql)
        self._readers: list[Callable[[Any], Any] | None] = [
            column.type.dialect_impl(dialect).result_processor(dialect, None)
            for column in statement.selected_columns
        ]

    def ask(self, *values: object) -> tuple[Any, ...] | None:
        """The row that answers, its values as Python's; None where there is none.

        Raises:
            sqlalchemy.exc.OperationalError: the state store does not answer. Never waits for it to come back.
        """
        try:
            row = self._link.ask(values)
        except (sqlite3.Error, psycopg.Error) as error:
            raise OperationalError(self._sql, self._names, error) from error
        if row is None:
            return None
        return tuple(
            value if read is None or value is None else read(value)
            for read, value in zip(self._readers, row, strict=True)
        )

    def close(self) -> None:
        self._link.close()


class _SqliteLink:
    def __init__(self, state: StateStore, sql: str) -> None:
        self._sql = sql
        # Each statement is a transaction of its own here.
        self._connection = state.engine.raw_connection()

    def ask(self, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None:
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._sql, parameters)
            row: tuple[Any, ...] | None = cursor.fetchone()
        finally:
            cursor.close()
        return row

    def close(self) -> None:
        self._connection.close()


class _PostgresLink:
    """Connects in a thread of its own, so that nobody who asks waits for a server that is away."""

    def __init__(self, database: Database, sql: str, names: tuple[str, ...]) -> None:
        self._database = database
        self._sql = sql
        self._names = names
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._failure: psycopg.Error = psycopg.OperationalError("no connection yet")
        self._closed = False
        self._lock = threading.Lock()
        self._connecting = self._connect_aside()
        self._connecting.join(_FIRST_CONNECT_SECONDS)

    def ask(self, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None:
        connection = self._connection
        if connection is None:
            if not self._connecting.is_alive():
                self._connecting = self._connect_aside()
            raise psycopg.OperationalError(str(self._failure))
        try:
            given = dict(zip(self._names, parameters, strict=True))
            return connection.execute(self._sql, given, prepare=True).fetchone()
        except psycopg.Error:
            if connection.closed or connection.broken:
                self._connection = None
                self._connecting = self._connect_aside()
            raise

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()

    def _connect_aside(self) -> threading.Thread:
        thread = threading.Thread(target=self._connect, name="state-question", daemon=True)
        thread.start()
        return thread

    def _connect(self) -> None:
        try:
            connection = self._database.connect(autocommit=True, tcp_user_timeout=_ANSWER_MILLISECONDS)
            connection.execute(f"SET statement_timeout = {_ANSWER_MILLISECONDS}")
        except psycopg.Error as error:
            self._failure = error
            return
        with self._lock:
            if self._closed:
                with suppress(psycopg.Error):
                    connection.close()
            else:
                self._connection = connection
