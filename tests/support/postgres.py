"""A real PostgreSQL for tests, from Debian's package: as an unprivileged user, in a folder and on a port of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from collector.state.base import Base
from collector.state.migrate import upgrade
from collector.state.postgres import Database
from soc_api.local import free_port
from tests.support.waiting import wait_until

PASSWORD = "rừng mưa 7"
_TEMPLATE = "template_vonggac"
#: A locale unlike SQLite's order of code points, so that nothing hangs on it; no fsync, since no test cuts the power.
_INITDB = ("--no-sync", "--encoding=UTF8", "--locale-provider=icu", "--icu-locale=vi-VN", "--locale=C.UTF-8")
_SETTINGS = (
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=60",
    "autovacuum=off",
)
_TABLES = list(reversed(Base.metadata.sorted_tables))
_EMPTY = sql.SQL(";").join(
    [
        *(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)) for table in _TABLES),
        *(
            sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(f"{table.name}_id_seq"))
            for table in _TABLES
            if table.autoincrement_column is not None
        ),
    ]
)


def programs() -> Path | None:
    """The folder of the newest PostgreSQL of Debian; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    return found[-1].parent if found else None


@dataclass
class PostgreSQL:
    """A server with one superuser, ``vonggac``, who must say :data:`PASSWORD` over TCP."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None
    _made: int = 0
    _migrated: bool = False
    _free: list[Database] = field(default_factory=list)

    @classmethod
    def make(cls) -> PostgreSQL:
        """Make the server's files and start it. Call :meth:`remove`."""
        server = cls(Path(tempfile.mkdtemp(prefix="pg-")))  # a socket's path is short
        try:
            server._initialise()
            server.start()
        except BaseException:
            server.remove()
            raise
        return server

    def _initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        user = _user()
        if "user" in user:
            for path in (self.folder, password):
                os.chown(path, user["user"], user["group"])
        self._run(
            "initdb",
            *_INITDB,
            "--username=vonggac",
            f"--pwfile={password}",
            f"--pgdata={self._data}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
        )

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it answers."""
        settings = [
            argument
            for each in (*_SETTINGS, f"port={self.port}", "listen_addresses=127.0.0.1")
            for argument in ("-c", each)
        ]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_bin("postgres")), "-D", str(self._data), "-k", str(self.folder), *settings],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **_user(),
            )
        wait_until(self._answers, seconds=60, what="PostgreSQL to answer", every=0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: at once and in order (SIGINT, its “fast shutdown”), or as a crash would (SIGQUIT)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, *, tables: bool = True) -> Database:
        """A new database: as migrations make it, or empty."""
        self._made += 1
        name = f"test{self._made}"
        template = self._template() if tables else "template0"
        self.do(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        return self.address(name)

    def lend(self) -> Database:
        """A migrated database without rows. Give it back: emptying one is quicker than making another."""
        return self._free.pop() if self._free else self.database()

    def take_back(self, database: Database) -> None:
        with closing(database.connect(autocommit=True)) as connection:
            connection.execute(_EMPTY)
        self._free.append(database)

    def address(self, name: str) -> Database:
        """By the socket, where no password is asked for."""
        return Database(f"postgresql://vonggac@/{name}?host={self.folder}&port={self.port}")

    def tcp_url(self, name: str) -> str:
        return f"postgresql://vonggac@127.0.0.1:{self.port}/{name}"

    def do(self, statement: sql.Composed) -> None:
        """A statement that cannot be in a transaction."""
        with closing(self.address("postgres").connect(autocommit=True)) as connection:
            connection.execute(statement)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _template(self) -> str:
        if not self._migrated:
            self.do(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(_TEMPLATE)))
            upgrade(self.address(_TEMPLATE))
            self._migrated = True
        return _TEMPLATE

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "server.log").read_text()
        with suppress(psycopg.OperationalError), closing(self.address("postgres").connect()):
            return True
        return False

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(_bin(program)), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            **_user(),
        )
        assert done.returncode == 0, done.stderr


def _bin(program: str) -> Path:
    folder = programs()
    assert folder is not None, "PostgreSQL is not installed: apt-get install postgresql"
    return folder / program


def _user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
