"""Makes a data directory ready to serve from: everything that a first start needs and a later one may
lack.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from collector.enrolment.files import ensure_server_certificate, make_authority
from collector.log.opening import prepare_log
from collector.state.base import utcnow
from collector.state.database import StateStore
from collector.state.migrate import upgrade
from collector.state.tables import Checkpoint

if TYPE_CHECKING:
    from collector.enrolment.authority import Authority
    from collector.settings import DataDirectory, Settings

log = logging.getLogger("vonggac.prepare")


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
    first_start = not data.state.exists()
    data.create()
    authority = make_authority(data.ca, now)
    made = ensure_server_certificate(data.ca, authority, settings.web.names, now)
    upgrade(data.state)
    data.state.chmod(0o600)
    _prepare_log(data, settings)
    return Prepared(authority=authority, first_start=first_start, server_certificate_made=made)


def _prepare_log(data: DataDirectory, settings: Settings) -> None:
    """A log that was lost while the state was kept starts behind what the workers have read."""
    state = StateStore(data.state)
    try:
        with state.read() as session:
            # The checkpoint of `correlate` counts what the workers leave for it, not the log's rows.
            read = (Checkpoint.worker == "detect") | Checkpoint.worker.startswith("partition/")
            checkpoint = session.scalar(select(func.max(Checkpoint.log_offset)).where(read)) or 0
    finally:
        state.close()
    if prepare_log(settings, data, checkpoint):
        log.warning(
            "the log was lost or is an older one: what it had and was not read yet is gone; new rows go on"
            " behind offset %d",
            checkpoint,
        )
