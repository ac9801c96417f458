"""Makes a data directory ready to serve from: everything that a first start needs and a later one may
lack.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError

from collector.detect.checkpoints import load_places
from collector.enrolment.errors import AuthorityError
from collector.enrolment.files import ensure_server_certificate, make_authority
from collector.errors import CollectorError
from collector.log.opening import prepare_log
from collector.state.base import utcnow
from collector.state.database import StateStore, place_of_state
from collector.state.migrate import upgrade
from collector.state.postgres import Database, StateAwayError
from collector.state.tables import Installation

if TYPE_CHECKING:
    from datetime import datetime

    from collector.enrolment.authority import Authority
    from collector.settings import DataDirectory, Settings

log = logging.getLogger("vonggac.prepare")

_AUTHORITY: Final = "ca_sha256"


class NotMovedError(CollectorError):
    """The settings name a new state store, and the present one has not been moved there."""


@dataclass(frozen=True)
class Prepared:
    """``first_start``: there was no state before. ``server_certificate_made``: it was new or renewed now."""

    authority: Authority
    first_start: bool
    server_certificate_made: bool


def prepare(data: DataDirectory, settings: Settings) -> Prepared:
    """Make the directory, the authority, the server's certificate and the state store's tables, and
    a log that goes on where the worker stopped. Idempotent.

    Raises:
        CollectorError: something there is damaged or of a newer program; ``str()`` says what to do.
    """
    now = utcnow()
    data.create()
    where = place_of_state(settings, data)
    try:
        first_start = upgrade(where)
    except DBAPIError as error:
        raise StateAwayError(where, error) from error
    if isinstance(where, Path):
        where.chmod(0o600)
    state = StateStore(where)
    try:
        authority = _same_authority(data, state, now)
        made = ensure_server_certificate(data.ca, authority, settings.web.names, now)
        _prepare_log(data, settings, state)
    finally:
        state.close()
    return Prepared(authority=authority, first_start=first_start, server_certificate_made=made)


def _same_authority(data: DataDirectory, state: StateStore, now: datetime) -> Authority:
    """The authority, made where the state store knows none yet. Machines that share one have the same: with another,
    half of the agents would be strangers to half of the machines."""
    with state.write() as session:
        known = session.get(Installation, _AUTHORITY)
        if known is None and isinstance(state.where, Database) and data.state.exists():
            raise NotMovedError(
                f"{state.where} is empty, but there is {data.state}: bring it over with `vonggac move`, or move it away"
            )
        if known is not None and not (data.ca / "ca.key").exists():
            raise AuthorityError(
                f"{data.ca / 'ca.key'} is missing, but agents trust an authority already: copy ca.key and ca.crt"
                " from another machine of this installation, or from a backup"
            )
        authority = make_authority(data.ca, now)
        if known is None:
            session.add(Installation(name=_AUTHORITY, value=authority.sha256))
        elif known.value != authority.sha256:
            raise AuthorityError(
                f"the authority in {data.ca} is not this installation's: copy ca.key and ca.crt from another machine"
                " of it, or from a backup"
            )
    return authority


def _prepare_log(data: DataDirectory, settings: Settings, state: StateStore) -> None:
    """A log that was lost while the state was kept starts behind what the workers have read."""
    with state.read() as session:
        positions = {number: place.log_offset for number, place in load_places(session).items()}
    if prepare_log(settings, data, positions):
        log.warning(
            "the log was lost or is an older one: what it had and was not read yet is gone; new rows go on"
            " behind offset %d",
            max(positions.values()),
        )
