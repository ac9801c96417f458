"""What people do about the backups of important systems: the change and the audit entry in one transaction."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from collector.backups import register, reports
from collector.registry import service as registry
from soc_api.accounts import audit
from soc_api.errors import Fault, InvalidError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.tables import BackupRecord, BackupSystem
    from soc_api.accounts.principal import Principal

MOST_TEXT: Final = 200
MOST_NOTE: Final = 1_000
#: How old the last good backup may be at most, and the last restore test.
MOST_HOURS: Final = 24 * 92
MOST_DAYS: Final = 1_100


def add_system(
    session: Session,
    principal: Principal,
    *,
    agency_code: str,
    name: str,
    title: str,
    owner: str,
    hours: float,
    restore_days: float,
    now: datetime,
) -> BackupSystem:
    """Watch a system's backups: a good one every ``hours``, a restore test every ``restore_days``.

    Raises:
        InvalidError: a text or number out of range.
        NotFoundError: no such agency within the principal's scope.
        ConflictError: the name is taken.
    """
    name, title, owner = name.strip(), title.strip(), owner.strip()
    if not register.is_name(name):
        raise InvalidError(Fault("name", "small letters, digits and hyphens, as portal-db"))
    for field, text, needed in (("title", title, True), ("owner", owner, False)):
        if (needed and not text) or len(text) > MOST_TEXT or not (text.isprintable() or not text):
            raise InvalidError(Fault(field, f"at most {MOST_TEXT} printable characters"))
    if not 0 < hours <= MOST_HOURS:
        raise InvalidError(Fault("hours", f"more than 0, at most {MOST_HOURS}"))
    if not 0 < restore_days <= MOST_DAYS:
        raise InvalidError(Fault("restore_days", f"more than 0, at most {MOST_DAYS}"))
    agency = registry.get_agency(session, principal.scope, agency_code)
    system = register.add_system(
        session,
        agency.id,
        name,
        title=title,
        owner=owner,
        interval=timedelta(hours=hours),
        restore=timedelta(days=restore_days),
        actor=principal.username,
        now=now,
    )
    _record(session, principal, "backup.add", system, now, agency=agency.code, hours=hours, days=restore_days)
    return system


def renew_key(session: Session, principal: Principal, name: str, now: datetime) -> str:
    """A new key for a system's reports, shown this once. Raise :class:`NotFoundError`; :class:`InvalidError` for a
    system that is watched no more."""
    system = register.get_system(session, principal.scope, name)
    if system.retired_at is not None:
        raise InvalidError(Fault("name", "its backups are watched no more"))
    key = register.renew_key(system)
    _record(session, principal, "backup.key", system, now)
    return key


def retire(session: Session, principal: Principal, name: str, reason: str, now: datetime) -> BackupSystem:
    """Watch a system's backups no more. Raises as :func:`add_system`."""
    reason = _note("reason", reason)
    system = register.get_system(session, principal.scope, name)
    register.retire(system, reason, principal.username, now)
    _record(session, principal, "backup.retire", system, now, reason=reason)
    return system


def note_restore(
    session: Session,
    principal: Principal,
    name: str,
    *,
    tested_at: datetime,
    ok: bool,
    by: str,
    note: str,
    now: datetime,
) -> BackupRecord:
    """Write down a restore test: when, by whom, with what outcome and evidence. Raises as :func:`add_system`."""
    by, note = by.strip(), _note("note", note)
    if not by or len(by) > MOST_TEXT or not by.isprintable():
        raise InvalidError(Fault("by", f"say who tried it, in at most {MOST_TEXT} characters"))
    if not now - timedelta(days=366) <= tested_at <= now:
        raise InvalidError(Fault("tested_at", "within the last year, and not ahead"))
    system = register.get_system(session, principal.scope, name)
    record = register.note_restore(session, system, tested_at, ok=ok, by=by, note=note, now=now)
    _record(session, principal, "backup.restore", system, now, ok=ok, by=by, note=note)
    return record


def take_report(session: Session, body: bytes, signature: str, now: datetime) -> BackupRecord:
    """See :func:`collector.backups.reports.take_report`; what is kept of earlier ones is bounded."""
    record = reports.take_report(session, body, signature, now)
    register.forget_old(session, record.system_id, reports.REPORT)
    return record


def _record(
    session: Session, principal: Principal, action: str, system: BackupSystem, now: datetime, **detail: object
) -> None:
    audit.record(
        session, now, principal.username, action, f"backup:{system.name}", address=principal.address, **detail
    )


def _note(field: str, text: str) -> str:
    note = text.strip()
    if not note or len(note) > MOST_NOTE:
        raise InvalidError(Fault(field, f"at least a word, at most {MOST_NOTE} characters"))
    return note
