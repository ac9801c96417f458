"""PostgreSQL: how it is reached, and what happens when it goes away."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from collector.bootstrap import prepare
from collector.settings import DataDirectory, Settings, State
from collector.state.database import StateStore, open_state
from collector.state.postgres import Database, StateAwayError, StateUrlError
from collector.state.question import Question
from collector.state.tables import Checkpoint
from tests.collector.pipeline import NOW
from tests.support.postgres import PASSWORD
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.orm import Session

    from tests.support.postgres import PostgreSQL

OFFSET = select(Checkpoint.log_offset, Checkpoint.updated_at).where(Checkpoint.worker == bindparam("worker"))


@pytest.fixture
def database(postgresql: PostgreSQL) -> Iterator[Database]:
    lent = postgresql.lend()
    yield lent
    postgresql.take_back(lent)


@pytest.fixture
def state(database: Database) -> Iterator[StateStore]:
    with closing(StateStore(database)) as store:
        yield store


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://host/db", "must begin with postgresql://"),
        ("state.db", "must begin with postgresql://"),
        ("postgresql://u@host/db?nonsense=1", "libpq"),
        ("postgresql://u:geheim@host/db", "password_file"),
        ("postgresql://u@host/db?password=geheim", "password_file"),
        ("postgresql://u@host", "names no database"),
    ],
)
def test_a_url_that_will_not_do_is_refused_without_repeating_it(url: str, reason: str) -> None:
    with pytest.raises(StateUrlError, match=reason) as refused:
        Database(url)

    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u@db.vn/soc", "soc on db.vn:5432"),
        ("postgresql:///soc", "soc on localhost:5432"),
        ("postgresql://u@[::1]:6000/soc?sslmode=verify-full", "soc on ::1:6000"),
        ("postgresql://u@a,b:6000/soc?target_session_attrs=read-write", "soc on a:5432,b:6000"),
    ],
)
def test_people_are_told_where_it_is(url: str, shown: str) -> None:
    assert str(Database(url)) == shown


def settings(url: str, file: Path | None = None) -> Settings:
    return Settings(state=State(url=url, password_file=str(file or "")))


def ask(state: StateStore) -> object:
    with state.read() as session:
        return session.execute(text("SELECT current_user")).scalar()


def test_the_password_is_in_a_file(postgresql: PostgreSQL, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")
    secret.chmod(0o600)

    with closing(
        open_state(settings(postgresql.tcp_url("postgres"), secret), DataDirectory(tmp_path))
    ) as state:
        assert ask(state) == "vonggac"


def test_or_in_the_environment(
    postgresql: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)

    with closing(open_state(settings(postgresql.tcp_url("postgres")), DataDirectory(tmp_path))) as state:
        assert ask(state) == "vonggac"


def test_a_password_file_that_others_may_read_is_refused(postgresql: PostgreSQL, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    secret.chmod(0o640)

    with pytest.raises(StateUrlError, match="chmod 600"):
        Database(postgresql.tcp_url("postgres"), secret).connect()
    with pytest.raises(StateUrlError, match="No such file"):
        Database(postgresql.tcp_url("postgres"), tmp_path / "none").connect()


def test_a_wrong_password_is_told_but_not_shown(postgresql: PostgreSQL, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("sai bét", encoding="utf-8")
    secret.chmod(0o600)

    with pytest.raises(StateAwayError) as refused:
        prepare(DataDirectory(tmp_path / "data"), settings(postgresql.tcp_url("postgres"), secret))

    assert "password authentication failed" in str(refused.value)
    assert "sai bét" not in repr(refused.value.__cause__) + str(refused.value)
    assert not (tmp_path / "data" / "state.db").exists()


def test_another_database_name_means_another_store(postgresql: PostgreSQL, state: StateStore) -> None:
    with state.write() as session:
        session.add(Checkpoint(worker="detect", log_offset=1, updated_at=NOW))

    with closing(StateStore(postgresql.database())) as other, other.read() as session:
        assert session.scalars(select(Checkpoint)).all() == []


def test_readers_cannot_write(state: StateStore) -> None:
    with pytest.raises(DBAPIError, match="read-only"), state.read() as session:
        session.execute(update(Checkpoint).values(log_offset=1))


def test_after_a_restart_of_the_server_everything_goes_on_by_itself(
    postgresql: PostgreSQL, state: StateStore
) -> None:
    question = Question(state, OFFSET, "worker")
    with state.write() as session:
        session.add(Checkpoint(worker="detect", log_offset=1, updated_at=NOW))
    assert question.ask("detect") == (1, NOW)

    def change(session: Session) -> None:
        session.execute(update(Checkpoint).values(log_offset=2))
        postgresql.stop()

    with pytest.raises(OperationalError), state.write() as session:
        change(session)
    with pytest.raises(OperationalError):
        ask(state)
    for _ in range(2):
        with pytest.raises(OperationalError):
            question.ask("detect")
    postgresql.start()

    with state.write() as session:
        row = session.get_one(Checkpoint, "detect")
        assert row.log_offset == 1, "the transaction that was cut off changed nothing"
        row.log_offset = 3

    def answered() -> object:
        try:
            return question.ask("detect")
        except OperationalError:
            return None

    assert wait_until(answered, seconds=10, what="the question to be answered again", every=0.01) == (3, NOW)
    question.close()


def test_what_was_acknowledged_is_there_after_a_crash_and_nothing_is_twice(
    postgresql: PostgreSQL, state: StateStore
) -> None:
    """Writers go on through two crashes of the server, each trying again what failed."""
    with state.write() as session:
        session.add(Checkpoint(worker="counter", log_offset=0, updated_at=NOW))
    done = threading.Event()
    crashes = 0
    acknowledged = [0, 0]

    def work(number: int) -> None:
        while not done.is_set():
            try:
                with state.write() as session:
                    name = f"worker/{number}"
                    own = session.get(Checkpoint, name)
                    if own is None:
                        own = Checkpoint(worker=name, log_offset=0, updated_at=NOW)
                        session.add(own)
                    if own.log_offset > acknowledged[number]:
                        acknowledged[number] = own.log_offset  # the commit held, only its answer was lost
                        continue
                    own.log_offset += 1
                    session.get_one(Checkpoint, "counter").log_offset += 1
            except OperationalError:
                done.wait(0.02)
            else:
                acknowledged[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for crashes in range(2):
        before = list(acknowledged)
        wait_until(lambda: all(now > then + 5 for now, then in zip(acknowledged, before, strict=True)),  # noqa: B023
                   seconds=20, what=f"writers to go on after {crashes} crashes", every=0.01)  # fmt: skip
        postgresql.stop(signal.SIGQUIT)
        postgresql.start()
    before = list(acknowledged)
    wait_until(lambda: all(now > then + 5 for now, then in zip(acknowledged, before, strict=True)),
               seconds=20, what="writers to go on at last", every=0.01)  # fmt: skip
    done.set()
    for thread in threads:
        thread.join()

    with state.read() as session:
        kept = {row.worker: row.log_offset for row in session.scalars(select(Checkpoint))}
    assert [kept["worker/0"], kept["worker/1"]] == acknowledged
    assert kept["counter"] == sum(acknowledged)


def test_a_writer_whose_machine_is_gone_holds_nobody_up(state: StateStore, database: Database) -> None:
    """Its server process ends it, here told so as TCP would tell it; the lock goes with the session."""
    with closing(database.connect()) as lost:
        lost.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(b"vonggac", "big"),))
        with closing(database.connect(autocommit=True)) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (lost.info.backend_pid,))
        with state.write() as session:
            session.add(Checkpoint(worker="detect", log_offset=1, updated_at=NOW))
        with pytest.raises(psycopg.OperationalError):
            lost.execute("SELECT 1")


def test_a_session_is_told_how_long_it_may_hang(state: StateStore) -> None:
    with state.write() as session:
        told = {
            name: session.execute(text(f"SHOW {name}")).scalar_one()
            for name in (
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "transaction_isolation",
                "timezone",
            )
        }

    assert told == {
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
        "transaction_isolation": "read committed",
        "timezone": "UTC",
    }


def test_settings_of_the_url_come_after_ours(postgresql: PostgreSQL) -> None:
    place = Database(
        f"{postgresql.address('postgres').url}&application_name=mine&options=-c%20lock_timeout%3D2s"
    )

    with closing(place.connect()) as connection:
        shown = connection.execute(
            "SELECT current_setting('lock_timeout'), current_setting('application_name')"
        )
        assert shown.fetchone() == ("2s", "mine")


def test_a_second_machine_with_another_authority_is_refused(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = postgresql.database(tables=False).url
    first, second = DataDirectory(tmp_path / "first"), DataDirectory(tmp_path / "second")
    prepare(first, settings(url))

    with pytest.raises(Exception, match=r"copy ca\.key and ca\.crt"):
        prepare(second, settings(url))
    for name in ("ca.key", "ca.crt"):
        second.ca.mkdir(exist_ok=True)
        (second.ca / name).write_bytes((first.ca / name).read_bytes())
    again = prepare(second, settings(url))

    assert not again.first_start
    assert (second.ca / "server.crt").exists()
    assert not second.state.exists()


def test_a_user_without_rights_is_told_so(postgresql: PostgreSQL, tmp_path: Path) -> None:
    postgresql.do(sql.SQL("CREATE ROLE nobody_special LOGIN").format())
    database = postgresql.database(tables=False)
    url = database.url.replace("vonggac@", "nobody_special@")

    with pytest.raises(Exception, match="permission denied"):
        prepare(DataDirectory(tmp_path / "data"), settings(url))
