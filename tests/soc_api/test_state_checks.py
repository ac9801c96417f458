"""What ``vonggac doctor`` says of the state store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from collector.settings import DataDirectory, Settings, State
from collector.state.base import utcnow
from collector.state.postgres import Database
from soc_api.accounts import audit
from soc_api.state_checks import check_state
from tests.support.postgres import PASSWORD
from tests.support.state import new_state

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from collector.state.database import StateStore
    from soc_api.check import Check
    from tests.support.postgres import PostgreSQL


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path)


def checks(
    data: DataDirectory, state: StateStore | None, url: str = "", now: datetime | None = None
) -> dict[str, Check]:
    if state is not None and isinstance(state.where, Database):
        url = state.where.url
    settings = Settings(state=State(url=url))
    return {check.name: check for check in check_state(data, settings, now or utcnow())}


@pytest.mark.usefixtures("on_both_databases")
class TestOnBoth:
    def test_a_new_store_is_well_but_for_its_administrator(self, data: DataDirectory) -> None:
        found = checks(data, new_state(data.root))

        assert {name for name, check in found.items() if check.state == "failure"} == {"administrator"}
        assert "vonggac user create" in found["administrator"].advice
        assert {"state store", "schema", "audit log"} < set(found)

    def test_another_schema_is_told(self, data: DataDirectory) -> None:
        state = new_state(data.root)
        with state.write() as session:
            present = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
            session.execute(text("UPDATE alembic_version SET version_num = '0002'"))

        found = checks(data, state)
        with state.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :present"), {"present": present})

        assert found["schema"].state == "failure"
        assert "restart" in found["schema"].advice

    def test_an_audit_log_that_was_changed_is_told(self, data: DataDirectory) -> None:
        state = new_state(data.root)
        with state.write() as session:
            audit.record(session, utcnow(), "a", "user.create")
            audit.record(session, utcnow(), "a", "user.create")
        with state.write() as session:
            session.execute(text("UPDATE audit_entry SET actor = 'b' WHERE id = 1"))

        assert checks(data, state)["audit log"].finding == "broken at entry 1"


def test_on_postgresql_the_connection_is_looked_at(data: DataDirectory, postgresql: PostgreSQL) -> None:
    found = checks(data, None, postgresql.database().url)

    assert "PostgreSQL 1" in found["state store"].finding
    assert "ms an answer" in found["state store"].finding
    assert found["its connection"].finding == "does not leave this machine"
    assert (
        found["its durability"].finding
        == "fsync, full_page_writes = off: a power cut loses what was acknowledged"
    )
    assert "its clock" not in found


def test_clocks_that_differ_are_told(data: DataDirectory, postgresql: PostgreSQL) -> None:
    found = checks(data, None, postgresql.database().url, utcnow() - timedelta(seconds=90))

    assert found["its clock"].state == "warning"
    assert found["its clock"].finding.startswith("differs from this machine's by 90.")


def test_a_database_that_is_away_is_one_failure_that_names_it(data: DataDirectory) -> None:
    found = checks(data, None, "postgresql://vonggac@127.0.0.1:1/soc")

    assert list(found) == ["state store"]
    assert found["state store"].state == "failure"
    assert "soc on 127.0.0.1:1" in found["state store"].finding
    assert "PostgreSQL runs" in found["state store"].advice


def test_a_password_that_is_wrong_is_told_but_not_shown(
    data: DataDirectory, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD + "!")

    found = checks(data, None, postgresql.tcp_url("postgres"))

    assert "password authentication failed" in found["state store"].finding
    assert PASSWORD not in str(found)
