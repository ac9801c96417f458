"""Whether agencies are connected: the LAN and the WAN of each, over a day and a month, down to single links."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from collector.registry.service import get_agency
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.availability import service
from soc_api.availability.service import AgencyLinks, LinkLine, LinkSum
from soc_api.pages.query import Query, Slice
from soc_api.pages.targets import TargetQuote, quotes
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
_PATH = "/links"
_ROWS = 100
_TARGETS = ("TB112-07", "TB112-08", "TB112-09")
_STATES = ("trouble", "unknown")


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
        return bool(states & {"lost", "unreachable", "degraded"})
    return not state or "unknown" in states
