"""The way a certificate is looked up on every single request: the state store is asked each time, so that a
revocation bites on the next request. What its answer means ``collector.enrolment.service`` knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.enrolment.service import FIND_CERTIFICATE, FoundCertificate, judge
from collector.state.question import Question

if TYPE_CHECKING:
    from datetime import datetime

    from collector.enrolment.service import EndpointIdentity
    from collector.state.database import StateStore


class Authenticator:
    """For one thread. Call :meth:`close`."""

    def __init__(self, state: StateStore) -> None:
        self._question = Question(state, FIND_CERTIFICATE, "sha256")

    def authenticate(self, der_sha256: str, now: datetime) -> EndpointIdentity:
        """As :func:`collector.enrolment.service.authenticate`.

        Raises:
            sqlalchemy.exc.OperationalError: the state store does not answer.
        """
        found = self._question.ask(der_sha256)
        return judge(None if found is None else FoundCertificate(*found), now)

    def close(self) -> None:
        self._question.close()
