"""The state store in a PostgreSQL database, which several machines share."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, event

from collector.errors import CollectorError

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

#: The advisory lock (of this database) that every writing transaction holds: ``vonggac`` in ASCII.
WRITERS: Final = int.from_bytes(b"vonggac", "big")
OLDEST_VERSION: Final = 13
_LOCK_SECONDS: Final = 10
_IDLE_WRITER_SECONDS: Final = 60
_PASSWORD_BYTES: Final = 4096

#: What the server is told when a session begins. A machine that fell silent keeps the writers' lock no longer than the
#: server's TCP needs to find out.
_SESSION: Final = (
    f"-c lock_timeout={_LOCK_SECONDS}s -c timezone=UTC"
    " -c tcp_keepalives_idle=20 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4"
)
#: libpq's own settings, where the URL does not say otherwise.
_DEFAULTS: Final = {
    "application_name": "vonggac",
    "connect_timeout": "5",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
    "client_encoding": "UTF8",
}


class StateUrlError(CollectorError):
    """``[state]`` does not name a database; ``str()`` never holds a password."""


class StateAwayError(CollectorError):
    """The database does not answer, or does not let us in; ``str()`` says which and why, never a password."""

    def __init__(self, where: object, error: Exception) -> None:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        super().__init__(f"the state store ({where}) cannot be used: {reason[0] if reason else error!r}")


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database by libpq's URL, without a password.

    The password comes from ``password_file`` (its first line), else from where libpq looks (``PGPASSWORD``,
    ``PGPASSFILE``, ``~/.pgpass``), else there is none (a socket's peer, a client certificate).
    """

    url: str
    password_file: Path | None = None

    def __post_init__(self) -> None:
        """Raise :class:`StateUrlError` where the URL is none, or holds a password."""
        if not self.url.startswith(("postgresql://", "postgres://")):
            raise StateUrlError("[state] url must begin with postgresql://")
        try:
            given = conninfo_to_dict(self.url)
        except psycopg.ProgrammingError as error:
            raise StateUrlError("[state] url is not one that libpq understands") from error
        if "password" in given:
            raise StateUrlError(
                "[state] url holds a password: put it into a file and name that in [state] password_file"
            )
        if not given.get("dbname"):
            raise StateUrlError("[state] url names no database: postgresql://user@host/NAME")

    def __str__(self) -> str:
        """For people: where, and which database."""
        given = conninfo_to_dict(self.url)
        hosts = str(given.get("host", "localhost")).split(",")
        ports = str(given.get("port", "5432")).split(",")
        if len(ports) == 1:
            ports *= len(hosts)
        places = ",".join(f"{host}:{port or 5432}" for host, port in zip(hosts, ports, strict=False))
        return f"{given['dbname']} on {places}"

    def connect(self, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of its own; ``options`` are ``psycopg.connect``'s, and libpq's, over our defaults.

        Raises:
            psycopg.OperationalError: nobody answers, or lets us in.
            StateUrlError: the password's file cannot be used.
        """
        given = conninfo_to_dict(self.url)
        settings: dict[str, Any] = {**_DEFAULTS, **given, **options}
        settings["options"] = f"{_SESSION} {given.get('options', '')}".rstrip()
        if self.password_file is not None:
            settings["password"] = _read_password(self.password_file)
        return psycopg.connect(**settings)


def make_engine(database: Database) -> Engine:
    """An engine with a pool of connections; one that broke, as by a restart of the server, is replaced before it is
    used again. Transactions see what is committed (``READ COMMITTED``).

    A transaction of a connection with ``begin="write"`` among its execution options waits for the other writers'
    first: all that is true of SQLite's one writer then is true here. It must not be ``REPEATABLE READ``, which would
    see what was true before it waited.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        creator=database.connect,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_timeout=_LOCK_SECONDS,
    )

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        if connection.get_execution_options().get("begin") == "write":
            connection.exec_driver_sql(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, true), pg_advisory_xact_lock(%s)",
                (f"{_IDLE_WRITER_SECONDS}s", WRITERS),
            )

    return engine


def _read_password(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            line = file.readline(_PASSWORD_BYTES).rstrip(b"\r\n")
    except OSError as error:
        raise StateUrlError(f"[state] password_file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise StateUrlError(f"[state] password_file {path}: others may read it: chmod 600 {path}")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise StateUrlError(f"[state] password_file {path}: is not text") from None
