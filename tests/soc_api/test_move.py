"""An installation moved from SQLite to PostgreSQL, as an operator does it; and backups of one that was."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import select, text, update

from collector import locks
from collector.enrolment import service
from collector.settings import DataDirectory, load
from collector.state.base import utcnow
from collector.state.database import StateStore, open_state
from collector.state.migrate import newest
from collector.state.tables import AuditEntry, Checkpoint, Endpoint, User
from collector.state.transfer import contents
from soc_api.accounts import audit
from soc_api.cli import main
from soc_api.move import move_state
from tests.support.collector import make_site
from tests.support.postgres import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.collector import Site
    from tests.support.postgres import PostgreSQL

    Vonggac = Callable[..., Result]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory on SQLite with an administrator, an agency and an enrolled endpoint. Not to be changed."""
    root = tmp_path_factory.mktemp("old") / "data"
    site = make_site(root)
    enrol(site)
    site.state.close()
    done = CliRunner().invoke(main, ["serve", "--prepare-only", "--data", str(root)])
    assert "administrator" in done.output
    return root


def enrol(site: Site) -> str:
    with site.state.write() as session:
        reply = service.enrol(session, site.request(site.token()), site.prepared.authority, utcnow())
    return reply.endpoint_id


@pytest.fixture
def site(old: Path, tmp_path: Path, postgresql: PostgreSQL) -> tuple[DataDirectory, str]:
    """A copy of it, whose settings name an empty database; and that database's URL."""
    data = DataDirectory(copy_of(old, tmp_path / "data"))
    url = postgresql.database(tables=False).url
    point_to(data, url)
    return data, url


def copy_of(old: Path, new: Path) -> Path:
    return Path(shutil.copytree(old, new))


def point_to(data: DataDirectory, url: str, more: str = "") -> None:
    with data.settings.open("a", encoding="utf-8") as file:
        file.write(f'\n[state]\nurl = "{url}"\n{more}\n')


def vonggac(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="vonggac")


def held(data: DataDirectory, *, file: bool = False) -> dict[str, Any]:
    store = StateStore(data.state) if file else open_state(load(data), data)
    with closing(store), store.read() as session:
        return dict(contents(session))


def test_the_state_moves_and_the_server_goes_on_with_it(site: tuple[DataDirectory, str]) -> None:
    data, _url = site
    before = data.state.read_bytes()
    refused = vonggac("serve", "--prepare-only", "--data", str(data.root))
    assert refused.exit_code == 78
    assert "vonggac move" in refused.output

    done = vonggac("move", "--data", str(data.root), "--json")

    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)["state"]
    assert not said["already"]
    assert said["tables"]["endpoint"]["rows"] == 1
    assert said["tables"]["endpoint"]["sha256"] == held(data, file=True)["endpoint"].sha256
    assert data.state.read_bytes() == before
    again = vonggac("serve", "--prepare-only", "--data", str(data.root))
    assert (again.exit_code, again.output) == (0, ""), "no second administrator"
    with closing(open_state(load(data), data)) as state, state.read() as session:
        assert session.scalars(select(User.username)).all() == ["admin"]
        assert audit.verify(session).broken_at is None
        last = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
        assert last is not None
        rows = sum(table["rows"] for table in said["tables"].values())
        assert (last.action, last.detail["rows"], last.detail["events"]) == ("installation.move", rows, {})


