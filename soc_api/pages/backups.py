"""Backups of important systems: the register, what is known of each, restore tests written down by hand."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from collector.backups import register
from collector.errors import CollectorError
from collector.registry.service import list_agencies
from collector.state.tables import BackupRecord, BackupSystem
from soc_api import system_backups
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.errors import Fault, InvalidError, SocError
from soc_api.i18n import LOCAL_ZONE
from soc_api.pages.rows import Choice, choices
from soc_api.pages.syslog_words import BACKUP_STATES, BACKUP_WAYS
from soc_api.pages.visit import Visit, status_of

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.BACKUPS_MANAGE))]
_PATH = "/backups"
_RECORDS = 10


@dataclass(frozen=True)
class RecordRow:
    record: BackupRecord
    way: str


@dataclass(frozen=True)
class SystemRow:
    """``good`` and ``restored``: the last good backup and restore test; ``records`` the newest of all kinds."""

    system: BackupSystem
    agency: str
    state: str
    restore_state: str
    good: BackupRecord | None
    good_way: str
    restored: BackupRecord | None
    interval: str
    restore_interval: str
    records: list[RecordRow]


@dataclass(frozen=True)
class BackupsPage:
    """``key`` of the system ``key_of`` is shown this once."""

    rows: list[SystemRow]
    declarable: list[Choice]
    may_manage: bool
    refused: str
    key: str
    key_of: str
    today: str


@router.get(_PATH)
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("backups.html", build(visit))


@router.post(_PATH)
def add(
    request: Request,
    services: RequestServices,
    principal: Manager,
    agency: Annotated[str, Form(max_length=64)] = "",
    name: Annotated[str, Form(max_length=64)] = "",
    title: Annotated[str, Form(max_length=1_000)] = "",
    owner: Annotated[str, Form(max_length=1_000)] = "",
    hours: Annotated[str, Form(max_length=20)] = "",
    restore_days: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            system_backups.add_system(
                session,
                principal,
                agency_code=agency,
                name=name,
                title=title,
                owner=owner,
                hours=_number("hours", hours),
                restore_days=_number("restore_days", restore_days),
                now=visit.now,
            )
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return visit.back_to(_PATH)


@router.post(_PATH + "/{system}/key")
def renew_key(system: str, request: Request, services: RequestServices, principal: Manager) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            key = system_backups.renew_key(session, principal, system, visit.now)
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return visit.answer("backups.html", build(visit, key=key, key_of=system))


@router.post(_PATH + "/{system}/restore")
def note_restore(
    system: str,
    request: Request,
    services: RequestServices,
    principal: Manager,
    day: Annotated[str, Form(max_length=10)] = "",
    outcome: Annotated[str, Form(max_length=8)] = "",
    by: Annotated[str, Form(max_length=1_000)] = "",
    note: Annotated[str, Form(max_length=4_000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        if outcome not in ("good", "failed"):
            raise InvalidError(Fault("outcome", "say whether it went well"))
        with services.state.write() as session:
            system_backups.note_restore(
                session,
                principal,
                system,
                tested_at=_day(day, visit.now),
                ok=outcome == "good",
                by=by,
                note=note,
                now=visit.now,
            )
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return visit.back_to(_PATH)


@router.post(_PATH + "/{system}/retire")
def retire(
    system: str,
    request: Request,
    services: RequestServices,
    principal: Manager,
    reason: Annotated[str, Form(max_length=4_000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            system_backups.retire(session, principal, system, reason, visit.now)
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return visit.back_to(_PATH)


def build(visit: Visit, *, refused: str = "", key: str = "", key_of: str = "") -> BackupsPage:
    with visit.services.state.read() as session:
        agencies = list_agencies(session, visit.principal.scope)
        systems = register.list_systems(session, visit.principal.scope)
        ids = [each.id for each in systems]
        good = register.newest(session, ids, register.BACKUPS, good_only=True)
        restored = register.newest(session, ids, (register.RESTORE,), good_only=True)
        records = {each.id: register.records_of(session, each, _RECORDS) for each in systems}
    names = {each.id: each.name for each in agencies}
    order = {"failed": 0, "overdue": 0, "never": 0, "": 1, "ok": 2}
    rows = [
        SystemRow(
            system=each,
            agency=names.get(each.agency_id, ""),
            state=visit.t(BACKUP_STATES[each.state]),
            restore_state=visit.t(BACKUP_STATES[each.restore_state]),
            good=good.get(each.id),
            good_way=visit.t(BACKUP_WAYS[good[each.id].kind]) if each.id in good else "",
            restored=restored.get(each.id),
            interval=visit.t.span(each.interval_seconds),
            restore_interval=visit.t.span(each.restore_seconds),
            records=[RecordRow(record, visit.t(BACKUP_WAYS[record.kind])) for record in records[each.id]],
        )
        for each in sorted(systems, key=lambda each: (order[each.state], each.title))
    ]
    return BackupsPage(
        rows=rows,
        declarable=choices(agencies),
        may_manage=visit.principal.may(Permission.BACKUPS_MANAGE),
        refused=refused,
        key=key,
        key_of=key_of,
        today=visit.now.astimezone(LOCAL_ZONE).date().isoformat(),
    )


def _number(field: str, text: str) -> float:
    """Raises :class:`InvalidError`."""
    try:
        return float(text.strip().replace(",", "."))
    except ValueError as error:
        raise InvalidError(Fault(field, "not a number")) from error


def _day(text: str, now: datetime) -> datetime:
    """The end of that day, or now where it is today. Raises :class:`InvalidError`."""
    try:
        day = datetime.fromisoformat(text.strip()).replace(tzinfo=LOCAL_ZONE)
        return min(day + timedelta(hours=23), now) if day <= now else day
    except (ValueError, OverflowError) as error:
        raise InvalidError(Fault("day", "not a day")) from error


def _refused(visit: Visit, error: Exception) -> Response:
    return visit.answer("backups.html", build(visit, refused=str(error)), status=status_of(error))
