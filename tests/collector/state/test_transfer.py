"""The state copied from one database to another, and back."""

from __future__ import annotations

import signal
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import JSON, LargeBinary, insert, select, text

from collector.state.base import Text, UtcDateTime
from collector.state.database import StateStore
from collector.state.migrate import newest, upgrade
from collector.state.tables import Agency, Checkpoint, Handover, User
from collector.state.transfer import TransferError, contents, copy, is_empty, tables
from tests.collector.pipeline import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Column, Table

    from tests.support.postgres import PostgreSQL

ROWS = 3
#: A row with this number was deleted long ago; its number must not be given again.
GIVEN = 700


@pytest.fixture
def make(tmp_path: Path, postgresql: PostgreSQL) -> Iterator[Callable[[str], StateStore]]:
    """Makes empty state stores: ``sqlite`` or ``postgresql``."""
    opened: list[StateStore] = []

    def make_one(kind: str) -> StateStore:
        place = tmp_path / f"{len(opened)}.db" if kind == "sqlite" else postgresql.lend()
        if isinstance(place, Path):
            upgrade(place)
        opened.append(StateStore(place))
        return opened[-1]

    yield make_one
    for store in opened:
        store.close()
        if not isinstance(store.where, Path):
            postgresql.take_back(store.where)


def value_of(column: Column[Any], number: int) -> Any:
    if column.foreign_keys:
        return value_of(next(iter(column.foreign_keys)).column, number)
    if isinstance(column.type, UtcDateTime):
        return NOW
    if isinstance(column.type, Text):
        return f"đ {number}"
    if isinstance(column.type, LargeBinary):
        return bytes([0, 255, number])
    if isinstance(column.type, JSON):
        return {"tiếng": ["Việt", number, None, 1.5, 2**70, {"b": 1, "a": "\0"}]}
    kind = column.type.python_type
    return {
        int: 2**40 + number,
        float: 0.1 * number,
        bool: number % 2 == 0,
        date: date(2026, 1, number),
    }[kind]


def fill(store: StateStore) -> None:
    """Rows in every table, a value in every column."""
    with store.write() as session:
        for table in tables():
            names = [column.name for column in table.columns]
            rows = [
                {name: value_of(table.c[name], number) for name in names} for number in range(1, ROWS + 1)
            ]
            for row in rows if table.name == "check_exception" else ():  # it is for one of them
                row["agency_id" if int(row["id"]) % 2 else "endpoint_id"] = None
            session.execute(insert(table), rows)


@pytest.mark.parametrize(
    ("source", "target"),
    [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "sqlite"), ("postgresql", "postgresql")],
)
def test_everything_arrives_as_it_was(make: Callable[[str], StateStore], source: str, target: str) -> None:
    old, new = make(source), make(target)
    fill(old)
    told: list[str] = []

    copied = copy(old, new, told.append)

    with old.read() as before, new.read() as after:
        assert contents(before) == contents(after) == copied
        for table in tables():
            key = table.primary_key.columns
            assert (
                before.execute(select(table).order_by(*key)).all()
                == after.execute(select(table).order_by(*key)).all()
            )
    assert {content.rows for content in copied.values()} == {ROWS}
    assert len(told) == len(tables())


@pytest.mark.parametrize(("source", "target"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_numbers_go_on_behind_all_that_were_given(
    make: Callable[[str], StateStore], source: str, target: str
) -> None:
    """Those of handovers even where no row is left: ``correlate``'s checkpoint counts on them."""
    old, new = make(source), make(target)
    with old.write() as session:
        session.add(Handover(id=GIVEN, partition=0, log_offset=1, body=b"", created_at=NOW))
        if source == "postgresql":
            session.execute(text("SELECT setval('handover_id_seq', :given)"), {"given": GIVEN})
        session.add(User(id=5, username="a", password_hash="", totp_secret="", role="admin", created_at=NOW))
    with old.write() as session:
        session.delete(session.get_one(Handover, GIVEN))

    copy(old, new, lambda _line: None)

    with new.write() as session:
        handover = Handover(partition=0, log_offset=1, body=b"", created_at=NOW)
        user = User(username="b", password_hash="", totp_secret="", role="admin", created_at=NOW)
        agency = Agency(code="c", name="c", search_name="c", level="xa")
        session.add_all([handover, user, agency])
        session.flush()
        assert (handover.id, user.id, agency.id) == (GIVEN + 1, 6, 1)


def test_a_target_with_anything_in_it_is_refused_and_left_alone(make: Callable[[str], StateStore]) -> None:
    old, new = make("sqlite"), make("postgresql")
    fill(old)
    with new.write() as session:
        session.add(Checkpoint(worker="detect", log_offset=1, updated_at=NOW))
    with new.read() as session:
        before = contents(session)

    with pytest.raises(TransferError, match="not empty"):
        copy(old, new, lambda _line: None)

    with new.read() as session:
        assert contents(session) == before


@pytest.mark.parametrize("old_one", ["source", "target"])
def test_stores_of_another_version_are_refused(make: Callable[[str], StateStore], old_one: str) -> None:
    stores = {"source": make("sqlite"), "target": make("postgresql")}
    with stores[old_one].write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0002'"))

    with pytest.raises(TransferError, match="has schema 0002"):
        copy(stores["source"], stores["target"], lambda _line: None)
    with stores[old_one].write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :newest"), {"newest": newest()})


def test_cut_off_in_the_middle_it_leaves_nothing_and_can_be_done_again(
    make: Callable[[str], StateStore], postgresql: PostgreSQL
) -> None:
    old, new = make("sqlite"), make("postgresql")
    fill(old)

    def crash(line: str) -> None:
        if line.startswith("alert:"):
            postgresql.stop(signal.SIGQUIT)

    with pytest.raises(Exception, match=r"terminat|closed|crash"):
        copy(old, new, crash)
    postgresql.start()

    with new.read() as session:
        assert is_empty(session)
    copied = copy(old, new, lambda _line: None)
    assert {content.rows for content in copied.values()} == {ROWS}


def test_what_arrives_changed_is_not_kept(make: Callable[[str], StateStore]) -> None:
    old, new = make("sqlite"), make("postgresql")
    fill(old)
    with closing(new.where.connect(autocommit=True)) as connection:  # type: ignore[union-attr]  # a database
        connection.execute(
            "CREATE FUNCTION spoil() RETURNS trigger AS $$ BEGIN NEW.reason := 'spoilt'; RETURN NEW; END $$"
            " LANGUAGE plpgsql"
        )
        connection.execute(
            "CREATE TRIGGER spoil BEFORE INSERT ON dead_letter FOR EACH ROW EXECUTE FUNCTION spoil()"
        )
        try:
            with pytest.raises(TransferError, match="does not hold what was given to it in dead_letter"):
                copy(old, new, lambda _line: None)
            with new.read() as session:
                assert is_empty(session)
        finally:
            connection.execute("DROP FUNCTION spoil CASCADE")


def test_tables_are_in_an_order_in_which_they_can_be_filled() -> None:
    seen: set[Table] = set()
    for table in tables():
        for key in table.foreign_keys:
            assert key.column.table in seen
        seen.add(table)
