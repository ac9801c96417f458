"""What ``vonggac doctor`` says of the state store, on either database."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Final

from psycopg import Connection
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from collector.state.database import StateStore, database_time, place_of_state
from collector.state.migrate import newest, version_of
from collector.state.postgres import Database, StateAwayError
from soc_api.accounts import audit
from soc_api.accounts.service import has_administrator
from soc_api.check import Check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.settings import DataDirectory, Settings

#: Clocks of two machines that differ by more make times in the console hard to read.
CLOCK_WARNING: Final = timedelta(seconds=2)
#: Slower answers than this make every page and every step of detection slow.
ANSWER_WARNING_SECONDS: Final = 0.02
#: A machine's processes open about so many connections at most.
_CONNECTIONS: Final = 30
_QUESTIONS: Final = 5
#: What may not be off for an acknowledged change to survive a power cut.
_DURABLE: Final = ("fsync", "full_page_writes", "synchronous_commit")


def check_state(data: DataDirectory, settings: Settings, now: datetime) -> Iterator[Check]:
    """The connection or the file, the schema, the administrator, the audit log."""
    with closing(StateStore(place_of_state(settings, data))) as store:
        where = store.where
        try:
            with store.read() as session:
                if isinstance(where, Database):
                    yield from _database(session, where, now)
                else:
                    yield _file(session)
                yield from _content(session)
        except DBAPIError as error:
            if not isinstance(where, Database):
                raise
            advice = "see that PostgreSQL runs, and that [state] url and its password are right"
            yield Check("state store", "failure", str(StateAwayError(where, error)), advice)


def _file(session: Session) -> Check:
    verdict = session.execute(text("PRAGMA quick_check")).scalar()
    if verdict == "ok":
        return Check("state store", "ok", "whole")
    return Check("state store", "failure", str(verdict), "`vonggac restore` the newest backup")


def _database(session: Session, where: Database, now: datetime) -> Iterator[Check]:
    version = str(session.execute(text("SHOW server_version")).scalar()).split()[0]
    seconds = _answer_seconds(session)
    finding = f"{where}, PostgreSQL {version}, {seconds * 1000:.1f} ms an answer"
    if seconds > ANSWER_WARNING_SECONDS:
        yield Check(
            "state store", "warning", finding, "bring it nearer: 1 ms is good, the same machine better"
        )
    else:
        yield Check("state store", "ok", finding)
    link = session.connection().connection.driver_connection
    assert isinstance(link, Connection)  # noqa: S101 - of psycopg's dialect
    encrypted = link.pgconn.ssl_in_use
    if encrypted or link.info.host.startswith("/") or link.info.hostaddr in ("127.0.0.1", "::1"):
        yield Check("its connection", "ok", "encrypted" if encrypted else "does not leave this machine")
    else:
        yield Check(
            "its connection", "warning", "passes the network in the clear",
            "add ?sslmode=verify-full&sslrootcert=… to [state] url",
        )  # fmt: skip
    off = [name for name in _DURABLE if session.execute(text(f"SHOW {name}")).scalar() == "off"]
    if off:
        yield Check("its durability", "warning", f"{', '.join(off)} = off: a power cut loses what was acknowledged",
                    "turn it on in postgresql.conf")  # fmt: skip
    most, used = session.execute(
        text("SELECT current_setting('max_connections')::int, (SELECT count(*) FROM pg_stat_activity)")
    ).one()
    if most - used < _CONNECTIONS:
        yield Check("its connections", "warning", f"{used} of {most} in use", "raise max_connections")
    apart = database_time(session) - now
    if abs(apart) > CLOCK_WARNING:
        yield Check("its clock", "warning", f"differs from this machine's by {apart.total_seconds():.1f} s",
                    "use NTP (chrony) on both")  # fmt: skip


def _answer_seconds(session: Session) -> float:
    """The best of some: what is measured is the way, not what else runs."""
    times = []
    for _ in range(_QUESTIONS):
        began = perf_counter()
        session.execute(text("SELECT 1")).scalar()
        times.append(perf_counter() - began)
    return min(times)


def _content(session: Session) -> Iterator[Check]:
    present = version_of(session.connection())
    if present != newest():
        finding = f"{present}, this program wants {newest()}"
        yield Check("schema", "failure", finding, "restart the server: it migrates")
        return
    yield Check("schema", "ok", present)
    if has_administrator(session):
        yield Check("administrator", "ok", "there is one")
    else:
        yield Check(
            "administrator", "failure", "nobody can administer", "`vonggac user create NAME --role admin`"
        )
    chain = audit.verify(session)
    if chain.broken_at is None:
        yield Check("audit log", "ok", f"{chain.entries} entries, whole")
    else:
        advice = "compare with a backup; somebody changed it"
        yield Check("audit log", "failure", f"broken at entry {chain.broken_at}", advice)
