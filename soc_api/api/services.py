"""Services and links: how they are and were, the register of services, what a page may look like, planned work."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, Field

from collector.registry.service import get_agency
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Number, Shape
from soc_api.availability import changes, service

router = APIRouter(tags=["services"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.SERVICES_MANAGE))]


class SlotShape(Shape):
    begins_at: datetime
    state: str = Field(description="The worst of these twenty minutes; empty: nothing had begun yet.")


class MonthShape(Shape):
    begins_at: datetime
    ratio: float | None = Field(
        description="Of the time that is known, planned work left out; null: none is."
    )
    good_seconds: float
    bad_seconds: float
    unknown_seconds: float
    planned_seconds: float


class ServiceShape(Shape):
    name: str
    title_vi: str
    title_en: str
    agency_code: str
    agency: str
    importance: str
    sla_ratio: float
    state: str = Field(description="`up`, `down_for_some`, `down_for_all` or `unknown`.")
    since: datetime | None
    asked: int = Field(description="Agencies whose probes could ask.")
    down: int
    reasons: list[str]
    planned: bool
    content_state: str
    certificate_state: str
    certificate_problem: str
    certificate_days: int | None
    findings: list[str]
    slots: list[SlotShape]
    months: list[MonthShape]
    decided: bool = Field(description="Somebody entered it; else only probes tell of it.")


class TurnShape(Shape):
    state: str
    began_at: datetime
    ended_at: datetime | None
    reasons: list[str]


class LinkLineShape(Shape):
    code: str
    name: str
    level: str
    lan: str = Field(description="`connected`, `degraded`, `lost`, `unknown`; empty: not looked at.")
    lan_since: datetime | None
    wan: str = Field(description="As `lan`, and `unreachable`: the whole agency is silent.")
    wan_since: datetime | None
    reasons: list[str]
    lan_month: MonthShape
    wan_month: MonthShape
    leased: str = Field(description="`free`, `busy`, `unknown`; empty: no leased line is measured.")
    leased_since: datetime | None
    used_ratio: float | None = Field(
        description="Of the busiest leased line, in its busier direction: 1 is full."
    )


class LinksShape(Shape):
    agencies_total: int
    agencies_with_probe: int = Field(description="The denominator of the two behind it.")
    lan_connected: int
    wan_connected: int
    agencies: list[LinkLineShape]


class OneLinkShape(Shape):
    name: str
    hostname: str
    endpoint_id: str
    role: str
    address: str
    state: str
    since: datetime | None
    reason: str
    rtt_seconds: float | None = Field(description="When its state began; how it is now, metrics say.")
    loss_ratio: float | None
    jitter_seconds: float | None


class LeasedLineShape(Shape):
    name: str
    endpoint_id: str
    device: str
    interface: str
    received_bits: float = Field(description="What it can carry, bits a second.")
    sent_bits: float
    received_ratio: float | None = Field(description="Of that, as last measured; null: not lately.")
    sent_ratio: float | None
    state: str = Field(description="`free`, `busy` or `unknown`.")
    at: datetime | None


class AgencyLinksShape(Shape):
    line: LinkLineShape
    links: list[OneLinkShape]
    lan_slots: list[SlotShape]
    wan_slots: list[SlotShape]
    lan_history: list[TurnShape]
    wan_history: list[TurnShape]
    leased: list[LeasedLineShape]
    leased_history: list[TurnShape]


class ServiceBody(Body):
    title_vi: str = Field(max_length=changes.MOST_TITLE)
    title_en: str = Field(max_length=changes.MOST_TITLE)
    agency: str = Field(max_length=64, description="Code of who runs it; empty: not known.")
    importance: str = Field(max_length=20)
    sla_ratio: float = Field(description="Promised share of time: more than 0, at most 1.")


class AcceptBody(Body):
    digest: str = Field(max_length=100, description="Of the page that was looked at.")
    reason: str = Field(max_length=changes.MOST_REASON)


class PlanBody(Body):
    begins_at: AwareDatetime
    ends_at: AwareDatetime
    reason: str = Field(max_length=changes.MOST_REASON)


class PlanShape(Shape):
    id: int
    begins_at: datetime
    ends_at: datetime
    reason: str


@router.get("/services")
def list_services(services: RequestServices, principal: Reader) -> list[ServiceShape]:  # noqa: ARG001
    """By importance, then by name. Services are the province's: whoever may read sees all of them."""
    with services.state.read() as session:
        found = service.service_views(session, services.clock())
    return [ServiceShape.model_validate(each) for each in found]


