"""The list of alerts: filters and sorting in the address; the newest stay above until the reader asks for them."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from collector.alerts.errors import AlertInputError
from collector.alerts.models import LEVELS, SORTS, STATUSES, AlertFilters, AlertPage
from collector.alerts.models import Page as PageRequest
from collector.alerts.service import count_alerts, list_alerts
from collector.registry.service import list_agencies
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.pages.query import SIMULATED, Query
from soc_api.pages.rows import AlertRow, Choice, alert_row, choices
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ALERTS_READ))]
_ROWS = 50
#: What the status filter may say; "live" (not closed) is where nothing is said.
_STATUSES = ("live", *STATUSES, "all")


@dataclass(frozen=True)
class AlertsPage:
    """``by_status`` counts all within reach, whatever the filters but ``simulated``; ``simulated_alerts`` are those not
    closed, shown or not. ``next`` is the cursor of the rows below."""

    query: Query
    rows: list[AlertRow]
    next: str
    status: str
    level: str
    agency: str
    text: str
    simulated: str
    sort: str
    agencies: list[Choice]
    by_status: dict[str, int]
    by_level: dict[str, int]
    simulated_alerts: int


@router.get("/alerts")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("alerts.html", build(visit), shows_alerts=True)


def build(visit: Visit) -> AlertsPage:
    query = visit.query("status", "level", "agency", "text", "simulated", "sort", "after")
    status = query.choice("status", _STATUSES, "live")
    level = query.choice("level", LEVELS)
    sort = query.choice("sort", SORTS, "newest")
    simulated = query.choice("simulated", SIMULATED)
    text = query.text("text")
    catalogue = visit.services.catalogue
    with visit.services.state.read() as session:
        agencies = list_agencies(session, visit.principal.scope)
        chosen = next((agency for agency in agencies if agency.code == query.text("agency")), None)
        wanted = text.casefold()
        filters = AlertFilters(
            statuses={"live": ("open", "acknowledged"), "all": ()}.get(status, (status,)),
            levels=(level,) if level else (),
            agency_id=chosen.id if chosen else None,
            text=text,
            text_rule_ids=tuple(
                rule.id
                for rule in catalogue.values()
                if any(wanted in title.casefold() for title in rule.title.values())
            )
            if text
            else (),
            simulated={"": False, "only": True}.get(simulated),
        )
        scope = visit.principal.scope
        try:
            found: AlertPage = list_alerts(
                session, scope, filters, PageRequest(_ROWS, query.text("after"), sort)
            )
        except AlertInputError:  # an old bookmark's cursor
            found = list_alerts(session, scope, filters, PageRequest(_ROWS, "", sort))
        counts = count_alerts(session, scope, include_simulated=visit.simulated)
    names = {agency.id: agency.name for agency in agencies}
    return AlertsPage(
        query=query,
        rows=[alert_row(alert, catalogue, names, visit.t) for alert in found.alerts],
        next=found.next_cursor,
        status=status,
        level=level,
        agency=chosen.code if chosen else "",
        text=text,
        simulated=simulated,
        sort=sort,
        agencies=choices(agencies) if len(agencies) > 1 else [],
        by_status=dict(counts.by_status),
        by_level=dict(counts.by_level),
        simulated_alerts=counts.simulated,
    )
