"""Services that people depend on: a strip for each, its months against what was promised, its page and its probes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from collector.errors import CollectorError, NotFoundError
from collector.registry.service import list_agencies
from collector.services import register
from collector.services.models import CHANGED, UNACCEPTED
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Number
from soc_api.availability import changes, service
from soc_api.availability.service import ProbeLine, ServiceView, Turn
from soc_api.errors import Fault, InvalidError, SocError
from soc_api.i18n import LOCAL_ZONE
from soc_api.pages.query import Query
from soc_api.pages.rows import Choice, choices
from soc_api.pages.visit import Visit, back_to, status_of

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.SERVICES_MANAGE))]
_PATH = "/services"


@dataclass(frozen=True)
class ServicesPage:
    """``works``: how many of those of which anything is known."""

    query: Query
    views: list[ServiceView]
    works: int
    known: int
    may_manage: bool
    agencies: list[Choice]
    refused: str = ""


@dataclass(frozen=True)
class PageNow:
    """The page of a service as a probe saw it last: hostile text. ``first``: no page was ever accepted."""

    first: bool
    digest: str
    title: str
    excerpt: str
    score: float
    words: list[str]
    new_hosts: list[str]
    since: datetime


@dataclass(frozen=True)
class AcceptedLine:
    """``by`` is empty for what was learnt when the page was first seen."""

    title: str
    digest: str
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True)
class PlanLine:
    id: int
    begins_at: datetime
    ends_at: datetime
    reason: str
    by: str
    ended_at: datetime | None
    ahead: bool


@dataclass(frozen=True)
class ServicePage:
    query: Query
    view: ServiceView
    probes: list[ProbeLine]
    history: list[Turn]
    page: PageNow | None
    accepted: list[AcceptedLine]
    plans: list[PlanLine]
    may_manage: bool
    agencies: list[Choice]
    refused: str = ""


@router.get(_PATH)
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("services.html", build(visit))


@router.post(_PATH)
def save(
    request: Request,
    services: RequestServices,
    principal: Manager,
    name: Annotated[str, Form(max_length=100)] = "",
    title_vi: Annotated[str, Form(max_length=1000)] = "",
    title_en: Annotated[str, Form(max_length=1000)] = "",
    agency: Annotated[str, Form(max_length=64)] = "",
    importance: Annotated[str, Form(max_length=20)] = "medium",
    sla_percent: Annotated[str, Form(max_length=20)] = "99",
) -> Response:
    visit = Visit(request, services, principal)
    name = name.strip()
    try:
        with services.state.write() as session:
            changes.save(
                session,
                principal,
                name,
                title_vi=title_vi,
                title_en=title_en,
                agency_code=agency,
                importance=importance,
                sla_ratio=_percent(sla_percent),
                now=visit.now,
            )
    except (CollectorError, SocError) as error:
        return visit.answer("services.html", build(visit, refused=str(error)), status=status_of(error))
    return back_to(f"{_PATH}/{quote(name)}")


@router.get(_PATH + "/{service_name}")
def show_one(service_name: str, request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("service.html", build_one(visit, service_name))


@router.post(_PATH + "/{service_name}/accept")
def accept(
    service_name: str,
    request: Request,
    services: RequestServices,
    principal: Manager,
    digest: Annotated[str, Form(max_length=100)] = "",
    reason: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            changes.accept_content(
                session, principal, service_name, digest=digest, reason=reason, now=visit.now
            )
    except (CollectorError, SocError) as error:
        return _refused(visit, service_name, error)
    return back_to(f"{_PATH}/{quote(service_name)}")


@router.post(_PATH + "/{service_name}/remove")
def remove(service_name: str, request: Request, services: RequestServices, principal: Manager) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            changes.remove(session, principal, service_name, visit.now)
    except (CollectorError, SocError) as error:
        return _refused(visit, service_name, error)
    return back_to(_PATH)


@router.post(_PATH + "/{service_name}/plans")
def plan(
    service_name: str,
    request: Request,
    services: RequestServices,
    principal: Manager,
    begins_at: Annotated[str, Form(max_length=30)] = "",
    ends_at: Annotated[str, Form(max_length=30)] = "",
    reason: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            changes.plan(
                session,
                principal,
                service_name,
                begins_at=_moment("begins_at", begins_at),
                ends_at=_moment("ends_at", ends_at),
                reason=reason,
                now=visit.now,
            )
    except (CollectorError, SocError) as error:
        return _refused(visit, service_name, error)
    return back_to(f"{_PATH}/{quote(service_name)}")


@router.post(_PATH + "/{service_name}/plans/{plan_id}/end")
def end_plan(
    service_name: str, plan_id: Number, request: Request, services: RequestServices, principal: Manager
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            changes.end_plan(session, principal, service_name, plan_id, visit.now)
    except (CollectorError, SocError) as error:
        return _refused(visit, service_name, error)
    return back_to(f"{_PATH}/{quote(service_name)}")


def build(visit: Visit, *, refused: str = "") -> ServicesPage:
    with visit.services.state.read() as session:
        views = service.service_views(session, visit.now)
        agencies = list_agencies(session, visit.principal.scope)
    known = [view for view in views if view.state in service.SERVICE_ORDER and view.state != "unknown"]
    return ServicesPage(
        query=Query.of(_PATH, visit.request.query_params, ()),
        views=views,
        works=sum(view.state == "up" for view in known),
        known=len(known),
        may_manage=visit.principal.may(Permission.SERVICES_MANAGE),
        agencies=choices(agencies),
        refused=refused,
    )


def build_one(visit: Visit, name: str, *, refused: str = "") -> ServicePage:
    """Raise :class:`NotFoundError` where there is none of that name."""
    with visit.services.state.read() as session:
        view = service.service_view(session, name, visit.now)
        probes = service.probes_of(session, visit.principal.scope, name)
        history = service.history_of(session, "service", view.id, visit.now)
        span, accepted = service.content_of(session, view.id)
        plans = register.maintenance_of(session, view.id)[:50]
        agencies = list_agencies(session, visit.principal.scope)
        shown = None
        if span is not None and span.state in (CHANGED, UNACCEPTED):
            said = span.detail
            shown = PageNow(
                first=span.state == UNACCEPTED,
                digest=str(said.get("digest", "")),
                title=str(said.get("title", "")),
                excerpt=str(said.get("excerpt", "")),
                score=float(said.get("score_ratio", 1.0)),
                words=list(said.get("words", [])),
                new_hosts=list(said.get("new_hosts", [])),
                since=span.began_at,
            )
    return ServicePage(
        query=Query.of(f"{_PATH}/{name}", visit.request.query_params, ()),
        view=view,
        probes=probes,
        history=history,
        page=shown,
        accepted=[
            AcceptedLine(each.title, each.digest, each.accepted_at, each.accepted_by, each.reason)
            for each in accepted
        ],
        plans=[
            PlanLine(
                each.id,
                each.begins_at,
                each.ends_at,
                each.reason,
                each.made_by,
                each.ended_at,
                each.ended_at is None and each.ends_at > visit.now,
            )
            for each in plans
        ],
        may_manage=visit.principal.may(Permission.SERVICES_MANAGE),
        agencies=choices(agencies),
        refused=refused,
    )


def _refused(visit: Visit, name: str, error: Exception) -> Response:
    if isinstance(error, NotFoundError):
        raise error
    return visit.answer("service.html", build_one(visit, name, refused=str(error)), status=status_of(error))


def _percent(text: str) -> float:
    """Raise :class:`InvalidError` for what is no number."""
    try:
        return float(text.strip().replace(",", ".")) / 100
    except ValueError as error:
        raise InvalidError(Fault("sla_ratio", "not a number")) from error


def _moment(name: str, text: str) -> datetime:
    """A local time as browsers' forms write it. Raise :class:`InvalidError` for any other text."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidError(Fault(name, "not a time")) from error
    return found.replace(tzinfo=LOCAL_ZONE) if found.tzinfo is None else found
