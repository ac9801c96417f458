"""What is known of who a machine is, and what a signed-in person decides about it: the collector's service and the
audit entry in one transaction. API and pages both come through here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from collector.identity import links, splitting
from collector.identity.links import evidence_kept
from collector.state.tables import Endpoint, EndpointOrigin, RekeyOrder, Stream
from soc_api.accounts import audit
from soc_api.endpoints import service as endpoints

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.identity.evidence import Evidence
    from collector.identity.links import Pair
    from collector.state.scope import Scope
    from collector.state.tables import MachineLink
    from soc_api.accounts.principal import Principal

_PAIRS = 20


@dataclass(frozen=True)
class ForkedStream:
    """A stream that more than one went on with. ``returns``: how often one spoke on after another had."""

    stream: str
    places: int
    returns: int
    since: float
    told: float


@dataclass(frozen=True)
class Identity:
    """``origin``: where the endpoint came from another's certificate, else ``None``; ``source`` is whose. ``copies``:
    endpoints that came of this one's. Both only within the asker's scope. ``order``: the order to change keys that is
    open, else ``None``."""

    evidence: Evidence
    origin: EndpointOrigin | None
    source: Endpoint | None
    copies: Sequence[Endpoint]
    order: RekeyOrder | None
    forked: list[ForkedStream]
    pairs: list[Pair]

    @property
    def two_places(self) -> bool:
        return any(each.returns for each in self.forked)

    @property
    def unconfirmed(self) -> bool:
        return self.origin is not None and self.origin.confirmed_at is None


def identity_of(session: Session, scope: Scope, endpoint_id: str) -> Identity:
    """
    Raises:
        NotFoundError: no such endpoint within the scope.
    """
    endpoints.get_endpoint(session, scope, endpoint_id)
    origin = session.get(EndpointOrigin, endpoint_id)
    if origin is not None and origin.split_at is None:
        origin = None
    source = None
    if origin is not None and origin.split_from is not None:
        source = session.scalar(
            select(Endpoint).where(Endpoint.id == origin.split_from, links.within(scope, Endpoint))
        )
    forks = session.scalars(
        select(Stream).where(Stream.endpoint_id == endpoint_id, Stream.fork.is_not(None))
    ).all()
    forked = [
        ForkedStream(
            stream=row.stream,
            places=len(row.fork["heads"]),
            returns=int(row.fork["returns"]),
            since=float(row.fork["since"]),
            told=float(row.fork["told"]),
        )
        for row in forks
        if row.fork is not None
    ]
    pairs, _ = links.list_pairs(session, scope, endpoint_id=endpoint_id, limit=_PAIRS)
    return Identity(
        evidence=evidence_kept(session, endpoint_id),
        origin=origin,
        source=source,
        copies=splitting.copies_of(session, scope, endpoint_id),
        order=splitting.open_order(session, endpoint_id),
        forked=sorted(forked, key=lambda each: -each.since),
        pairs=pairs,
    )


def link(session: Session, principal: Principal, link_id: int, now: datetime) -> MachineLink:
    """See :func:`collector.identity.links.link_by_hand`."""
    found = links.link_by_hand(session, principal.scope, link_id, principal.username, now)
    _of_pair(session, principal, "machine.link", found, now)
    return found


def undo(session: Session, principal: Principal, link_id: int, reason: str, now: datetime) -> MachineLink:
    """See :func:`collector.identity.links.undo`."""
    found = links.undo(session, principal.scope, link_id, principal.username, reason, now)
    _of_pair(session, principal, "machine.unlink", found, now)
    return found


def reject(session: Session, principal: Principal, link_id: int, reason: str, now: datetime) -> MachineLink:
    """See :func:`collector.identity.links.reject`."""
    found = links.reject(session, principal.scope, link_id, principal.username, reason, now)
    _of_pair(session, principal, "machine.reject", found, now)
    return found


def rekey(session: Session, principal: Principal, endpoint_id: str, reason: str, now: datetime) -> RekeyOrder:
    """See :func:`collector.identity.splitting.order_rekey`; only within the principal's scope."""
    endpoints.get_endpoint(session, principal.scope, endpoint_id)
    order = splitting.order_rekey(session, endpoint_id, principal.username, reason, now)
    _record(session, principal, "endpoint.rekey", endpoint_id, now, reason=reason, order=order.id)
    return order


def close_rekey(session: Session, principal: Principal, endpoint_id: str, now: datetime) -> int:
    """See :func:`collector.identity.splitting.close_rekey`; only within the principal's scope."""
    endpoints.get_endpoint(session, principal.scope, endpoint_id)
    ended = splitting.close_rekey(session, endpoint_id, principal.username, now)
    _record(session, principal, "endpoint.rekey_close", endpoint_id, now, certificates_ended=ended)
    return ended


def confirm(session: Session, principal: Principal, endpoint_id: str, now: datetime) -> None:
    """See :func:`collector.identity.splitting.confirm`; only within the principal's scope."""
    endpoints.get_endpoint(session, principal.scope, endpoint_id)
    origin = splitting.confirm(session, endpoint_id, principal.username, now)
    _record(session, principal, "endpoint.confirm", endpoint_id, now, split_from=origin.split_from)


def _of_pair(session: Session, principal: Principal, action: str, found: MachineLink, now: datetime) -> None:
    audit.record(
        session,
        now,
        principal.username,
        action,
        f"endpoint:{found.newer_id}",
        address=principal.address,
        older=found.older_id,
        kind=found.kind,
        score=found.score,
        reason=found.reason,
    )


def _record(
    session: Session, principal: Principal, action: str, endpoint_id: str, now: datetime, **detail: object
) -> None:
    target = f"endpoint:{endpoint_id}"
    audit.record(session, now, principal.username, action, target, address=principal.address, **detail)
