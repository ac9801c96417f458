"""The way a certificate is looked up on every single request: one prepared statement, no object-relational mapping.

The database is asked each time, so that a revocation bites on the next request. What its answer means is worked out
by ``collector.enrolment.service`` and kept as long as the answer stays the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collector.enrolment.service import FIND_CERTIFICATE, judge

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row

    from collector.enrolment.service import EndpointIdentity
    from collector.state.database import StateStore

_KEPT: Final = 50_000


class Authenticator:
    """For one thread. Call :meth:`close`."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._sql = str(FIND_CERTIFICATE.compile(state.engine))
        # Each statement is a transaction of its own here: every look sees the newest commit.
        self._connection = state.engine.raw_connection()
        self._meanings: dict[tuple[Any, ...], Row[*tuple[Any, ...]] | None] = {}

    def authenticate(self, der_sha256: str, now: datetime) -> EndpointIdentity:
        """As :func:`collector.enrolment.service.authenticate`.

        Raises:
            sqlalchemy.exc.SQLAlchemyError, sqlite3.Error: the state store does not answer.
        """
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._sql, (der_sha256,))
            rows = cursor.fetchall()
        finally:
            cursor.close()
        return judge(self._meaning(rows[0], der_sha256) if rows else None, now)

    def close(self) -> None:
        self._connection.close()

    def _meaning(self, values: tuple[Any, ...], der_sha256: str) -> Row[*tuple[Any, ...]] | None:
        if values not in self._meanings:
            if len(self._meanings) >= _KEPT:
                self._meanings.clear()
            with self._state.read() as session:
                self._meanings[values] = session.execute(FIND_CERTIFICATE, {"sha256": der_sha256}).first()
        return self._meanings[values]
