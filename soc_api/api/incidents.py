"""Incidents: made of alerts, given to somebody, worked, closed."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Page, Paging, Shape, cursor
from soc_api.incidents import service
from soc_api.incidents.deadlines import clocks

if TYPE_CHECKING:
    from collector.state.tables import Incident

router = APIRouter(prefix="/incidents", tags=["incidents"])
Reader = Annotated[Principal, Depends(require(Permission.INCIDENTS_READ))]
Worker = Annotated[Principal, Depends(require(Permission.INCIDENTS_WORK))]
Status = Literal["open", "in_progress", "resolved", "closed"]


class IncidentShape(Shape):
    id: int
    title: str
    status: Status
    level: str = Field(description="The highest of its alerts.")
    agency_id: int | None = Field(description="Null where its alerts are of several agencies.")
    simulated: bool
    detected_at: datetime = Field(description="The earliest event of its alerts: its clocks start.")
    opened_at: datetime
    opened_by: str
    assigned_to: str | None
    resolved_at: datetime | None
    closed_at: datetime | None
    close_reason: str | None


class ClockShape(Shape):
    key: str
    due_at: datetime
    overdue: bool
    source: str


class AlertLine(Shape):
    id: int
    rule_id: str
    level: str
    subject: str
    status: str
    first_event_at: datetime


class NoteShape(Shape):
    id: int
    written_at: datetime
    written_by: str
    text: str


class HistoryLine(Shape):
    at: datetime
    actor: str
    action: str
    detail: dict[str, object]


class WholeIncident(IncidentShape):
    next_statuses: list[str]
    clocks: list[ClockShape]
    alerts: list[AlertLine]
    notes: list[NoteShape]
    history: list[HistoryLine]


class NewIncident(Body):
    title: str = Field(min_length=1, max_length=200)
    alerts: list[int] = Field(min_length=1, max_length=service.MOST_ALERTS, description="Ids of alerts.")


class MoreAlerts(Body):
    alerts: list[int] = Field(min_length=1, max_length=service.MOST_ALERTS)


class NewNote(Body):
    text: str = Field(min_length=1, max_length=10_000)


class NewStatus(Body):
    status: Status
    reason: Literal["fixed", "risk_accepted", "false_positive", "duplicate"] | None = Field(
        default=None, description="Needed for `closed`."
    )


class NewAssignee(Body):
    assigned_to: str | None = Field(max_length=64, description="A user who may work incidents; null: nobody.")


@router.get("")
def list_incidents(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    status: Annotated[list[Status] | None, Query(description="Only these; may be repeated.")] = None,
) -> Page[IncidentShape]:
    """The newest first."""
    with services.state.read() as session:
        found = service.list_incidents(
            session, principal.scope, statuses=status or (), before=paging.after_id(), limit=paging.limit + 1
        )
    more = len(found) > paging.limit
    items = [IncidentShape.model_validate(row) for row in found[: paging.limit]]
    return Page(items=items, next=cursor(items[-1].id) if more else None)


@router.post("", status_code=201)
def create_incident(body: NewIncident, services: RequestServices, principal: Worker) -> WholeIncident:
    """Make a case of alerts that belong to none yet. Its clock starts at their earliest event."""
    with services.state.write() as session:
        made = service.create(session, principal, body.title, body.alerts, services.clock())
    return _whole(services, principal, made.id)


@router.get("/{incident_id}")
def get_incident(incident_id: int, services: RequestServices, principal: Reader) -> WholeIncident:
    """A case with its clocks, alerts, notes and history."""
    return _whole(services, principal, incident_id)


@router.post("/{incident_id}/alerts")
def add_alerts(
    incident_id: int, body: MoreAlerts, services: RequestServices, principal: Worker
) -> WholeIncident:
    """Join further alerts to a case that is not closed."""
    with services.state.write() as session:
        service.add_alerts(session, principal, incident_id, body.alerts, services.clock())
    return _whole(services, principal, incident_id)


@router.post("/{incident_id}/notes", status_code=201)
def add_note(incident_id: int, body: NewNote, services: RequestServices, principal: Worker) -> NoteShape:
    """Write something down; a note is never edited."""
    with services.state.write() as session:
        note = service.add_note(session, principal, incident_id, body.text, services.clock())
    return NoteShape.model_validate(note)


@router.post("/{incident_id}/status")
def change_status(
    incident_id: int, body: NewStatus, services: RequestServices, principal: Worker
) -> WholeIncident:
    """Move the case on: open → in progress → resolved → closed; a closed one can be taken up again."""
    with services.state.write() as session:
        service.change_status(
            session, principal, incident_id, body.status, services.clock(), reason=body.reason
        )
    return _whole(services, principal, incident_id)


@router.post("/{incident_id}/assignee")
def assign(
    incident_id: int, body: NewAssignee, services: RequestServices, principal: Worker
) -> WholeIncident:
    """Give the case to a user, or to nobody."""
    with services.state.write() as session:
        service.assign(session, principal, incident_id, body.assigned_to, services.clock())
    return _whole(services, principal, incident_id)


def _whole(services: RequestServices, principal: Principal, incident_id: int) -> WholeIncident:
    with services.state.read() as session:
        incident: Incident = service.get(session, principal.scope, incident_id)
        due = clocks(incident.detected_at, incident.resolved_at, services.clock())
        return WholeIncident(
            **IncidentShape.model_validate(incident).model_dump(),
            next_statuses=list(service.TRANSITIONS[incident.status]),
            clocks=[ClockShape.model_validate(clock) for clock in due],
            alerts=[
                AlertLine.model_validate(row) for row in service.alerts_of(session, principal.scope, incident)
            ],
            notes=[NoteShape.model_validate(row) for row in service.notes_of(session, incident)],
            history=[HistoryLine.model_validate(row) for row in service.history_of(session, incident)],
        )
