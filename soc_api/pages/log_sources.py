"""Devices that log over probes: who was heard when, who should be and is not, and what people decide on them."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from collector.errors import CollectorError
from collector.registry.service import list_agencies
from collector.sources import register
from collector.sources.rhythm import Rhythm, patience
from collector.state.tables import LogSource
from soc_api import log_sources
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.log_sources import known_ratio
from soc_api.api.shapes import Number
from soc_api.errors import Fault, InvalidError, SocError
from soc_api.pages.query import Query
from soc_api.pages.rows import Choice, choices
from soc_api.pages.syslog_words import SOURCE_STATES, STANDINGS
from soc_api.pages.visit import Visit, status_of

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.LOG_SOURCES_MANAGE))]
Reason = Annotated[str, Form(max_length=4_000)]
_PATH = "/log-sources"
_SHOWN = 500


@dataclass(frozen=True)
class SourceRow:
    """``known_percent`` is None where no message was looked at; ``minutes`` is what was set, None: learnt;
    ``allowed`` the silence that is fine, in words."""

    source: LogSource
    name: str
    agency: str
    state: str
    standing: str
    known_percent: float | None
    minutes: float | None
    allowed: str


@dataclass(frozen=True)
class LogSourcesPage:
    """``counts``: sources that are not retired, by state; ``more``: how many are not shown."""

    query: Query
    rows: list[SourceRow]
    counts: dict[str, int]
    states: list[tuple[str, str]]
    state: str
    agency: str
    agencies: list[Choice]
    declarable: list[Choice]
    more: int
    may_manage: bool
    refused: str


@router.get(_PATH)
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("log_sources.html", build(visit))


@router.post(_PATH)
def declare(
    request: Request,
    services: RequestServices,
    principal: Manager,
    agency: Annotated[str, Form(max_length=64)] = "",
    address: Annotated[str, Form(max_length=64)] = "",
    name: Annotated[str, Form(max_length=400)] = "",
    minutes: Annotated[str, Form(max_length=20)] = "",
    reason: Reason = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            log_sources.declare(
                session,
                principal,
                agency_code=agency,
                address=address,
                name=name,
                minutes=_minutes(minutes),
                reason=reason,
                now=visit.now,
            )
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return visit.back_to(_PATH)


@router.post(_PATH + "/{source_id}/expect")
def expect(
    source_id: Number,
    request: Request,
    services: RequestServices,
    principal: Manager,
    name: Annotated[str, Form(max_length=400)] = "",
    minutes: Annotated[str, Form(max_length=20)] = "",
    reason: Reason = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            log_sources.expect(
                session,
                principal,
                source_id,
                name=name,
                minutes=_minutes(minutes),
                reason=reason,
                now=visit.now,
            )
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return visit.back_to(_PATH)


@router.post(_PATH + "/{source_id}/retire")
def retire(
    source_id: Number, request: Request, services: RequestServices, principal: Manager, reason: Reason = ""
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            log_sources.retire(session, principal, source_id, reason=reason, now=visit.now)
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return visit.back_to(_PATH)


def build(visit: Visit, *, refused: str = "") -> LogSourcesPage:
    query = visit.query("agency", "state")
    wanted = query.choice("state", tuple(SOURCE_STATES))
    with visit.services.state.read() as session:
        agencies = list_agencies(session, visit.principal.scope)
        found = register.list_sources(session, visit.principal.scope)
    by_id = {each.id: each for each in agencies}
    chosen = next((each.id for each in agencies if each.code == query.text("agency")), None)
    found = [each for each in found if chosen is None or each.agency_id == chosen]
    live = [each for each in found if each.standing != register.RETIRED]
    shown = [each for each in found if not wanted or (each.state == wanted and each in live)]
    names = {each.id: each.name for each in agencies}
    return LogSourcesPage(
        query=query,
        rows=[_row(visit, each, names.get(each.agency_id, "")) for each in shown[:_SHOWN]],
        counts={state: sum(each.state == state for each in live) for state in SOURCE_STATES},
        states=[(state, visit.t(word)) for state, word in SOURCE_STATES.items()],
        state=wanted,
        agency="" if chosen is None else by_id[chosen].code,
        agencies=choices(agencies) if len(agencies) > 1 else [],
        declarable=choices(agencies),
        more=max(0, len(shown) - _SHOWN),
        may_manage=visit.principal.may(Permission.LOG_SOURCES_MANAGE),
        refused=refused,
    )


def _row(visit: Visit, source: LogSource, agency: str) -> SourceRow:
    ratio = known_ratio(source)
    rhythm = Rhythm(hours=source.hours, longest_gap_seconds=source.longest_gap_seconds)
    allowed = patience(rhythm, source.expected_seconds, visit.services.settings.sources)
    return SourceRow(
        source=source,
        name=source.name or source.hostname or source.address,
        agency=agency,
        state=visit.t(SOURCE_STATES.get(source.state, source.state)),
        standing=visit.t(STANDINGS.get(source.standing, source.standing)),
        known_percent=None if ratio is None else 100.0 * ratio,
        minutes=None if source.expected_seconds is None else source.expected_seconds / 60.0,
        allowed=visit.t.span(allowed),
    )


def _minutes(text: str) -> float | None:
    """Raises :class:`InvalidError`."""
    if not text.strip():
        return None
    try:
        return float(text.strip().replace(",", "."))
    except ValueError as error:
        raise InvalidError(Fault("minutes", "not a number")) from error


def _refused(visit: Visit, error: Exception) -> Response:
    return visit.answer("log_sources.html", build(visit, refused=str(error)), status=status_of(error))
