"""The first page: how many machines are protected, what is open, who needs attention, whether the pipeline sees."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from sqlalchemy import func, select
from starlette.responses import Response

from collector.alerts.models import AlertFilters
from collector.alerts.models import Page as PageRequest
from collector.alerts.service import count_alerts, list_alerts
from collector.coverage.models import Ledger
from collector.registry.service import list_agencies
from collector.state.tables import Alert
from soc_api.accounts.dependencies import CurrentUser, RequestServices
from soc_api.accounts.permissions import Permission
from soc_api.availability.service import LinkSum, link_sum
from soc_api.pages.ledgers import shown_ledger
from soc_api.pages.pipeline import Pipeline, pipeline
from soc_api.pages.query import Query
from soc_api.pages.rows import AlertRow, alert_row
from soc_api.pages.visit import Visit

router = APIRouter()
_ALERTS, _AGENCIES = 12, 8


@dataclass(frozen=True)
class Figure:
    """``percent`` (0 to 100) of ``known`` machines are protected; None where no machine is known."""

    protected: int
    known: int
    percent: float | None
    by_state: dict[str, int]
    declared: int | None
    percent_of_declared: float | None
    protected_of_declared: int
    late: int
    network_equipment: int
    local_days: int


@dataclass(frozen=True)
class AgencyLine:
    """An agency with machines that are not protected or alerts that are open."""

    code: str
    name: str
    known: int
    unprotected: int
    percent: float | None
    by_state: dict[str, int]
    open_alerts: int


@dataclass(frozen=True)
class OverviewPage:
    """``figure`` and ``alerts`` are None where the reader's role does not see them. ``simulated_machines`` is how
    many simulated ones there are, counted (``simulated``) or not; ``simulated_alerts`` those of their alerts
    that are not closed. ``connected`` is None where no agency within reach has a probe."""

    query: Query
    simulated: bool
    simulated_machines: int
    simulated_alerts: int
    figure: Figure | None
    by_level: dict[str, int]
    open: int
    acknowledged: int
    agencies: list[AgencyLine]
    alerts: list[AlertRow]
    pipeline: Pipeline | None
    connected: LinkSum | None


@router.get("/")
def show(request: Request, services: RequestServices, principal: CurrentUser) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("overview.html", build(visit), shows_alerts=True)


def build(visit: Visit) -> OverviewPage:
    query = visit.query("simulated")
    simulated = visit.simulated
    principal = visit.principal
    with visit.services.state.read() as session:
        shown, simulated_machines = shown_ledger(visit, session, simulated=simulated)
        counts = count_alerts(session, principal.scope, include_simulated=simulated)
        newest = list_alerts(
            session,
            principal.scope,
            AlertFilters(statuses=("open", "acknowledged"), simulated=None if simulated else False),
            PageRequest(size=_ALERTS),
        )
        names = {agency.id: agency.name for agency in list_agencies(session, principal.scope)}
        conditions = [principal.scope.where(Alert.agency_id), Alert.status == "open"]
        if not simulated:
            conditions.append(Alert.simulated.is_(False))
        counted = select(Alert.agency_id, func.count()).where(*conditions).group_by(Alert.agency_id)
        open_of = dict(session.execute(counted).all())
        connected = link_sum(session, principal.scope)
    return OverviewPage(
        query=query,
        simulated=simulated,
        simulated_machines=simulated_machines,
        simulated_alerts=counts.simulated,
        figure=figure_of(shown) if principal.may(Permission.COVERAGE_READ) else None,
        by_level=dict(counts.by_level),
        open=counts.by_status.get("open", 0),
        acknowledged=counts.by_status.get("acknowledged", 0),
        agencies=_attention(shown, open_of),
        alerts=[alert_row(alert, visit.services.catalogue, names, visit.t) for alert in newest.alerts],
        pipeline=pipeline(visit) if principal.may(Permission.SYSTEM_READ) else None,
        connected=connected if connected.probed and principal.may(Permission.ENDPOINTS_READ) else None,
    )


def figure_of(book: Ledger) -> Figure:
    total = book.total
    return Figure(
        protected=total.protected,
        known=total.known,
        percent=total.percent_of_known,
        by_state=dict(total.by_state),
        declared=total.declared,
        percent_of_declared=total.percent_of_declared,
        protected_of_declared=total.protected_of_declared,
        late=total.late,
        network_equipment=total.network_equipment,
        local_days=book.local_days,
    )


def _attention(book: Ledger, open_of: dict[int | None, int]) -> list[AgencyLine]:
    """Most open alerts and unprotected machines first; agencies with neither are left out."""
    lines = [
        AgencyLine(
            code=agency.code,
            name=agency.name,
            known=agency.known,
            unprotected=agency.known - agency.counts.protected,
            percent=agency.percent_of_known,
            by_state=dict(agency.counts.by_state),
            open_alerts=open_of.get(agency.agency_id, 0),
        )
        for agency in book.agencies
    ]
    lines = [line for line in lines if line.unprotected or line.open_alerts]
    lines.sort(key=lambda line: (-line.unprotected - 2 * line.open_alerts, line.name))
    return lines[:_AGENCIES]
