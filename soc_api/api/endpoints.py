"""Endpoints: the managed computers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, Field

from collector.registry import service as registry
from soc_api import actions
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Number, Page, Paging, Shape, cursor
from soc_api.endpoints import events, service
from soc_api.errors import Fault, InvalidError
from soc_api.services import Services

router = APIRouter(prefix="/endpoints", tags=["endpoints"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Revoker = Annotated[Principal, Depends(require(Permission.ENDPOINTS_REVOKE))]
Manager = Annotated[Principal, Depends(require(Permission.AGENCIES_MANAGE))]


class EndpointShape(Shape):
    id: str = Field(description="The UUID in its certificate.")
    hostname: str = Field(description="As the machine says. Hostile text: encode it.")
    role: str
    os_name: str
    agent_version: str
    simulated: bool
    enrolled_at: datetime
    last_seen_at: datetime | None
    clock_skew_seconds: float = Field(description="Positive where the agent's clock is behind.")
    retired_at: datetime | None
    agency_id: int | None = None
    agency_code: str | None = None


class DocumentShape(Shape):
    kind: str
    item: str
    body: dict[str, Any]
    observed_at: datetime
    received_at: datetime
    changed_at: datetime


class ChangeShape(Shape):
    id: int
    kind: str
    item: str
    body: dict[str, Any] | None = Field(description="What it became; null: the item went away.")
    changed_at: datetime


class CertificateShape(Shape):
    sha256: str
    serial: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None
    revoked_reason: str | None


class StreamShape(Shape):
    stream: str
    last_seq: int
    missing: int = Field(description="Batches that never came.")
    dropped: int = Field(description="What the agent itself had to discard.")
    updated_at: datetime


class ThrottledShape(Shape):
    refusals: int = Field(description="Batches and signs of life that it was told to send later (429).")
    refused_bytes: int
    first_at: datetime
    last_at: datetime


class WholeEndpoint(EndpointShape):
    facts: dict[str, Any]
    documents: list[DocumentShape]
    certificates: list[CertificateShape]
    streams: list[StreamShape]
    throttled: ThrottledShape | None = Field(description="How often it was over its quota; null: never.")


class EventShape(Shape):
    id: str
    time: datetime
    received_at: datetime
    product: str
    category: str
    service: str
    rules: list[str] = Field(description="Ids of the rules that it matched.")
    fields: dict[str, Any]


class Reason(Body):
    reason: str = Field(min_length=1, max_length=200)


class Reassignment(Body):
    agency: str = Field(max_length=64, description="The new agency's code.")


@router.get("")
def list_endpoints(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    agency_id: Number | None = None,
    text: Annotated[
        str | None, Query(max_length=100, description="Part of a host name, or a whole id.")
    ] = None,
    role: Literal["workstation", "server", "unknown"] | None = None,
    simulated: Annotated[bool | None, Query(description="Leave out for both.")] = None,
    retired: Annotated[
        bool, Query(description="Those instead that are retired, or that another record goes on for.")
    ] = False,
) -> Page[EndpointShape]:
    """By host name."""
    filters = service.Filters(agency_id=agency_id, text=text, role=role, simulated=simulated, retired=retired)
    with services.state.read() as session:
        found = service.list_endpoints(
            session, principal.scope, filters, after=_position(paging), limit=paging.limit + 1
        )
    items = [_shape(placed) for placed in found[: paging.limit]]
    more = len(found) > paging.limit
    return Page(items=items, next=cursor(f"{items[-1].id} {items[-1].hostname}") if more else None)


@router.get("/{endpoint_id}")
def get_endpoint(endpoint_id: str, services: RequestServices, principal: Reader) -> WholeEndpoint:
    """One with what is now true of it, its certificates, and what is missing of its streams."""
    return _whole(services, principal, endpoint_id)


@router.get("/{endpoint_id}/history")
def history(
    endpoint_id: str,
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    kind: Annotated[str | None, Query(max_length=64, description="Only this kind of document.")] = None,
) -> Page[ChangeShape]:
    """How its status documents changed, the newest first."""
    with services.state.read() as session:
        service.get_endpoint(session, principal.scope, endpoint_id)
        found = service.history_of(
            session,
            principal.scope,
            endpoint_id,
            kind=kind,
            before=paging.after_id(),
            limit=paging.limit + 1,
        )
    items = [ChangeShape.model_validate(row) for row in found[: paging.limit]]
    return Page(items=items, next=cursor(items[-1].id) if len(found) > paging.limit else None)


@router.get("/{endpoint_id}/events")
def list_events(
    endpoint_id: str,
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    since: Annotated[
        AwareDatetime | None, Query(description="Usually one day before `until`; 31 at most.")
    ] = None,
    until: Annotated[AwareDatetime | None, Query(description="Usually now.")] = None,
    category: Annotated[str, Query(max_length=64, description="Sigma's category.")] = "",
) -> Page[EventShape]:
    """Its events, the newest first. An officer sees those of the time when it was his agency's."""
    with services.state.read() as session:
        service.get_endpoint(session, principal.scope, endpoint_id)
    last = until or services.clock()
    before: events.Before | datetime = last
    if paging.after:
        number, _, event_id = paging.after_text().partition(" ")
        if not number.isascii() or not number.isdigit() or len(number) > 18:
            raise InvalidError(Fault("query.after", "not a cursor of this list"))
        before = events.Before(int(number), event_id)
    found = events.events_of(
        services.store,
        principal.scope,
        endpoint_id,
        since=since or last - events.USUAL,
        before=before,
        category=category,
        limit=paging.limit + 1,
    )
    items = [EventShape.model_validate(event) for event in found[: paging.limit]]
    if len(found) <= paging.limit:
        return Page(items=items, next=None)
    end = events.position_of(found[paging.limit - 1])
    return Page(items=items, next=cursor(f"{end.time_us} {end.event_id}"))


