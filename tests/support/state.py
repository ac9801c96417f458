"""State stores for tests: on SQLite, or on PostgreSQL while a test runs on both (``on_both_databases``)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from collector.state.database import StateStore
from collector.state.migrate import upgrade

if TYPE_CHECKING:
    from collector.state.postgres import Database
    from tests.support.postgres import PostgreSQL


@dataclass
class _Opened:
    """What the test that runs has opened; ``server`` where it runs on PostgreSQL."""

    server: PostgreSQL | None = None
    lent: list[Database] = field(default_factory=list)
    stores: list[StateStore] = field(default_factory=list)
    #: A migrated SQLite file without rows, as bytes: copying it is quicker than making another.
    empty: bytes = b""


_opened = _Opened()


def new_state(folder: Path) -> StateStore:
    """An empty state store, closed when the test ends: ``state.db`` in ``folder``, or a database that has nothing to
    do with it."""
    if _opened.server is None:
        path = folder / "state.db"
        path.write_bytes(_empty())
        store = StateStore(path)
    else:
        database = _opened.server.lend()
        _opened.lent.append(database)
        store = StateStore(database)
    _opened.stores.append(store)
    return store


def state_section() -> str:
    """The ``[state]`` section for a data directory of its own: nothing, or an empty database's."""
    if _opened.server is None:
        return ""
    return f'[state]\nurl = "{_opened.server.database(tables=False).url}"\n'


def _empty() -> bytes:
    if not _opened.empty:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.db"
            upgrade(path)
            _opened.empty = path.read_bytes()
    return _opened.empty


def use(server: PostgreSQL | None) -> None:
    """From now on :func:`new_state` uses ``server``, or SQLite."""
    _opened.server = server


def close_all() -> None:
    for store in _opened.stores:
        store.close()
    _opened.stores.clear()
    for database in _opened.lent:
        assert _opened.server is not None
        _opened.server.take_back(database)
    _opened.lent.clear()
