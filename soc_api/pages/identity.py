"""Who machines are: records that may be one machine's, and what is decided on a machine's own page."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from collector.errors import CollectorError, NotFoundError
from collector.identity import links
from collector.identity.links import AUTOMATICALLY, NEWER_RETIRED, REPORTED_AGAIN, Pair
from collector.identity.matching import AUTOMATIC
from collector.state.tables import Endpoint
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.errors import Fault, InvalidError, SocError
from soc_api.i18n import N_
from soc_api.identity import service
from soc_api.identity.service import Identity
from soc_api.pages.identity_words import CAUSES, EVIDENCE, KINDS, STATES, listed
from soc_api.pages.query import SIMULATED, Query, Slice
from soc_api.pages.visit import Visit, back_to

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.IDENTITIES_MANAGE))]
Undoer = Annotated[Principal, Depends(require(Permission.IDENTITIES_UNDO))]
Revoker = Annotated[Principal, Depends(require(Permission.IDENTITIES_MANAGE, Permission.ENDPOINTS_REVOKE))]
_ROWS = 25
_REASON = 200


@dataclass(frozen=True)
class PairRow:
    """``kind`` and ``state_words`` in words; ``same`` and ``other`` what the two agree and differ in; ``shared`` the
    numbers that they have in common, as the machines say them. ``newer`` is ``None`` where it is not within reach.
    ``decided_by`` is empty where nobody did."""

    id: int
    older: Endpoint
    newer: Endpoint | None
    kind: str
    score: int
    state: str
    state_words: str
    same: str
    other: str
    same_name: bool
    shared: list[tuple[str, str]]
    both_report: bool
    made_at: datetime
    decided_at: datetime | None
    decided_by: str
    automatic: bool
    reason: str


@dataclass(frozen=True)
class MachinesPage:
    """``threshold``: from this score on two are linked by themselves; ``hours`` after the older fell silent (0: only
    people link)."""

    query: Query
    rows: list[PairRow]
    slice: Slice
    state: str
    states: dict[str, str]
    simulated: str
    may_decide: bool
    may_undo: bool
    threshold: int
    hours: int
    refused: str = ""


@dataclass(frozen=True)
class IdentityPart:
    """What a machine's own page says of its identity."""

    known: Identity
    cause: str
    evidence: list[tuple[str, str]]
    pairs: list[PairRow]
    may_decide: bool
    may_undo: bool
    may_end: bool

    @property
    def anything(self) -> bool:
        """Whether there is more to say than the numbers."""
        known = self.known
        return bool(known.origin or known.copies or known.order or known.forked or self.pairs)


@router.get("/machines")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("machines.html", build(visit))


@router.post("/machines/{link_id}/link")
def link(link_id: int, request: Request, services: RequestServices, principal: Manager) -> Response:
    visit = Visit(request, services, principal)
    return _decide(visit, lambda session: service.link(session, principal, link_id, visit.now))


