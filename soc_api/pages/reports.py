"""Reports: a form that leads to the files."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from collector.coverage.service import ledger
from collector.registry.service import list_agencies
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.pages.overview import Figure, figure_of
from soc_api.pages.query import Query
from soc_api.pages.rows import Choice, choices
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.REPORTS_READ))]


@dataclass(frozen=True)
class ReportsPage:
    """``figure`` is what the report would say of the agency chosen, as of now."""

    query: Query
    agency: str
    simulated: bool
    agencies: list[Choice]
    figure: Figure


@router.get("/reports")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("reports.html", build(visit))


def build(visit: Visit) -> ReportsPage:
    query = visit.query("agency", "simulated")
    with visit.services.state.read() as session:
        agencies = list_agencies(session, visit.principal.scope)
        chosen = next((agency for agency in agencies if agency.code == query.text("agency")), None)
        book = ledger(
            session,
            visit.principal.scope,
            visit.services.settings.coverage,
            visit.now,
            agency_id=chosen.id if chosen else None,
            include_simulated=query.flag("simulated"),
        )
    return ReportsPage(
        query=query,
        agency=chosen.code if chosen else "",
        simulated=query.flag("simulated"),
        agencies=choices(agencies),
        figure=figure_of(book),
    )