def test_a_move_that_was_cut_off_before_its_end_is_run_again(site: tuple[DataDirectory, str]) -> None:
    data, _url = site
    move_state(data, load(data), lambda _line: None)

    done = vonggac("move", "--data", str(data.root), "--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["state"]["already"]


def test_a_database_that_holds_something_else_is_refused_and_left_alone(
    site: tuple[DataDirectory, str],
) -> None:
    data, _url = site
    assert vonggac("move", "--data", str(data.root)).exit_code == 0
    with closing(open_state(load(data), data)) as state, state.write() as session:
        session.execute(update(Endpoint).values(hostname="renamed since"))
    before = held(data)

    done = vonggac("move", "--data", str(data.root))

    assert done.exit_code == 1
    assert "holds another state already" in done.output
    assert held(data) == before


@pytest.mark.parametrize("process", ["serve", "ingest", "detect-2"])
def test_nothing_is_moved_while_a_process_runs(site: tuple[DataDirectory, str], process: str) -> None:
    data, _url = site
    with locks.hold(data.run / f"{process}.lock", process):
        done = vonggac("move", "--data", str(data.root))

    assert done.exit_code == 1
    assert "stop it first" in done.output


def test_without_a_database_in_the_settings_there_is_nowhere_to_move_to(old: Path) -> None:
    done = vonggac("move", "--data", str(old))

    assert done.exit_code == 1
    assert "nowhere to move to" in done.output


def test_a_directory_without_state_has_nothing_to_move(site: tuple[DataDirectory, str]) -> None:
    data, _url = site
    data.state.unlink()

    done = vonggac("move", "--data", str(data.root))

    assert done.exit_code == 1
    assert "nothing to move" in done.output


def test_an_older_state_has_to_be_started_once(site: tuple[DataDirectory, str]) -> None:
    data, _url = site
    with closing(StateStore(data.state)) as state, state.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0002'"))

    done = vonggac("move", "--data", str(data.root))

    assert done.exit_code == 1
    assert f"wants {newest()}" in done.output


def test_a_database_that_is_away_is_named_without_a_traceback(old: Path, tmp_path: Path) -> None:
    data = DataDirectory(copy_of(old, tmp_path / "data"))
    secret = tmp_path / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    secret.chmod(0o600)
    point_to(data, "postgresql://u@127.0.0.1:1/soc", f'password_file = "{secret}"')

    for command in (("move",), ("serve", "--prepare-only"), ("agency", "list")):
        done = vonggac(*command, "--data", str(data.root))
        assert done.exit_code == 1, "to be tried again, also by a service manager"
        assert "127.0.0.1" in done.output
        assert "refused" in done.output
        assert PASSWORD not in done.output


def test_a_backup_holds_the_state_in_the_database_and_brings_it_back(
    site: tuple[DataDirectory, str], tmp_path: Path, postgresql: PostgreSQL
) -> None:
    data, url = site
    assert vonggac("move", "--data", str(data.root)).exit_code == 0
    data.state.unlink()
    with closing(open_state(load(data), data)) as state, state.write() as session:
        session.add(Checkpoint(worker="partition/07", log_offset=2**40, updated_at=utcnow()))
    before = held(data)
    done = vonggac("backup", str(tmp_path / "b.tar"), "--data", str(data.root))
    assert done.exit_code == 0, done.output

    full = vonggac("restore", str(tmp_path / "b.tar"), "--data", str(tmp_path / "second"))
    assert full.exit_code == 1
    assert "holds another state already" in full.output
    assert "vonggac move" in full.output

    again = DataDirectory(tmp_path / "second")
    settings = again.settings.read_text(encoding="utf-8")
    again.settings.write_text(settings.replace(url, postgresql.database(tables=False).url), encoding="utf-8")
    assert vonggac("move", "--data", str(again.root)).exit_code == 0
    without_audit = held(again)
    entries = without_audit.pop("audit_entry").rows
    assert before.pop("audit_entry").rows + 1 == entries, "one says that it was moved"
    assert without_audit == before


def test_a_backup_is_brought_back_into_an_empty_database_by_itself(
    site: tuple[DataDirectory, str], tmp_path: Path, postgresql: PostgreSQL
) -> None:
    data, url = site
    assert vonggac("move", "--data", str(data.root)).exit_code == 0
    before = held(data)
    assert vonggac("backup", str(tmp_path / "b.tar"), "--data", str(data.root)).exit_code == 0
    name = str(conninfo_to_dict(url)["dbname"])
    postgresql.do(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    postgresql.do(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))

    done = vonggac("restore", str(tmp_path / "b.tar"), "--data", str(tmp_path / "again"))

    assert done.exit_code == 0, done.output
    again = DataDirectory(tmp_path / "again")
    assert held(again) == before
    assert not again.state.exists()
    with closing(open_state(load(again), again)) as state, state.write() as session:
        token = service.create_token(
            session, agency_id=1, simulated=False, created_by="t", now=utcnow(), lifetime=timedelta(hours=1),
            ca_sha256="00",
        )  # fmt: skip
    assert token
