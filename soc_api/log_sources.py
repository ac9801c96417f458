"""What people decide on devices that log: the register's change and the audit entry in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.registry import service as registry
from collector.sources import register
from soc_api.accounts import audit
from soc_api.errors import Fault, InvalidError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.tables import LogSource
    from soc_api.accounts.principal import Principal

MOST_REASON: Final = 1_000
MOST_NAME: Final = 100
#: The shortest and longest pause that people may set, in minutes: a minute to 31 days.
LEAST_MINUTES, MOST_MINUTES = 1, 44_640


def declare(
    session: Session,
    principal: Principal,
    *,
    agency_code: str,
    address: str,
    name: str,
    minutes: float | None,
    reason: str,
    now: datetime,
) -> LogSource:
    """Expect the log of a device that was not heard yet.

    Raises:
        InvalidError: no address, no or too long a reason or name, a pause out of range.
        NotFoundError: no such agency within the principal's scope.
        ConflictError: it is known already.
    """
    try:
        plain = register.normal_address(address)
    except ValueError:
        raise InvalidError(Fault("address", "not an IP address")) from None
    name, reason = _name(name), _reason(reason)
    agency = registry.get_agency(session, principal.scope, agency_code)
    row = register.declare(
        session,
        agency.id,
        plain,
        name=name,
        expected_seconds=_seconds(minutes),
        reason=reason,
        actor=principal.username,
        now=now,
    )
    _record(session, principal, "log_source.declare", row, now, reason=reason, agency=agency.code)
    return row


def expect(
    session: Session,
    principal: Principal,
    source_id: int,
    *,
    name: str,
    minutes: float | None,
    reason: str,
    now: datetime,
) -> LogSource:
    """Say that a device shall log, and with what longest pause (None: its usual one). Raises as :func:`declare`."""
    name, reason, seconds = _name(name), _reason(reason), _seconds(minutes)
    row = register.get_source(session, principal.scope, source_id)
    register.decide(
        row,
        register.EXPECTED,
        name=name,
        expected_seconds=seconds,
        reason=reason,
        actor=principal.username,
        now=now,
    )
    _record(session, principal, "log_source.expect", row, now, reason=reason, expected_seconds=seconds)
    return row


def retire(
    session: Session, principal: Principal, source_id: int, *, reason: str, now: datetime
) -> LogSource:
    """Say that a device logs no more and need not. Raises as :func:`declare`."""
    reason = _reason(reason)
    row = register.get_source(session, principal.scope, source_id)
    register.decide(row, register.RETIRED, reason=reason, actor=principal.username, now=now)
    _record(session, principal, "log_source.retire", row, now, reason=reason)
    return row


def _record(
    session: Session, principal: Principal, action: str, row: LogSource, now: datetime, **detail: object
) -> None:
    audit.record(
        session,
        now,
        principal.username,
        action,
        f"log_source:{row.id}",
        address=principal.address,
        source=row.address,
        **detail,
    )


def _reason(text: str) -> str:
    reason = text.strip()
    if not reason or len(reason) > MOST_REASON:
        raise InvalidError(Fault("reason", f"say why, in at most {MOST_REASON} characters"))
    return reason


def _name(text: str) -> str:
    name = text.strip()
    if len(name) > MOST_NAME or not (name.isprintable() or not name):
        raise InvalidError(Fault("name", f"at most {MOST_NAME} printable characters"))
    return name


def _seconds(minutes: float | None) -> float | None:
    if minutes is None:
        return None
    if not LEAST_MINUTES <= minutes <= MOST_MINUTES:
        raise InvalidError(Fault("minutes", f"from {LEAST_MINUTES} to {MOST_MINUTES}"))
    return minutes * 60.0
