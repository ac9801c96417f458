"""Alerts: read, acknowledge, close with a reason."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, Field

from collector.alerts import service as alerts
from collector.alerts.models import AlertFilters
from collector.alerts.models import Page as AlertPageRequest
from collector.state.tables import Alert
from soc_api import actions
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Number, Page, Paging, Shape, cursor
from soc_api.services import Services

router = APIRouter(prefix="/alerts", tags=["alerts"])
Reader = Annotated[Principal, Depends(require(Permission.ALERTS_READ))]
Worker = Annotated[Principal, Depends(require(Permission.ALERTS_WORK))]
Level = Literal["critical", "high", "medium", "low", "informational"]
Status = Literal["open", "acknowledged", "closed"]
CloseReason = Literal[
    "true_positive_fixed", "true_positive_accepted", "false_positive", "benign", "duplicate"
]


class AlertShape(Shape):
    id: int
    rule_id: str = Field(description="The Sigma rule's UUID; see `/rules`.")
    level: Level
    subject: str = Field(description="What it is about: host name, address… Hostile text: encode it.")
    status: Status
    count: int = Field(description="Findings of the same rule about the same subject since it was opened.")
    endpoint_id: str | None
    agency_id: int | None
    incident_id: int | None
    simulated: bool
    first_event_at: datetime
    last_event_at: datetime
    created_at: datetime
    updated_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    closed_at: datetime | None
    closed_by: str | None
    close_reason: CloseReason | None
    close_note: str | None
    cleared_at: datetime | None = Field(description="The state has passed by itself; it still waits.")


class Evidence(Shape):
    event_id: str
    event_time: datetime
    event: dict[str, Any]


class WholeAlert(AlertShape):
    title: dict[str, str] = Field(description="The rule's title by language (`vi`, `en`).")
    evidence: list[Evidence] = Field(description="The first events and the newest, oldest first.")


class Closing(Body):
    reason: CloseReason
    note: str = Field(default="", max_length=4000)


@router.get("")
def list_alerts(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    status: Annotated[list[Status] | None, Query(description="Only these; may be repeated.")] = None,
    level: Annotated[list[Level] | None, Query(description="Only these; may be repeated.")] = None,
    agency_id: Number | None = None,
    endpoint_id: Annotated[str | None, Query(max_length=36)] = None,
    rule_id: Annotated[str | None, Query(max_length=36)] = None,
    text: Annotated[str, Query(max_length=200, description="Part of the subject.")] = "",
    simulated: Annotated[bool | None, Query(description="Leave out for both.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Last event at or after.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="First event before.")] = None,
    sort: Annotated[Literal["newest", "level", "updated"], Query()] = "newest",
) -> Page[AlertShape]:
    """A page of alerts; rows that arrive meanwhile move nothing."""
    filters = AlertFilters(
        statuses=tuple(status or ()),
        levels=tuple(level or ()),
        agency_id=agency_id,
        endpoint_id=endpoint_id,
        rule_ids=(rule_id,) if rule_id else (),
        text=text,
        simulated=simulated,
        since=since,
        until=until,
    )
    position = paging.after_text() if paging.after else ""
    page = AlertPageRequest(size=paging.limit, cursor=position, sort=sort)
    with services.state.read() as session:
        found = alerts.list_alerts(session, principal.scope, filters, page)
    items = [AlertShape.model_validate(alert) for alert in found.alerts]
    return Page(items=items, next=cursor(found.next_cursor) if found.next_cursor else None)


@router.get("/{alert_id}")
def get_alert(alert_id: int, services: RequestServices, principal: Reader) -> WholeAlert:
    """An alert with the events behind it."""
    with services.state.read() as session:
        found = alerts.get_alert(session, principal.scope, alert_id)
    return _whole(services, found.alert, [Evidence.model_validate(row) for row in found.evidence])


@router.post("/{alert_id}/acknowledge")
def acknowledge(alert_id: int, services: RequestServices, principal: Worker) -> AlertShape:
    """Somebody is looking at it. 409 where somebody was first."""
    with services.state.write() as session:
        alert = actions.acknowledge_alert(session, principal, alert_id, services.clock())
    return AlertShape.model_validate(alert)


@router.post("/{alert_id}/close")
def close(alert_id: int, body: Closing, services: RequestServices, principal: Worker) -> AlertShape:
    """Done, for a reason. A later finding about the same subject opens a new alert."""
    with services.state.write() as session:
        alert = actions.close_alert(session, principal, alert_id, body.reason, body.note, services.clock())
    return AlertShape.model_validate(alert)


def _whole(services: Services, alert: Alert, evidence: list[Evidence]) -> WholeAlert:
    rule = services.catalogue.get(alert.rule_id)
    title = {"vi": alert.rule_id, "en": alert.rule_id} if rule is None else dict(rule.title)
    return WholeAlert(**AlertShape.model_validate(alert).model_dump(), title=title, evidence=evidence)
