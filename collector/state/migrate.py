"""Brings the state store's tables to what this program expects.

To make a migration after changing the models: ``python -m collector.state.migrate "what changes"``; read what it
wrote before committing it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from collector import locks
from collector.errors import CollectorError
from collector.state.database import StateStore

if TYPE_CHECKING:
    from sqlalchemy import Connection

_FOLDER = Path(__file__).with_name("migrations")
_LOCK_SECONDS = 60.0


class MigrationError(CollectorError):
    """The state store cannot be brought to what this program expects; it is unchanged."""


def upgrade(path: Path) -> None:
    """Bring the state store in ``path`` (made where it is missing) to the newest version; idempotent.

    All or nothing: each step is one transaction. Two processes may call it at once; one waits.

    Raises:
        MigrationError: the store is of a newer program, or was not made by migrations.
    """
    with locks.hold(path.with_name(path.name + ".migrating"), "a migration", _LOCK_SECONDS):
        store = StateStore(path)
        try:
            with store.engine.execution_options(begin="IMMEDIATE").connect() as connection:
                _upgrade(connection, path)
        finally:
            store.close()


def _upgrade(connection: Connection, path: Path) -> None:
    config = _config(connection)
    scripts = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if present is not None and present not in known:
        raise MigrationError(
            f"{path} is of a newer program (schema {present}): install that one, or restore a backup"
        )
    if present is None and inspect(connection).has_table("endpoint"):
        raise MigrationError(f"{path} has tables but no schema version: move it away, or restore a backup")
    connection.rollback()
    if present != scripts.get_current_head():
        command.upgrade(config, "head")
        connection.commit()


def _config(connection: Connection) -> Config:
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
