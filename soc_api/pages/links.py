"""Whether agencies are connected: the LAN and the WAN of each, over a day and a month, down to single links."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi import Query as Parameter
from starlette.responses import Response

from collector.errors import NotFoundError
from collector.links.lines import METRICS
from collector.registry.service import get_agency
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.availability import service
from soc_api.availability.service import AgencyLinks, LinkLine, LinkSum
from soc_api.pages.availability_words import DIRECTIONS
from soc_api.pages.metrics import Series, series_of
from soc_api.pages.query import Query, Slice
from soc_api.pages.targets import TargetQuote, quotes
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
_PATH = "/links"
_ROWS = 100
_TARGETS = ("TB112-07", "TB112-08", "TB112-09")
_STATES = ("trouble", "unknown")
_CHART_HOURS: Final = 24


@dataclass(frozen=True)
class LinksPage:
    """With ``agency`` that agency's links, without the list. ``state``: which of them are listed."""

    query: Query
    total: LinkSum
    lines: list[LinkLine]
    slice: Slice
    state: str
    targets: list[TargetQuote]
    agency: AgencyLinks | None = None


@router.get(_PATH)
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("links.html", build(visit))


@router.get(_PATH + "/{code}")
def show_one(code: str, request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("links.html", build(visit, code))


@router.get(_PATH + "/{code}/history")
def history(
    code: str,
    request: Request,
    services: RequestServices,
    principal: Reader,
    line: Annotated[str, Parameter(max_length=64)] = "",
    endpoint: Annotated[str, Parameter(max_length=64)] = "",
) -> Response:
    """The last day's use of a leased line for the chart, as JSON: ``{times, series: [{label, unit, values}]}``, values
    in % of what it can carry."""
    visit = Visit(request, services, principal)
    with services.state.read() as session:
        agency = get_agency(session, principal.scope, code)
        found = service.leased_lines(session, agency.id)
    one = next((each for each in found if (each.name, each.endpoint_id) == (line, endpoint)), None)
    if one is None:
        raise NotFoundError("there is no such leased line")
    carries = {"received": one.received_bits, "sent": one.sent_bits}
    wanted = tuple(
        Series(name, visit.t(DIRECTIONS[direction]), "%", 800 / carries[direction])
        for direction, name in METRICS.items()
    )
    about = {"device": one.device, "interface": one.interface}
    return series_of(
        services.store, one.endpoint_id, wanted, visit.now - timedelta(hours=_CHART_HOURS), about
    )


def build(visit: Visit, code: str = "") -> LinksPage:
    """Raise :class:`collector.errors.NotFoundError` for an agency out of reach."""
    query = Query.of(_PATH, visit.request.query_params, ("state", "page"))
    state = query.choice("state", _STATES)
    with visit.services.state.read() as session:
        total, lines = service.link_lines(session, visit.principal.scope, visit.now)
        one = None
        if code:
            agency = get_agency(session, visit.principal.scope, code)
            one = service.agency_links(session, agency, visit.now)
    lines = [line for line in lines if _fits(line, state)]
    part = Slice(query.number("page", 1), _ROWS, len(lines))
    return LinksPage(
        query=query,
        total=total,
        lines=lines[part.offset : part.offset + _ROWS],
        slice=part,
        state=state,
        targets=quotes(_TARGETS),
        agency=one,
    )


def _fits(line: LinkLine, state: str) -> bool:
    states = {line.lan, line.wan}
    if state == "trouble":
        return bool(states & {"lost", "unreachable", "degraded"}) or line.leased == "busy"
    return not state or "unknown" in states
