from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from collector.state.base import Base
from collector.state.database import StateStore
from collector.state.migrate import MigrationError, upgrade

if TYPE_CHECKING:
    from pathlib import Path


def test_the_migrations_make_what_the_models_say(tmp_path: Path) -> None:
    upgrade(tmp_path / "state.db")
    store = StateStore(tmp_path / "state.db")

    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    store.close()

    assert differences == [], 'a model changed: python -m collector.state.migrate "what changes"'


def test_indexes_are_the_same_down_to_their_conditions(tmp_path: Path) -> None:
    upgrade(tmp_path / "migrated.db")
    direct = StateStore(tmp_path / "direct.db")
    Base.metadata.create_all(direct.engine)
    direct.close()

    assert indexes(tmp_path / "migrated.db") == indexes(tmp_path / "direct.db")


def indexes(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> ''")
        return {name: " ".join(sql.split()) for name, sql in rows}


def test_upgrading_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO checkpoint (worker, log_offset, updated_at) VALUES ('detect', 5, '2026-11-21 00:00:00')")
        connection.commit()

    upgrade(path)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT log_offset FROM checkpoint").fetchall() == [(5,)]


def test_several_processes_may_upgrade_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            upgrade(path)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_store_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()

    with pytest.raises(MigrationError, match="newer program"):
        upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


def test_tables_without_a_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = StateStore(path)
    Base.metadata.create_all(store.engine)
    store.close()

    with pytest.raises(MigrationError, match="no schema version"):
        upgrade(path)