@router.post("/{endpoint_id}/revoke")
def revoke(endpoint_id: str, body: Reason, services: RequestServices, principal: Revoker) -> WholeEndpoint:
    """Its certificates are refused from the next request on. It can only come back by a new token."""
    with services.state.write() as session:
        actions.revoke_endpoint(session, principal, endpoint_id, body.reason, services.clock())
    return _whole(services, principal, endpoint_id)


@router.post("/{endpoint_id}/retire")
def retire(endpoint_id: str, body: Reason, services: RequestServices, principal: Revoker) -> WholeEndpoint:
    """It is gone: revoked, and no longer counted. Its history stays."""
    with services.state.write() as session:
        actions.retire_endpoint(session, principal, endpoint_id, body.reason, services.clock())
    return _whole(services, principal, endpoint_id)


@router.post("/{endpoint_id}/agency")
def reassign(
    endpoint_id: str, body: Reassignment, services: RequestServices, principal: Manager
) -> WholeEndpoint:
    """From now on it belongs to another agency; what was before stays with the old one."""
    with services.state.write() as session:
        agency = registry.get_agency(session, principal.scope, body.agency)
        actions.reassign_endpoint(session, principal, endpoint_id, agency, services.clock())
    return _whole(services, principal, endpoint_id)


def _position(paging: Paging) -> service.Position | None:
    if not paging.after:
        return None
    endpoint_id, _, hostname = paging.after_text().partition(" ")
    return service.Position(hostname, endpoint_id)


def _shape(placed: service.PlacedEndpoint) -> EndpointShape:
    shape = EndpointShape.model_validate(placed.endpoint)
    if placed.agency is not None:
        shape.agency_id, shape.agency_code = placed.agency.id, placed.agency.code
    return shape


def _whole(services: Services, principal: Principal, endpoint_id: str) -> WholeEndpoint:
    with services.state.read() as session:
        placed = service.get_endpoint(session, principal.scope, endpoint_id)
        documents = service.documents_of(session, endpoint_id)
        certificates = service.certificates_of(session, endpoint_id)
        streams = service.streams_of(session, endpoint_id)
        throttled = service.throttled_of(session, endpoint_id)
    return WholeEndpoint(
        **_shape(placed).model_dump(),
        facts=placed.endpoint.facts,
        documents=[DocumentShape.model_validate(row) for row in documents],
        certificates=[CertificateShape.model_validate(row) for row in certificates],
        streams=[StreamShape.model_validate(row) for row in streams],
        throttled=ThrottledShape.model_validate(throttled) if throttled else None,
    )
