"""Firewalls, agency by agency: is there one, does it answer, is it known, does it log, is it supported."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from collector.errors import CollectorError
from collector.firewalls.judging import QUESTIONS, Answer
from collector.firewalls.service import AgencyFirewalls, Known, list_firewalls
from collector.registry.service import list_agencies
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Number
from soc_api.errors import Fault, InvalidError, SocError
from soc_api.firewalls import service
from soc_api.pages.firewall_words import QUESTIONS as QUESTION_WORDS
from soc_api.pages.firewall_words import REASONS, VALUES
from soc_api.pages.query import Query
from soc_api.pages.rows import Choice, choices
from soc_api.pages.visit import Visit, status_of

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.FIREWALLS_MANAGE))]
_PATH = "/firewalls"
_VALUES = ("yes", "no", "unknown")


@dataclass(frozen=True)
class Cell:
    """``value`` is ``yes``, ``no`` or ``unknown``; the rest is for the reader, in his language."""

    value: str
    word: str
    reason: str
    fact: str


@dataclass(frozen=True)
class Row:
    """``cells`` stand in the order of the page's ``questions``."""

    known: Known
    cells: list[Cell]


@dataclass(frozen=True)
class Part:
    code: str
    name: str
    verdict: str
    verdict_word: str
    rows: list[Row]


@dataclass(frozen=True)
class FirewallsPage:
    """``totals``: agencies by verdict. ``questions`` are the columns' words."""

    query: Query
    questions: list[str]
    parts: list[Part]
    totals: dict[str, int]
    verdict: str
    agency: str
    agencies: list[Choice]
    verdicts: list[tuple[str, str]]
    declarable: list[Choice]
    may_manage: bool
    refused: str


@router.get(_PATH)
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("firewalls.html", build(visit))


@router.post(_PATH)
def declare(
    request: Request,
    services: RequestServices,
    principal: Manager,
    agency: Annotated[str, Form(max_length=64)] = "",
    name: Annotated[str, Form(max_length=64)] = "",
    address: Annotated[str, Form(max_length=64)] = "",
    note: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            service.declare(
                session,
                principal,
                agency_code=agency,
                name=name.strip(),
                address=address.strip(),
                note=note,
                now=visit.now,
            )
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return visit.back_to(_PATH)


@router.post(_PATH + "/{firewall_id}")
def change(
    firewall_id: Number,
    request: Request,
    services: RequestServices,
    principal: Manager,
    support_until: Annotated[str, Form(max_length=10)] = "",
    note: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            until = _day(support_until)
            service.change(session, principal, firewall_id, support_until=until, note=note, now=visit.now)
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return visit.back_to(_PATH)


@router.post(_PATH + "/{firewall_id}/retire")
def retire(
    firewall_id: Number,
    request: Request,
    services: RequestServices,
    principal: Manager,
    reason: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            service.retire(session, principal, firewall_id, reason, visit.now)
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return visit.back_to(_PATH)


def build(visit: Visit, *, refused: str = "") -> FirewallsPage:
    query = visit.query("agency", "verdict")
    wanted = query.choice("verdict", _VALUES)
    scope = visit.principal.scope
    with visit.services.state.read() as session:
        agencies = list_agencies(session, scope)
        found = list_firewalls(session, scope, visit.now)
    chosen = query.text("agency") if any(a.code == query.text("agency") for a in agencies) else ""
    may_manage = visit.principal.may(Permission.FIREWALLS_MANAGE)
    return FirewallsPage(
        query=query,
        questions=[visit.t(QUESTION_WORDS[question]) for question in QUESTIONS],
        parts=[
            _part(visit, each)
            for each in found
            if (not chosen or each.agency.code == chosen) and (not wanted or each.verdict == wanted)
        ],
        totals={value: sum(each.verdict == value for each in found) for value in _VALUES},
        verdict=wanted,
        agency=chosen,
        agencies=choices(agencies) if len(agencies) > 1 else [],
        verdicts=[(value, visit.t(VALUES[value])) for value in _VALUES],
        declarable=choices(agencies) if may_manage else [],
        may_manage=may_manage,
        refused=refused,
    )


def _part(visit: Visit, found: AgencyFirewalls) -> Part:
    return Part(
        code=found.agency.code,
        name=found.agency.name,
        verdict=found.verdict,
        verdict_word=visit.t(VALUES[found.verdict]),
        rows=[Row(each, [_cell(visit, each.answers[q]) for q in QUESTIONS]) for each in found.firewalls],
    )


def _cell(visit: Visit, answer: Answer) -> Cell:
    return Cell(
        answer.value, visit.t(VALUES[answer.value]), visit.t(REASONS[answer.reason]), _fact(visit, answer)
    )


def _fact(visit: Visit, answer: Answer) -> str:
    """A day as the reader writes it; what follows it is where it was read."""
    try:
        return visit.t.date(date.fromisoformat(answer.fact[:10])) + answer.fact[10:]
    except ValueError:
        return answer.fact


def _refused(visit: Visit, error: Exception) -> Response:
    return visit.answer("firewalls.html", build(visit, refused=str(error)), status=status_of(error))


def _day(text: str) -> date | None:
    """Raises :class:`InvalidError`."""
    if not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidError(Fault("support_until", "not a day")) from error
