"""Opens the state store: a SQLite file in the data directory, or a PostgreSQL database that machines share."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from collector.state import postgres, sqlite
from collector.state import tables as _tables  # noqa: F401 - fills the metadata
from collector.state.base import utcnow
from collector.state.postgres import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from collector.settings import DataDirectory, Settings


class StateStore:
    """Hands out transactions. Threads may share it; a process that forks must open its own.

    ``read()`` sees one consistent snapshot, never waits for a writer, and must not write. ``write()`` waits for the
    writer before it (SQLite's ``BEGIN IMMEDIATE``; a lock of the whole database on PostgreSQL), so writers follow one
    another and none can fail half-way; it commits when the block ends and rolls back when it raises.

    Raises ``sqlalchemy.exc.OperationalError`` where the wait is too long or the database does not answer: nothing has
    changed (after an error of the commit itself: all or nothing has), try the whole transaction again.
    """

    def __init__(self, where: Path | Database) -> None:
        self.where = where
        if isinstance(where, Path):
            self.engine = sqlite.make_engine(where)
            readers = self.engine
        else:
            self.engine = postgres.make_engine(where)
            readers = self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        self._sessions = sessionmaker(readers, expire_on_commit=False)
        self._writers = sessionmaker(self.engine.execution_options(begin="write"), expire_on_commit=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self._sessions() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        with self._writers() as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()


def place_of_state(settings: Settings, data: DataDirectory) -> Path | Database:
    """Where the state is by ``[state]``: a file of the data directory, or the database of its ``url``.

    Raises:
        StateUrlError: the URL names no database.
    """
    if not settings.state.url:
        return data.state
    file = settings.state.password_file
    return Database(settings.state.url, Path(file) if file else None)


def is_made(settings: Settings, data: DataDirectory) -> bool:
    """Whether ``vonggac serve`` has made this directory: its state is there, or in a database."""
    return bool(settings.state.url) or data.state.exists()


def open_state(settings: Settings, data: DataDirectory) -> StateStore:
    """The state store of an installation; its tables must be there (``collector.state.migrate.upgrade``).

    Connects with the first transaction. Whoever calls closes it.

    Raises:
        StateUrlError: ``[state] url`` names no database.
    """
    return StateStore(place_of_state(settings, data))


def database_time(session: Session) -> datetime:
    """The time of day by the database's clock, which is one clock for all machines that share it."""
    if session.get_bind().dialect.name == "sqlite":
        return utcnow()
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now
