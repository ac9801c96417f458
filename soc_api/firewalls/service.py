"""Declaring a firewall, correcting it, taking it out: within the principal's scope, each in one transaction with its
audit entry. API and pages both come through here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from collector.devices.macs import parse_ip
from collector.firewalls import service as firewalls
from collector.registry import service as registry
from soc_api.accounts import audit
from soc_api.errors import Fault, InvalidError

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy.orm import Session

    from collector.state.tables import Firewall
    from soc_api.accounts.principal import Principal

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MOST_NOTE: Final = 1_000


def declare(
    session: Session,
    principal: Principal,
    *,
    agency_code: str,
    name: str,
    address: str,
    note: str,
    now: datetime,
) -> Firewall:
    """Raises:
    InvalidError: no name (letters, digits, ``._-``), or no address of one device.
    NotFoundError: no such agency within the principal's scope.
    ConflictError: the agency has a firewall of that name.
    """
    agency = registry.get_agency(session, principal.scope, agency_code)
    if not _NAME.fullmatch(name):
        raise InvalidError(Fault("name", "letters, digits, dots, hyphens and underscores, 63 at most"))
    ip = parse_ip(address)
    if ip is None:
        raise InvalidError(Fault("address", "not an IP address of one device"))
    row = firewalls.declare(session, agency.id, name, ip, principal.username, now, note=_note(note))
    _record(session, principal, "firewall.declare", row, now, agency=agency_code)
    return row


def change(
    session: Session,
    principal: Principal,
    firewall_id: int,
    *,
    support_until: date | None,
    note: str,
    now: datetime,
) -> Firewall:
    """Say until when the maker supports it (None: as the table of releases has it), and what else is to know.

    Raises:
        NotFoundError: no such firewall within the principal's scope.
    """
    row = firewalls.get_firewall(session, principal.scope, firewall_id)
    row.support_until, row.note = support_until, _note(note)
    until = None if support_until is None else support_until.isoformat()
    _record(session, principal, "firewall.change", row, now, support_until=until)
    return row


def retire(session: Session, principal: Principal, firewall_id: int, reason: str, now: datetime) -> None:
    """The agency has it no more.

    Raises:
        NotFoundError: no such firewall within the principal's scope.
        InvalidError: no reason was given.
    """
    row = firewalls.get_firewall(session, principal.scope, firewall_id)
    reason = reason.strip()
    if not reason or len(reason) > MOST_NOTE:
        raise InvalidError(Fault("reason", f"say why, in at most {MOST_NOTE} characters"))
    row.retired_at, row.retired_by, row.retired_reason = now, principal.username, reason
    _record(session, principal, "firewall.retire", row, now, reason=reason)


def _note(note: str) -> str:
    note = note.strip()
    if len(note) > MOST_NOTE:
        raise InvalidError(Fault("note", f"at most {MOST_NOTE} characters"))
    return note


def _record(
    session: Session, principal: Principal, action: str, row: Firewall, now: datetime, **detail: object
) -> None:
    audit.record(
        session,
        now,
        principal.username,
        action,
        f"firewall:{row.id}",
        address=principal.address,
        firewall=row.name,
        note=row.note,
        **{"ip": row.address, **detail},
    )
