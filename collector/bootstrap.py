"""Makes a data directory ready to serve from: everything that a first start needs and a later one may
lack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.enrolment.files import ensure_server_certificate, make_authority
from collector.state.base import utcnow
from collector.state.migrate import upgrade

if TYPE_CHECKING:
    from collector.enrolment.authority import Authority
    from collector.settings import DataDirectory, Settings


@dataclass(frozen=True)
class Prepared:
    """``first_start``: there was no state before. ``server_certificate_made``: it was new or renewed now."""

    authority: Authority
    first_start: bool
    server_certificate_made: bool


def prepare(data: DataDirectory, settings: Settings) -> Prepared:
    """Make the directory, the authority, the server's certificate and the state store's tables. Idempotent.

    Raises:
        CollectorError: something there is damaged or of a newer program; ``str()`` says what to do.
    """
    now = utcnow()
    first_start = not data.state.exists()
    data.create()
    authority = make_authority(data.ca, now)
    made = ensure_server_certificate(data.ca, authority, settings.web.names, now)
    upgrade(data.state)
    data.state.chmod(0o600)
    return Prepared(authority=authority, first_start=first_start, server_certificate_made=made)
