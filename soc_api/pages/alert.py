"""One alert: what happened, why it matters, what to do, the evidence, and what people did with it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from collector.alerts.models import AlertDetail
from collector.alerts.service import get_alert
from collector.errors import CollectorError
from collector.state.tables import Agency, Alert, Endpoint
from soc_api import actions
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.errors import SocError
from soc_api.incidents import service as incidents
from soc_api.pages.render import to_json
from soc_api.pages.rows import (
    AlertRow,
    EventRow,
    alert_row,
    event_fields,
    event_summary,
    rule_title,
)
from soc_api.pages.targets import TargetQuote, quotes
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ALERTS_READ))]
Worker = Annotated[Principal, Depends(require(Permission.ALERTS_WORK))]
IncidentWorker = Annotated[Principal, Depends(require(Permission.INCIDENTS_WORK))]


@dataclass(frozen=True)
class Step:
    """Something that happened to the alert. ``who`` is empty where it was the system."""

    at: datetime
    what: str
    who: str
    note: str


@dataclass(frozen=True)
class Technique:
    """An ATT&CK technique."""

    id: str


@dataclass(frozen=True)
class AlertPage:
    """``evidence`` holds the first events and the newest, oldest first; ``alert.count`` counts all of them."""

    alert: AlertRow
    rule_id: str
    endpoint_id: str
    endpoint_name: str
    agency_code: str
    happened: str
    description: str
    triage: list[str]
    false_positives: list[str]
    techniques: list[Technique]
    targets: list[TargetQuote]
    evidence: list[EventRow]
    history: list[Step]
    cleared_at: datetime | None
    incident_title: str
    may_work: bool
    may_make_incident: bool
    refused: str
    note: str


@router.get("/alerts/{alert_id}")
def show(alert_id: int, request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("alert.html", build(visit, alert_id))


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge(alert_id: int, request: Request, services: RequestServices, principal: Worker) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            actions.acknowledge_alert(session, principal, alert_id, visit.now)
    except CollectorError as error:
        return _again(visit, alert_id, error, "")
    return visit.back_to(f"/alerts/{alert_id}")


@router.post("/alerts/{alert_id}/close")
def close(
    alert_id: int,
    request: Request,
    services: RequestServices,
    principal: Worker,
    reason: Annotated[str, Form(max_length=64)] = "",
    note: Annotated[str, Form(max_length=8000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            actions.close_alert(session, principal, alert_id, reason, note, visit.now)
    except CollectorError as error:
        return _again(visit, alert_id, error, note)
    return visit.back_to(f"/alerts/{alert_id}")


@router.post("/alerts/{alert_id}/incident")
def make_incident(
    alert_id: int,
    request: Request,
    services: RequestServices,
    principal: IncidentWorker,
    title: Annotated[str, Form(max_length=400)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            made = incidents.create(session, principal, title, [alert_id], visit.now)
    except (CollectorError, SocError) as error:
        return _again(visit, alert_id, error, "")
    return visit.back_to(f"/incidents/{made.id}")


def _again(visit: Visit, alert_id: int, error: Exception, note: str) -> Response:
    """The page as it now is, with the reason why the change was refused and what had been written."""
    page = build(visit, alert_id, refused=str(error), note=note)
    return visit.answer("alert.html", page, status=409 if isinstance(error, CollectorError) else 422)


def build(visit: Visit, alert_id: int, *, refused: str = "", note: str = "") -> AlertPage:
    """Raises :class:`collector.errors.NotFoundError` where the alert is out of reach."""
    t, catalogue, principal = visit.t, visit.services.catalogue, visit.principal
    with visit.services.state.read() as session:
        detail = get_alert(session, principal.scope, alert_id)
        alert = detail.alert
        agency = session.get(Agency, alert.agency_id) if alert.agency_id is not None else None
        endpoint = session.get(Endpoint, alert.endpoint_id) if alert.endpoint_id is not None else None
        incident_title = ""
        if alert.incident_id is not None and principal.may(Permission.INCIDENTS_READ):
            try:
                incident_title = incidents.get(session, principal.scope, alert.incident_id).title
            except CollectorError:
                incident_title = ""  # a case that spans agencies is not an officer's to read
    rule = catalogue.get(alert.rule_id)
    row = alert_row(alert, catalogue, {} if agency is None else {agency.id: agency.name}, t)
    return AlertPage(
        alert=row,
        rule_id=alert.rule_id,
        endpoint_id=alert.endpoint_id or "",
        endpoint_name=endpoint.hostname if endpoint else "",
        agency_code=agency.code if agency else "",
        happened=_happened(visit, alert),
        description=t.either(rule.description) if rule else "",
        triage=list(rule.triage.get(t.lang) or rule.triage.get("en") or ()) if rule else [],
        false_positives=list(rule.falsepositives.get(t.lang) or rule.falsepositives.get("en") or ())
        if rule
        else [],
        techniques=[Technique(name) for name in rule.techniques] if rule else [],
        targets=quotes(rule.targets) if rule else [],
        evidence=_evidence(visit, detail),
        history=_history(visit, alert),
        cleared_at=alert.cleared_at,
        incident_title=incident_title,
        may_work=principal.may(Permission.ALERTS_WORK) and alert.status != "closed",
        may_make_incident=principal.may(Permission.INCIDENTS_WORK) and alert.incident_id is None,
        refused=refused,
        note=note,
    )


def _happened(visit: Visit, alert: Alert) -> str:
    t = visit.t
    if alert.count == 1:
        return t("Found once, at %(time)s.", time=t.time(alert.first_event_at, seconds=True))
    first, last = t.time(alert.first_event_at), t.time(alert.last_event_at)
    if first == last:  # within one minute: seconds tell them apart, or there is only one moment
        first = t.time(alert.first_event_at, seconds=True)
        last = t.time(alert.last_event_at, seconds=True)
    if first == last:
        return t.plural(
            "Found %(num)s time, at %(time)s.", "Found %(num)s times, at %(time)s.", alert.count, time=first
        )
    return t.plural(
        "Found %(num)s time between %(first)s and %(last)s.",
        "Found %(num)s times between %(first)s and %(last)s.",
        alert.count,
        first=first,
        last=last,
    )


def _evidence(visit: Visit, detail: AlertDetail) -> list[EventRow]:
    rows = []
    for item in detail.evidence:
        event = item.event
        fields = event.get("fields")
        fields = fields if isinstance(fields, dict) else {}
        rows.append(
            EventRow(
                id=item.event_id,
                time=item.event_time,
                source=visit.words.source(
                    *(str(event.get(name, "")) for name in ("product", "category", "service"))
                ),
                summary=event_summary(fields, visit.words),
                fields=event_fields(fields, visit.words),
                rules=[],
                raw=to_json(event),
            )
        )
    return rows


def _history(visit: Visit, alert: Alert) -> list[Step]:
    t = visit.t
    steps = [
        Step(
            alert.created_at,
            t("Alert opened by rule “%(rule)s”", rule=rule_title(visit.services.catalogue, alert.rule_id, t)),
            "",
            "",
        )
    ]
    if alert.acknowledged_at is not None:
        steps.append(Step(alert.acknowledged_at, t("Acknowledged"), alert.acknowledged_by or "", ""))
    if alert.cleared_at is not None:
        steps.append(Step(alert.cleared_at, t("The state passed by itself"), "", ""))
    if alert.closed_at is not None:
        reason = visit.words.close_reason(alert.close_reason or "")
        what = t("Closed: %(reason)s", reason=reason)
        steps.append(Step(alert.closed_at, what, alert.closed_by or "", alert.close_note or ""))
    return sorted(steps, key=lambda step: step.at)