@router.post("/machines/{link_id}/undo")
def undo(
    link_id: int,
    request: Request,
    services: RequestServices,
    principal: Undoer,
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    return _decide(
        visit, lambda session: service.undo(session, principal, link_id, reason.strip()[:_REASON], visit.now)
    )


@router.post("/machines/{link_id}/reject")
def reject(
    link_id: int,
    request: Request,
    services: RequestServices,
    principal: Manager,
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    return _decide(
        visit,
        lambda session: service.reject(session, principal, link_id, reason.strip()[:_REASON], visit.now),
    )


@router.post("/endpoints/{endpoint_id}/rekey")
def rekey(
    endpoint_id: str,
    request: Request,
    services: RequestServices,
    principal: Manager,
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    if not reason.strip():
        raise InvalidError(Fault("reason", "must not be empty"))
    with services.state.write() as session:
        service.rekey(session, principal, endpoint_id, reason.strip()[:_REASON], visit.now)
    return back_to(f"/endpoints/{endpoint_id}")


@router.post("/endpoints/{endpoint_id}/rekey/close")
def close_rekey(
    endpoint_id: str, request: Request, services: RequestServices, principal: Revoker
) -> Response:
    visit = Visit(request, services, principal)
    with services.state.write() as session:
        service.close_rekey(session, principal, endpoint_id, visit.now)
    return back_to(f"/endpoints/{endpoint_id}")


@router.post("/endpoints/{endpoint_id}/confirm")
def confirm(endpoint_id: str, request: Request, services: RequestServices, principal: Manager) -> Response:
    visit = Visit(request, services, principal)
    with services.state.write() as session:
        service.confirm(session, principal, endpoint_id, visit.now)
    return back_to(f"/endpoints/{endpoint_id}")


def build(visit: Visit, *, refused: str = "") -> MachinesPage:
    query = visit.query("state", "simulated", "page")
    state, simulated = query.choice("state", STATES), query.choice("simulated", SIMULATED)
    number = query.number("page", 1)
    with visit.services.state.read() as session:
        found, total = links.list_pairs(
            session,
            visit.principal.scope,
            states=(state,) if state else ("proposed", "linked"),
            simulated=bool(simulated),
            offset=(number - 1) * _ROWS,
            limit=_ROWS,
        )
    return MachinesPage(
        query=query,
        rows=[_row(visit, each) for each in found],
        slice=Slice(number, _ROWS, total),
        state=state,
        states={code: visit.t(words) for code, words in STATES.items()},
        simulated=simulated,
        may_decide=visit.principal.may(Permission.IDENTITIES_MANAGE),
        may_undo=visit.principal.may(Permission.IDENTITIES_UNDO),
        threshold=AUTOMATIC,
        hours=visit.services.settings.coverage.link_after_hours,
        refused=refused,
    )


def of_machine(visit: Visit, session: Session, endpoint_id: str) -> IdentityPart:
    """For a reader who reaches the endpoint."""
    known = service.identity_of(session, visit.principal.scope, endpoint_id)
    t = visit.t
    return IdentityPart(
        known=known,
        cause=t(CAUSES[known.origin.cause]) if known.origin and known.origin.cause in CAUSES else "",
        evidence=[
            (t(EVIDENCE[kind]), ", ".join(sorted(values)))
            for kind, values in known.evidence.items()
            if kind in EVIDENCE
        ],
        pairs=[_row(visit, each) for each in known.pairs],
        may_decide=visit.principal.may(Permission.IDENTITIES_MANAGE),
        may_undo=visit.principal.may(Permission.IDENTITIES_UNDO),
        may_end=visit.principal.may(Permission.ENDPOINTS_REVOKE),
    )


def _decide(visit: Visit, decide: Callable[[Session], object]) -> Response:
    try:
        with visit.services.state.write() as session:
            decide(session)
    except NotFoundError:
        raise
    except (CollectorError, SocError) as error:
        return visit.answer("machines.html", build(visit, refused=str(error)), status=409)
    return visit.back_to("/machines")


def _row(visit: Visit, pair: Pair) -> PairRow:
    row, t = pair.link, visit.t
    said = row.evidence
    shared = said.get("shared", {})
    return PairRow(
        id=row.id,
        older=pair.older,
        newer=pair.newer if pair.reached else None,
        kind=t(KINDS[row.kind]) if row.kind in KINDS else row.kind,
        score=row.score,
        state=row.state,
        state_words=t(STATES[row.state]) if row.state in STATES else row.state,
        same=listed(t, said.get("same", [])),
        other=listed(t, said.get("other", [])),
        same_name=bool(said.get("same_name")),
        shared=[
            (t(EVIDENCE[kind]), ", ".join(values)) for kind, values in shared.items() if kind in EVIDENCE
        ],
        both_report=pair.both_report,
        made_at=row.made_at,
        decided_at=row.decided_at,
        decided_by="" if row.decided_by == AUTOMATICALLY else row.decided_by or "",
        automatic=row.decided_by == AUTOMATICALLY,
        reason=t(_REASONS[row.reason]) if row.reason in _REASONS else row.reason,
    )


#: Why a link was undone that nobody undid.
_REASONS = {
    REPORTED_AGAIN: N_("The older record reported again"),
    NEWER_RETIRED: N_("The newer record was taken out of service"),
}
