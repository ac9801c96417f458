"""Brings the state store's tables to what this program expects.

To make a migration after changing the models: ``python -m collector.state.migrate "what changes"``; read what it
wrote before committing it.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from collector import locks
from collector.errors import CollectorError
from collector.state.database import StateStore
from collector.state.postgres import OLDEST_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from collector.state.postgres import Database

_FOLDER = Path(__file__).with_name("migrations")
_LOCK_SECONDS = 60.0
#: The advisory lock that a migration holds: ``migrate`` in ASCII.
_MIGRATION: Final = int.from_bytes(b"migrate", "big")


class MigrationError(CollectorError):
    """The state store cannot be brought to what this program expects; it is unchanged."""


def upgrade(where: Path | Database) -> bool:
    """Bring the state store ``where`` (a file is made where it is missing, an empty database filled) to the newest
    version; idempotent. Whether there was nothing before.

    All or nothing. Two processes may call it at once, on different machines too; one waits.

    Raises:
        MigrationError: the store is of a newer program, or was not made by migrations; or the database is not fit.
        sqlalchemy.exc.OperationalError: the database does not answer.
    """
    store = StateStore(where)
    try:
        with _one_at_a_time(store), store.engine.connect() as connection:
            return _upgrade(connection, str(where))
    finally:
        store.close()


def newest() -> str:
    """The version that this program expects."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101 - there is a first migration
    return head


def version_of(connection: Connection) -> str | None:
    """The version that the store has; None where it was not made by migrations."""
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _one_at_a_time(store: StateStore) -> Iterator[None]:
    where = store.where
    if isinstance(where, Path):
        with locks.hold(where.with_name(where.name + ".migrating"), "a migration", _LOCK_SECONDS):
            yield
        return
    with store.engine.connect() as holder:
        _demand_fit(holder, where)
        holder.execute(text(f"SET lock_timeout = '{_LOCK_SECONDS:.0f}s'"))
        holder.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION})
        yield


def _demand_fit(connection: Connection, database: Database) -> None:
    version = connection.dialect.server_version_info
    if version is None or version < (OLDEST_VERSION,):
        raise MigrationError(f"{database}: PostgreSQL {OLDEST_VERSION} or newer is needed")
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise MigrationError(
            f"{database} has encoding {encoding}: make it with `createdb --encoding=UTF8 --template=template0`"
        )


def _upgrade(connection: Connection, name: str) -> bool:
    config = _config(connection)
    present = version_of(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise MigrationError(
            f"{name} is of a newer program (schema {present}): install that one, or restore a backup"
        )
    if present is None and inspect(connection).has_table("endpoint"):
        raise MigrationError(f"{name} has tables but no schema version: move it away, or restore a backup")
    connection.rollback()
    if present != newest():
        connection = connection.execution_options(begin="write")
        command.upgrade(config, "head")
        connection.commit()
    return present is None


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def new_revision(message: str, number: str) -> None:
    """Write the migration from the newest one to the present models. For developers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        upgrade(path)
        store = StateStore(path)
        with store.engine.connect() as connection:
            command.revision(_config(connection), message, autogenerate=True, rev_id=number)
        store.close()


if __name__ == "__main__":
    _next = len(list((_FOLDER / "versions").glob("[0-9]*.py"))) + 1
    new_revision(sys.argv[1], f"{_next:04}")
