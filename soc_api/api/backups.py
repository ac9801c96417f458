"""Backups of important systems: the register, restore tests, and signed reports of the systems themselves."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Request
from pydantic import AwareDatetime, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from collector.backups import register
from collector.backups.reports import (
    MAX_BYTES,
    SIGNATURE_HEADER,
    ReportError,
    SignatureError,
    check_signature,
)
from collector.state.tables import BackupSystem
from soc_api import system_backups
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Shape, refusals
from soc_api.problems import problem
from soc_api.services import Services

router = APIRouter(tags=["backups"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.BACKUPS_MANAGE))]


class BackupSystemShape(Shape):
    name: str
    agency_id: int
    title: str
    owner: str
    interval_seconds: float
    restore_seconds: float
    state: Literal["", "ok", "failed", "overdue", "never"] = Field(description="Empty: not judged yet.")
    restore_state: Literal["", "ok", "failed", "overdue", "never"]
    reports: bool = Field(description="It has a key for reports.")
    last_good_at: datetime | None
    last_restore_at: datetime | None


class BackupRecordShape(Shape):
    kind: Literal["report", "file", "snmp", "restore"]
    at: datetime
    ok: bool
    by: str
    note: str
    received_at: datetime


class NewSystem(Body):
    agency: str = Field(max_length=64, description="Its code.")
    name: str = Field(
        max_length=63, description="Small letters, digits and hyphens; reports and agents use it."
    )
    title: str = Field(min_length=1, max_length=system_backups.MOST_TEXT)
    owner: str = Field("", max_length=system_backups.MOST_TEXT, description="Who answers for it.")
    hours: float = Field(
        gt=0, le=system_backups.MOST_HOURS, description="How old the last good backup may be."
    )
    restore_days: float = Field(
        gt=0, le=system_backups.MOST_DAYS, description="How old the last restore test may be."
    )


class NewRestore(Body):
    tested_at: AwareDatetime
    ok: bool
    by: str = Field(min_length=1, max_length=system_backups.MOST_TEXT, description="Who tried it.")
    note: str = Field(
        min_length=1,
        max_length=system_backups.MOST_NOTE,
        description="What was restored, and where the evidence is.",
    )


class Farewell(Body):
    reason: str = Field(min_length=1, max_length=system_backups.MOST_NOTE)


class KeyShape(Shape):
    key: str = Field(description="Shown this once.")


@router.get("/backups")
def list_backups(services: RequestServices, principal: Reader) -> list[BackupSystemShape]:
    """The systems within reach whose backups are watched."""
    with services.state.read() as session:
        systems = register.list_systems(session, principal.scope)
        ids = [each.id for each in systems]
        good = register.newest(session, ids, register.BACKUPS, good_only=True)
        restored = register.newest(session, ids, (register.RESTORE,), good_only=True)
        return [
            _shape(
                each,
                good[each.id].at if each.id in good else None,
                restored[each.id].at if each.id in restored else None,
            )
            for each in systems
        ]


@router.post("/backups", status_code=201)
def add(body: NewSystem, services: RequestServices, principal: Manager) -> BackupSystemShape:
    """Watch a system's backups from now on."""
    with services.state.write() as session:
        system = system_backups.add_system(
            session,
            principal,
            agency_code=body.agency,
            name=body.name,
            title=body.title,
            owner=body.owner,
            hours=body.hours,
            restore_days=body.restore_days,
            now=services.clock(),
        )
        return _shape(system, None, None)


@router.get("/backups/{system}/records")
def records(system: str, services: RequestServices, principal: Reader) -> list[BackupRecordShape]:
    """What is known of a system's backups and restore tests, the newest first."""
    with services.state.read() as session:
        found = register.get_system(session, principal.scope, system)
        return [BackupRecordShape.model_validate(each) for each in register.records_of(session, found)]


@router.post("/backups/{system}/key", status_code=201)
def renew_key(system: str, services: RequestServices, principal: Manager) -> KeyShape:
    """A new key for the system's reports; the one before is worth nothing any more."""
    with services.state.write() as session:
        return KeyShape(key=system_backups.renew_key(session, principal, system, services.clock()))


@router.post("/backups/{system}/restores", status_code=201)
def note_restore(
    system: str, body: NewRestore, services: RequestServices, principal: Manager
) -> BackupRecordShape:
    """Write down that somebody tried to restore the system, and how that went."""
    with services.state.write() as session:
        record = system_backups.note_restore(
            session,
            principal,
            system,
            tested_at=body.tested_at,
            ok=body.ok,
            by=body.by,
            note=body.note,
            now=services.clock(),
        )
        return BackupRecordShape.model_validate(record)


@router.post("/backups/{system}/retirement", status_code=204)
def retire(system: str, body: Farewell, services: RequestServices, principal: Manager) -> None:
    """Watch its backups no more."""
    with services.state.write() as session:
        system_backups.retire(session, principal, system, body.reason, services.clock())


@router.post("/backup-reports", status_code=204, responses=refusals(413, 429))
async def report(
    request: Request,
    services: RequestServices,
    signature: Annotated[str, Header(alias=SIGNATURE_HEADER, max_length=200)] = "",
) -> Response:
    """A system's own word that it was backed up, or that this failed: signed with its key, no session. See
    docs/probe.md for the form and an example with curl."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BYTES:
            return problem(413, "Too large", f"a report has at most {MAX_BYTES} bytes")
    address = request.client.host if request.client is not None else ""
    services.report_throttle.begin(address)
    try:
        await run_in_threadpool(_take, services, bytes(body), signature)
    except SignatureError as error:
        return problem(401, "Not signed", str(error))
    except ReportError as error:
        services.report_throttle.succeeded(address)
        return problem(422, "The report is not valid", str(error))
    except Exception:
        services.report_throttle.succeeded(address)
        raise
    services.report_throttle.succeeded(address)
    return Response(status_code=204)


def _take(services: Services, body: bytes, signature: str) -> None:
    # Whoever cannot sign does not get at the database's only writer.
    with services.state.read() as session:
        check_signature(session, body, signature)
    with services.state.write() as session:
        system_backups.take_report(session, body, signature, services.clock())


def _shape(system: BackupSystem, good: datetime | None, restored: datetime | None) -> BackupSystemShape:
    kept = (
        "name",
        "agency_id",
        "title",
        "owner",
        "interval_seconds",
        "restore_seconds",
        "state",
        "restore_state",
    )
    return BackupSystemShape(
        **{name: getattr(system, name) for name in kept},
        reports=bool(system.key),
        last_good_at=good,
        last_restore_at=restored,
    )