@router.get("/services/{service_name}")
def get_service(service_name: str, services: RequestServices, principal: Reader) -> ServiceShape:  # noqa: ARG001
    """One service: how it stands now, what each probe says, and its history."""
    with services.state.read() as session:
        return ServiceShape.model_validate(service.service_view(session, service_name, services.clock()))


@router.put("/services/{service_name}")
def save_service(
    service_name: str, body: ServiceBody, services: RequestServices, principal: Manager
) -> ServiceShape:
    """Enter a service, or change what the register says of it."""
    with services.state.write() as session:
        changes.save(
            session,
            principal,
            service_name,
            title_vi=body.title_vi,
            title_en=body.title_en,
            agency_code=body.agency,
            importance=body.importance,
            sla_ratio=body.sla_ratio,
            now=services.clock(),
        )
        return ServiceShape.model_validate(service.service_view(session, service_name, services.clock()))


@router.delete("/services/{service_name}", status_code=204)
def remove_service(service_name: str, services: RequestServices, principal: Manager) -> Response:
    """Take out a service that only probes told of; 409 where somebody has entered it."""
    with services.state.write() as session:
        changes.remove(session, principal, service_name, services.clock())
    return Response(status_code=204)


@router.post("/services/{service_name}/accept", status_code=204)
def accept_content(
    service_name: str, body: AcceptBody, services: RequestServices, principal: Manager
) -> Response:
    """Say that the page as it stands now is right; 409 where it has changed once more."""
    with services.state.write() as session:
        changes.accept_content(
            session, principal, service_name, digest=body.digest, reason=body.reason, now=services.clock()
        )
    return Response(status_code=204)


@router.post("/services/{service_name}/plans", status_code=201)
def plan(service_name: str, body: PlanBody, services: RequestServices, principal: Manager) -> PlanShape:
    """Enter planned work, which counts neither for nor against the service."""
    with services.state.write() as session:
        made = changes.plan(
            session,
            principal,
            service_name,
            begins_at=body.begins_at,
            ends_at=body.ends_at,
            reason=body.reason,
            now=services.clock(),
        )
        return PlanShape.model_validate(made)


@router.post("/services/{service_name}/plans/{plan_id}/end", status_code=204)
def end_plan(service_name: str, plan_id: Number, services: RequestServices, principal: Manager) -> Response:
    """End planned work before its time, or call it off."""
    with services.state.write() as session:
        changes.end_plan(session, principal, service_name, plan_id, services.clock())
    return Response(status_code=204)


@router.get("/links")
def list_links(services: RequestServices, principal: Reader) -> LinksShape:
    """Agencies with a probe, and how many of them are connected."""
    with services.state.read() as session:
        total, lines = service.link_lines(session, principal.scope, services.clock())
    return LinksShape(
        agencies_total=total.agencies,
        agencies_with_probe=total.probed,
        lan_connected=total.lan,
        wan_connected=total.wan,
        agencies=[LinkLineShape.model_validate(line) for line in lines],
    )


@router.get("/links/{code}")
def get_links(code: str, services: RequestServices, principal: Reader) -> AgencyLinksShape:
    """An agency's links, its last day and its history."""
    with services.state.read() as session:
        agency = get_agency(session, principal.scope, code)
        return AgencyLinksShape.model_validate(service.agency_links(session, agency, services.clock()))
