from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from psycopg import sql
from sqlalchemy import inspect, text

from collector.state import migrate
from collector.state.base import Base
from collector.state.database import StateStore
from collector.state.migrate import MigrationError, newest, upgrade, version_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.state.postgres import Database
    from tests.support.postgres import PostgreSQL


@pytest.fixture(params=["sqlite", "postgresql"])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Path | Database]:
    """Makes the places of empty state stores: a file that is not there yet, or a database without tables."""
    if request.param == "sqlite":
        return lambda: tmp_path / f"state{len(list(tmp_path.glob('*.db')))}.db"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return lambda: server.database(tables=False)


@pytest.fixture
def place(new_place: Callable[[], Path | Database]) -> Path | Database:
    return new_place()


def do(place: Path | Database, statement: str) -> list[tuple[object, ...]]:
    store = StateStore(place)
    try:
        with store.engine.begin() as connection:
            result = connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        store.close()


def test_the_migrations_make_what_the_models_say(place: Path | Database) -> None:
    assert upgrade(place)
    store = StateStore(place)

    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    store.close()

    assert differences == [], 'a model changed: python -m collector.state.migrate "what changes"'


def test_indexes_are_the_same_down_to_their_conditions(new_place: Callable[[], Path | Database]) -> None:
    migrated, direct = new_place(), new_place()
    upgrade(migrated)
    store = StateStore(direct)
    Base.metadata.create_all(store.engine)
    store.close()

    assert len(indexes(direct)) > 20
    assert indexes(migrated) == indexes(direct)


def indexes(place: Path | Database) -> dict[object, str]:
    if isinstance(place, Path):
        rows = do(place, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> ''")
    else:
        rows = do(place, "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
                         " AND tablename <> 'alembic_version'")  # fmt: skip
    return {name: " ".join(str(definition).split()) for name, definition in rows}


def test_on_postgresql_numbers_are_long_and_text_has_no_locale(postgresql: PostgreSQL) -> None:
    place = postgresql.database()
    columns = do(
        place,
        "SELECT table_name, column_name, data_type, collation_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'alembic_version'",
    )
    sequences = do(place, "SELECT sequencename FROM pg_sequences WHERE data_type <> 'bigint'::regtype")

    assert len(columns) > 150
    assert [row for row in columns if row[2] in ("integer", "text")] == []
    assert [row for row in columns if row[2] == "character varying" and row[3] != "C"] == []
    assert sequences == []


def test_upgrading_again_changes_nothing(place: Path | Database) -> None:
    upgrade(place)
    do(
        place,
        "INSERT INTO checkpoint (worker, log_offset, updated_at) VALUES ('detect', 5, '2026-11-21 00:00:00')",
    )

    assert not upgrade(place)

    assert do(place, "SELECT log_offset FROM checkpoint") == [(5,)]


def test_what_an_older_version_kept_is_there_after_the_upgrade(place: Path | Database) -> None:
    store = StateStore(place)
    with store.engine.connect() as connection:
        command.upgrade(migrate._config(connection), "0002")
        connection.commit()
        assert version_of(connection) == "0002"
    store.close()
    do(
        place,
        "INSERT INTO checkpoint (worker, log_offset, updated_at) VALUES ('detect', 5, '2026-11-21 00:00:00')",
    )
    do(
        place,
        "INSERT INTO agency (code, name, search_name, level) VALUES ('so-y-te', 'Sở Y tế', 'so y te', 'tinh')",
    )

    upgrade(place)

    assert do(place, "SELECT log_offset, received_at FROM checkpoint") == [(5, None)]
    assert do(place, "SELECT id, name FROM agency") == [(1, "Sở Y tế")]
    assert do(place, "SELECT version_num FROM alembic_version") == [(newest(),)]


def test_several_processes_may_upgrade_at_once(place: Path | Database) -> None:
    failures: list[BaseException] = []
    made: list[bool] = []

    def attempt() -> None:
        try:
            made.append(upgrade(place))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(made) == [False, False, False, True]


def test_a_store_of_a_newer_program_is_refused_and_left_alone(place: Path | Database) -> None:
    upgrade(place)
    do(place, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(MigrationError, match="newer program"):
        upgrade(place)
    assert do(place, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_tables_without_a_version_are_refused(place: Path | Database) -> None:
    store = StateStore(place)
    Base.metadata.create_all(store.engine)
    store.close()

    with pytest.raises(MigrationError, match="no schema version"):
        upgrade(place)


def test_a_migration_that_fails_leaves_nothing_behind(
    place: Path | Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr("alembic.op.add_column", fail)
        with pytest.raises(RuntimeError, match="out of luck"):
            upgrade(place)

    store = StateStore(place)
    with store.engine.connect() as connection:
        assert [name for name in inspect(connection).get_table_names() if name != "alembic_version"] == []
    store.close()
    assert upgrade(place)


def test_a_database_that_cannot_hold_vietnamese_is_refused(postgresql: PostgreSQL) -> None:
    postgresql.do(
        sql.SQL(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING LATIN1 LOCALE 'C' LOCALE_PROVIDER libc"
        ).format(sql.Identifier("latin"))
    )

    with pytest.raises(MigrationError, match="--encoding=UTF8"):
        upgrade(postgresql.address("latin"))
