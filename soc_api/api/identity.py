"""Who machines are: records that may be one, copies of keys, and what people decide about them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from collector.identity import links
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Page, Paging, Shape, cursor
from soc_api.identity import service
from soc_api.services import Services

router = APIRouter(tags=["identity"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.IDENTITIES_MANAGE))]
Undoer = Annotated[Principal, Depends(require(Permission.IDENTITIES_UNDO))]
Revoker = Annotated[Principal, Depends(require(Permission.IDENTITIES_MANAGE, Permission.ENDPOINTS_REVOKE))]


class PairShape(Shape):
    id: int
    older_id: str
    older_name: str = Field(description="As the machine says. Hostile text: encode it.")
    newer_id: str | None = Field(description="`null` where the newer one is not within reach.")
    newer_name: str | None
    kind: str = Field(description="`reimaged reenrolled renamed disk_moved replaced parts_shared`.")
    score: int = Field(
        description="0 to 100; from 80 on the two are linked by themselves once the older is silent."
    )
    state: Literal["proposed", "linked", "rejected", "undone"]
    both_report: bool = Field(description="The older one has reported since the newer one came.")
    evidence: dict[str, Any] = Field(
        description="Kinds that are the `same`, that are `other`, and what is `shared`."
    )
    simulated: bool
    made_at: datetime
    decided_at: datetime | None
    decided_by: str | None = Field(description="`automatic` where no person did.")
    reason: str


class ForkShape(Shape):
    stream: str
    places: int
    returns: int = Field(description="How often one spoke on after another: 0 is a machine that went back.")
    since: float


class OriginShape(Shape):
    split_from: str | None = Field(description="Whose key; `null` where that one is not within reach.")
    split_at: datetime
    cause: Literal["moved", "rekeyed"]
    confirmed_at: datetime | None
    confirmed_by: str | None


class OrderShape(Shape):
    id: int
    asked_at: datetime
    asked_by: str
    reason: str
    kept_at: datetime | None = Field(description="When the first changed its key, and kept the endpoint.")


class IdentityShape(Shape):
    evidence: dict[str, list[str]] = Field(
        description="What the machine says of itself; placeholders left out."
    )
    origin: OriginShape | None = Field(description="Where it came with a copy of another endpoint's key.")
    copies: list[str] = Field(description="Endpoints that came with a copy of this one's.")
    rekey: OrderShape | None = Field(description="The order to change keys that is open.")
    forked: list[ForkShape]
    pairs: list[PairShape]


class Why(Body):
    reason: str = Field(min_length=1, max_length=200)


@router.get("/machine-links")
def machine_links(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    state: Annotated[
        list[Literal["proposed", "linked", "rejected", "undone"]] | None,
        Query(description="Only these; may be repeated."),
    ] = None,
    simulated: Annotated[bool, Query(description="Simulated machines, too.")] = False,
) -> Page[PairShape]:
    """Records that may be one machine's, the newest first. Only where both are within reach, or the older one is and
    was linked."""
    start = paging.after_id() or 0
    with services.state.read() as session:
        found, total = links.list_pairs(
            session,
            principal.scope,
            states=state or links.STATES,
            simulated=simulated,
            offset=start,
            limit=paging.limit,
        )
    end = start + len(found)
    return Page(items=[_pair(each) for each in found], next=cursor(end) if end < total else None)


@router.post("/machine-links/{link_id}/link")
def link(link_id: int, services: RequestServices, principal: Manager) -> PairShape:
    """They are one machine: the older record is left out from now on. Undone at once where it reports again."""
    with services.state.write() as session:
        service.link(session, principal, link_id, services.clock())
    return _one(services, principal, link_id)


@router.post("/machine-links/{link_id}/undo")
def undo(link_id: int, body: Why, services: RequestServices, principal: Undoer) -> PairShape:
    """Both records stand again as they did before; the link is not made again by itself. Who reaches the older one may
    do it."""
    with services.state.write() as session:
        service.undo(session, principal, link_id, body.reason, services.clock())
    return _one(services, principal, link_id)


@router.post("/machine-links/{link_id}/reject")
def reject(link_id: int, body: Why, services: RequestServices, principal: Manager) -> PairShape:
    """They are two machines, and are not proposed again."""
    with services.state.write() as session:
        service.reject(session, principal, link_id, body.reason, services.clock())
    return _one(services, principal, link_id)


@router.get("/endpoints/{endpoint_id}/identity")
def identity(endpoint_id: str, services: RequestServices, principal: Reader) -> IdentityShape:
    """What speaks for the machine, where its certificate came from, and whether its key is in two places."""
    return _identity(services, principal, endpoint_id)


@router.post("/endpoints/{endpoint_id}/rekey")
def rekey(endpoint_id: str, body: Why, services: RequestServices, principal: Manager) -> IdentityShape:
    """Everything that holds its key is told to change it. The first keeps the endpoint, each further one becomes one of
    its own. Old keys go on working until the order is closed."""
    with services.state.write() as session:
        service.rekey(session, principal, endpoint_id, body.reason, services.clock())
    return _identity(services, principal, endpoint_id)


@router.post("/endpoints/{endpoint_id}/rekey/close")
def close_rekey(endpoint_id: str, services: RequestServices, principal: Revoker) -> IdentityShape:
    """Who still holds nothing but an old key is refused from now on."""
    with services.state.write() as session:
        service.close_rekey(session, principal, endpoint_id, services.clock())
    return _identity(services, principal, endpoint_id)


@router.post("/endpoints/{endpoint_id}/confirm")
def confirm(endpoint_id: str, services: RequestServices, principal: Manager) -> IdentityShape:
    """It came with a copy of another endpoint's key, and is a machine of ours: it counts by what it reports."""
    with services.state.write() as session:
        service.confirm(session, principal, endpoint_id, services.clock())
    return _identity(services, principal, endpoint_id)


def _identity(services: Services, principal: Principal, endpoint_id: str) -> IdentityShape:
    with services.state.read() as session:
        found = service.identity_of(session, principal.scope, endpoint_id)
    return IdentityShape(
        evidence={kind: sorted(values) for kind, values in found.evidence.items()},
        origin=_origin(found),
        copies=[each.id for each in found.copies],
        rekey=None if found.order is None else OrderShape.model_validate(found.order),
        forked=[ForkShape.model_validate(each) for each in found.forked],
        pairs=[_pair(each) for each in found.pairs],
    )


def _one(services: Services, principal: Principal, link_id: int) -> PairShape:
    with services.state.read() as session:
        return _pair(links.get_pair(session, principal.scope, link_id))


def _origin(found: service.Identity) -> OriginShape | None:
    if found.origin is None:
        return None
    shape = OriginShape.model_validate(found.origin)
    return shape.model_copy(update={"split_from": None if found.source is None else found.source.id})


def _pair(pair: links.Pair) -> PairShape:
    row = pair.link
    return PairShape(
        id=row.id,
        older_id=pair.older.id,
        older_name=pair.older.hostname,
        newer_id=pair.newer.id if pair.reached else None,
        newer_name=pair.newer.hostname if pair.reached else None,
        kind=row.kind,
        score=row.score,
        state=row.state,  # type: ignore[arg-type] # one of them, as the table says
        both_report=pair.both_report,
        evidence=row.evidence,
        simulated=pair.newer.simulated,
        made_at=row.made_at,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        reason=row.reason,
    )
