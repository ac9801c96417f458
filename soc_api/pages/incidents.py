"""Incidents: the list, and a case with its clocks, alerts, notes and history."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from collector.errors import CollectorError
from collector.registry.service import list_agencies
from collector.state.tables import AuditEntry, Incident
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.errors import SocError
from soc_api.incidents import service
from soc_api.incidents.deadlines import clocks
from soc_api.pages.query import SIMULATED, Query
from soc_api.pages.rows import AlertRow, alert_row
from soc_api.pages.visit import Visit
from soc_api.pages.words import INCIDENT_STATUSES

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.INCIDENTS_READ))]
Worker = Annotated[Principal, Depends(require(Permission.INCIDENTS_WORK))]
_ROWS = 50
_LIVE = ("open", "in_progress", "resolved")


@dataclass(frozen=True)
class IncidentRow:
    id: int
    title: str
    level: str
    status: str
    agency: str
    simulated: bool
    detected_at: datetime
    assigned_to: str
    next_due: datetime | None
    overdue: bool


@dataclass(frozen=True)
class IncidentsPage:
    """``simulated_incidents`` are those of the chosen status that are simulated, shown or not."""

    query: Query
    rows: list[IncidentRow]
    next: str
    status: str
    simulated_incidents: int


@dataclass(frozen=True)
class ClockRow:
    """A deadline of the law. ``what`` and ``source`` say which."""

    key: str
    due_at: datetime
    overdue: bool
    done: bool
    source: str


@dataclass(frozen=True)
class Note:
    at: datetime
    who: str
    text: str


@dataclass(frozen=True)
class Step:
    at: datetime
    who: str
    what: str


@dataclass(frozen=True)
class IncidentPage:
    incident: IncidentRow
    opened_at: datetime
    opened_by: str
    resolved_at: datetime | None
    closed_at: datetime | None
    close_reason: str
    clocks: list[ClockRow]
    alerts: list[AlertRow]
    notes: list[Note]
    history: list[Step]
    next_statuses: list[str]
    close_reasons: list[str]
    assignable: list[str]
    may_work: bool
    refused: str
    note: str


@router.get("/incidents")
def show_all(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("incidents.html", build_list(visit))


@router.get("/incidents/{incident_id}")
def show(incident_id: int, request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("incident.html", build(visit, incident_id))


@router.post("/incidents/{incident_id}/notes")
def add_note(
    incident_id: int,
    request: Request,
    services: RequestServices,
    principal: Worker,
    text: Annotated[str, Form(max_length=20_000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            service.add_note(session, principal, incident_id, text, visit.now)
    except (CollectorError, SocError) as error:
        return _again(visit, incident_id, error, text)
    return visit.back_to(f"/incidents/{incident_id}")


@router.post("/incidents/{incident_id}/status")
def change_status(
    incident_id: int,
    request: Request,
    services: RequestServices,
    principal: Worker,
    status: Annotated[str, Form(max_length=64)] = "",
    reason: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            service.change_status(session, principal, incident_id, status, visit.now, reason=reason or None)
    except (CollectorError, SocError) as error:
        return _again(visit, incident_id, error, "")
    return visit.back_to(f"/incidents/{incident_id}")


@router.post("/incidents/{incident_id}/assignee")
def assign(
    incident_id: int,
    request: Request,
    services: RequestServices,
    principal: Worker,
    assigned_to: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            service.assign(session, principal, incident_id, assigned_to or None, visit.now)
    except (CollectorError, SocError) as error:
        return _again(visit, incident_id, error, "")
    return visit.back_to(f"/incidents/{incident_id}")


def _again(visit: Visit, incident_id: int, error: Exception, note: str) -> Response:
    page = build(visit, incident_id, refused=str(error), note=note)
    return visit.answer("incident.html", page, status=409 if isinstance(error, CollectorError) else 422)


def build_list(visit: Visit) -> IncidentsPage:
    query = visit.query("status", "simulated", "after")
    status = query.choice("status", ("live", *INCIDENT_STATUSES, "all"), "live")
    statuses = {"live": _LIVE, "all": ()}.get(status, (status,))
    before = query.number("after", 0, lowest=0, highest=10**9)
    with visit.services.state.read() as session:
        found = service.list_incidents(
            session,
            visit.principal.scope,
            statuses=statuses,
            simulated={"": False, "only": True}.get(query.choice("simulated", SIMULATED)),
            before=before or None,
            limit=_ROWS + 1,
        )
        simulated = service.count_simulated(session, visit.principal.scope, statuses)
        names = {agency.id: agency.name for agency in list_agencies(session, visit.principal.scope)}
    rows = [_row(visit, incident, names) for incident in found[:_ROWS]]
    return IncidentsPage(query, rows, str(rows[-1].id) if len(found) > _ROWS else "", status, simulated)


def build(visit: Visit, incident_id: int, *, refused: str = "", note: str = "") -> IncidentPage:
    """Raises :class:`collector.errors.NotFoundError` where the incident is out of reach."""
    scope, now = visit.principal.scope, visit.now
    may_work = visit.principal.may(Permission.INCIDENTS_WORK)
    with visit.services.state.read() as session:
        incident = service.get(session, scope, incident_id)
        alerts = service.alerts_of(session, scope, incident)
        notes = service.notes_of(session, incident)
        history = service.history_of(session, incident)
        names = {agency.id: agency.name for agency in list_agencies(session, scope)}
        assignable = [user.username for user in service.assignable(session)] if may_work else []
    return IncidentPage(
        incident=_row(visit, incident, names),
        opened_at=incident.opened_at,
        opened_by=incident.opened_by,
        resolved_at=incident.resolved_at,
        closed_at=incident.closed_at,
        close_reason=incident.close_reason or "",
        clocks=[
            ClockRow(each.key, each.due_at, each.overdue, incident.resolved_at is not None, each.source)
            for each in clocks(incident.detected_at, incident.resolved_at, now)
        ],
        alerts=[alert_row(alert, visit.services.catalogue, names, visit.t) for alert in alerts],
        notes=[Note(each.written_at, each.written_by, each.text) for each in notes],
        history=[Step(each.at, each.actor, _step(visit, each)) for each in history],
        next_statuses=list(service.TRANSITIONS.get(incident.status, ())),
        close_reasons=list(service.CLOSE_REASONS),
        assignable=assignable,
        may_work=may_work,
        refused=refused,
        note=note,
    )


def _row(visit: Visit, incident: Incident, names: dict[int, str]) -> IncidentRow:
    due = clocks(incident.detected_at, incident.resolved_at, visit.now)
    waiting = incident.resolved_at is None and incident.closed_at is None
    return IncidentRow(
        id=incident.id,
        title=incident.title,
        level=incident.level,
        status=incident.status,
        agency=names.get(incident.agency_id, "") if incident.agency_id is not None else "",
        simulated=incident.simulated,
        detected_at=incident.detected_at,
        assigned_to=incident.assigned_to or "",
        next_due=due[0].due_at if due and waiting else None,
        overdue=waiting and any(each.overdue for each in due),
    )


def _step(visit: Visit, entry: AuditEntry) -> str:
    t, detail = visit.t, entry.detail
    match entry.action.removeprefix("incident."):
        case "create":
            return t("Opened")
        case "add_alerts":
            return t("Alerts joined")
        case "note":
            return t("Note written")
        case "status":
            before = visit.words.incident_status(str(detail.get("before")))
            after = visit.words.incident_status(str(detail.get("after")))
            return t("Status: %(before)s → %(after)s", before=before, after=after)
        case "assign":
            after = str(detail.get("after") or "")
            return t("Assigned to %(user)s", user=after) if after else t("Assigned to nobody")
        case other:
            return other
