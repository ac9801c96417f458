"""Rows in every table, taken from one version to the newest and back, on both databases."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic import command

from collector.state import migrate
from collector.state.base import Base
from collector.state.database import StateStore
from collector.state.migrate import newest, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import PostgreSQL

#: Of the last release; what it kept must be there after the next.
BEFORE = "0009"
ROWS = (1, 2, 3)
#: What a constraint wants empty.
EMPTY = {("check_exception", "endpoint_id")}
NOON = dt.datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=dt.UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    if request.param == "sqlite":
        made = StateStore(tmp_path / "state.db")
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        made = StateStore(server.database(tables=False))
    yield made
    made.close()


def moves(store: StateStore, to: str) -> None:
    """As the program does it: in one transaction, with foreign keys watched."""
    with store.engine.connect() as connection:
        down = version_of(connection) == newest()
        connection.rollback()
        connection = connection.execution_options(begin="write")
        (command.downgrade if down else command.upgrade)(migrate._config(connection), to)
        connection.commit()


def reflected(store: StateStore) -> sa.MetaData:
    found = sa.MetaData()
    found.reflect(store.engine)
    found.remove(found.tables["alembic_version"])
    return found


def value_of(column: sa.Column[Any], number: int) -> object:
    """Another for each row; a foreign key's is of the row of the same number."""
    if (column.table.name, column.name) in EMPTY:
        return None
    for key in column.foreign_keys:
        if key.column is not column:
            return value_of(key.column, number)
    match python_type_of(column):
        case dt.datetime:
            return NOON + dt.timedelta(minutes=number)
        case dt.date:
            return NOON.date() + dt.timedelta(days=number)
        case found if found is bool:
            return number % 2 == 0
        case found if found is int:
            return number
        case found if found is float:
            return number + 0.25
        case found if found is bytes:
            return bytes([number, 0, 255])
        case found if found is str:
            return f"{column.name} {number} – Đồng Tiến"
    return {"số": [number, None, "“x”"]}


def type_of(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    """As the models have it, by which values are written as the program writes them."""
    model = Base.metadata.tables.get(column.table.name)
    return column.type if model is None or column.name not in model.c else model.c[column.name].type


def python_type_of(column: sa.Column[Any]) -> type:
    kind = type_of(column)
    plain = kind.impl_instance if isinstance(kind, sa.types.TypeDecorator) else kind
    found: type = plain.python_type
    return found


def fill(store: StateStore, tables: list[sa.Table]) -> None:
    with store.engine.connect() as connection:
        connection = connection.execution_options(begin="write")
        for table in tables:
            into = sa.table(table.name, *[sa.column(each.name, type_of(each)) for each in table.columns])
            rows = [{each.name: value_of(each, number) for each in table.columns} for number in ROWS]
            connection.execute(sa.insert(into), rows)
        connection.commit()


def kept(store: StateStore, columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """Every row of these tables, of these columns, as the database itself says it."""
    with store.engine.connect() as connection:
        return {
            table: sorted(
                repr(tuple(row))
                for row in connection.execute(
                    sa.text("SELECT " + ", ".join(f'"{name}"' for name in names) + f' FROM "{table}"')
                )
            )
            for table, names in columns.items()
        }


def test_every_row_of_the_version_before_is_there_after_the_upgrade_and_after_the_way_back(
    store: StateStore,
) -> None:
    moves(store, BEFORE)
    old = reflected(store)
    fill(store, old.sorted_tables)
    columns = {table.name: [each.name for each in table.columns] for table in old.sorted_tables}
    before = kept(store, columns)
    assert len(before) > 30
    assert {len(rows) for rows in before.values()} == {len(ROWS)}

    moves(store, "head")
    assert kept(store, columns) == before

    new = reflected(store)
    made = [table for table in new.sorted_tables if table.name not in columns]
    assert {"device_address", "network_device", "log_source", "service", "firewall"} <= {
        each.name for each in made
    }
    fill(store, made)
    assert {
        len(rows) for rows in kept(store, {each.name: ["id"] for each in made if "id" in each.c}).values()
    } == {len(ROWS)}

    moves(store, BEFORE)
    assert kept(store, columns) == before
    assert reflected(store).tables.keys() == old.tables.keys()
    for table in reflected(store).sorted_tables:
        assert [each.name for each in table.columns] == columns[table.name]

    moves(store, "head")
    assert kept(store, columns) == before
