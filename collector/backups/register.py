"""The register of systems whose backups are watched, and what is known of them. In the caller's transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, select

from collector.backups.reports import REPORT, new_key
from collector.errors import ConflictError, NotFoundError
from collector.state.tables import BackupRecord, BackupSystem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope

FILE: Final = "file"
SNMP: Final = "snmp"
RESTORE: Final = "restore"
#: What counts as a backup.
BACKUPS: Final = (REPORT, FILE, SNMP)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
#: Records of one system and kind that are kept.
_KEPT: Final = 400


def is_name(name: str) -> bool:
    """Whether a report and an agent's settings can name a system so."""
    return _NAME.fullmatch(name) is not None


def list_systems(session: Session, scope: Scope, *, retired: bool = False) -> list[BackupSystem]:
    """Those within reach, by title."""
    query = select(BackupSystem).where(scope.where(BackupSystem.agency_id))
    if not retired:
        query = query.where(BackupSystem.retired_at.is_(None))
    return list(session.scalars(query.order_by(BackupSystem.title, BackupSystem.id)))


def get_system(session: Session, scope: Scope, name: str) -> BackupSystem:
    """Raise :class:`NotFoundError` where there is none within reach."""
    found = session.scalar(
        select(BackupSystem).where(BackupSystem.name == name, scope.where(BackupSystem.agency_id))
    )
    if found is None:
        raise NotFoundError(f"there is no system {name[:80]!r}")
    return found


def add_system(
    session: Session,
    agency_id: int,
    name: str,
    *,
    title: str,
    owner: str,
    interval: timedelta,
    restore: timedelta,
    actor: str,
    now: datetime,
) -> BackupSystem:
    """Watch a system's backups from now on. Raise :class:`ConflictError` where the name is taken."""
    if session.scalar(select(BackupSystem.id).where(BackupSystem.name == name)) is not None:
        raise ConflictError(f"the name {name!r} is taken")
    system = BackupSystem(
        agency_id=agency_id,
        name=name,
        title=title,
        owner=owner,
        interval_seconds=interval.total_seconds(),
        restore_seconds=restore.total_seconds(),
        state_since=now,
        made_at=now,
        made_by=actor,
    )
    session.add(system)
    session.flush()
    return system


def renew_key(system: BackupSystem) -> str:
    """A new key for its reports; the one before is worth nothing any more."""
    system.key = new_key()
    return system.key


def retire(system: BackupSystem, reason: str, actor: str, now: datetime) -> None:
    """Its backups are watched no more, and its key is worth nothing."""
    if system.retired_at is not None:
        raise ConflictError("it is retired already")
    system.retired_at, system.retired_by, system.reason, system.key = now, actor, reason, ""


def note_restore(
    session: Session,
    system: BackupSystem,
    tested_at: datetime,
    *,
    ok: bool,
    by: str,
    note: str,
    now: datetime,
) -> BackupRecord:
    """Write down that somebody tried to restore it, and how that went. ``by``: who did, in words."""
    record = BackupRecord(
        system_id=system.id, kind=RESTORE, at=tested_at, ok=ok, received_at=now, by=by, note=note
    )
    session.add(record)
    session.flush()
    return record


def records_of(session: Session, system: BackupSystem, limit: int = 50) -> list[BackupRecord]:
    """The newest first."""
    query = select(BackupRecord).where(BackupRecord.system_id == system.id)
    return list(session.scalars(query.order_by(BackupRecord.at.desc(), BackupRecord.id.desc()).limit(limit)))


def newest(
    session: Session, system_ids: Iterable[int], kinds: Iterable[str], *, good_only: bool
) -> dict[int, BackupRecord]:
    """By system: the record of these kinds with the latest time."""
    of_kind = [BackupRecord.system_id.in_(list(system_ids)), BackupRecord.kind.in_(list(kinds))]
    if good_only:
        of_kind.append(BackupRecord.ok.is_(True))
    last = (
        select(BackupRecord.system_id, func.max(BackupRecord.at).label("at"))
        .where(*of_kind)
        .group_by(BackupRecord.system_id)
        .subquery()
    )
    rows = session.scalars(
        select(BackupRecord)
        .join(last, (BackupRecord.system_id == last.c.system_id) & (BackupRecord.at == last.c.at))
        .where(*of_kind)
        .order_by(BackupRecord.id)
    )
    return {row.system_id: row for row in rows}


def newest_by(
    session: Session, system_ids: Iterable[int], kinds: Iterable[str]
) -> dict[tuple[int, str, bool], BackupRecord]:
    """By system, who told of it and whether it was good: the record of these kinds with the latest time."""
    about = (BackupRecord.system_id, BackupRecord.by, BackupRecord.ok)
    wanted = (BackupRecord.system_id.in_(list(system_ids)), BackupRecord.kind.in_(list(kinds)))
    last = select(*about, func.max(BackupRecord.at).label("at")).where(*wanted).group_by(*about).subquery()
    rows = session.scalars(
        select(BackupRecord)
        .join(
            last,
            (BackupRecord.system_id == last.c.system_id)
            & (BackupRecord.by == last.c.by)
            & (BackupRecord.ok == last.c.ok)
            & (BackupRecord.at == last.c.at),
        )
        .where(*wanted)
        .order_by(BackupRecord.id)
    )
    return {(row.system_id, row.by, row.ok): row for row in rows}


def forget_old(session: Session, system_id: int, kind: str, by: str | None = None) -> None:
    """Keep the newest records of a system's kind, or of those that ``by`` told of: nobody's push out another's. Of
    restore tests all are kept."""
    of_kind = [BackupRecord.system_id == system_id, BackupRecord.kind == kind]
    if by is not None:
        of_kind.append(BackupRecord.by == by)
    kept = select(BackupRecord.id).where(*of_kind).order_by(BackupRecord.at.desc()).limit(_KEPT)
    session.execute(delete(BackupRecord).where(*of_kind, BackupRecord.id.not_in(kept.scalar_subquery())))
