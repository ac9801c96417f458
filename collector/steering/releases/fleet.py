"""The machines that get releases, read from the state store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, func, select

from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Agency, AgencyRing, Assignment, Document, Endpoint, EndpointRing
from collector.steering.releases.rollout import LAST_RING, Machine
from collector.steering.releases.standing import told_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_AGENT: Final = "agent"


@dataclass(frozen=True)
class Known(Machine):
    """With what people know it by."""

    hostname: str = ""
    agency_code: str = ""
    agency_name: str = ""


def machines(session: Session, scope: Scope = EVERYTHING) -> list[Known]:
    """Every real endpoint within reach that is in use, by agency and name."""
    ring = func.coalesce(EndpointRing.ring, AgencyRing.ring, LAST_RING)
    query = (
        select(
            Endpoint.id,
            Endpoint.hostname,
            Endpoint.agent_version,
            Endpoint.last_seen_at,
            ring,
            Agency.code,
            Agency.name,
            Document.body,
        )
        .outerjoin(Assignment, and_(Assignment.endpoint_id == Endpoint.id, Assignment.valid_to.is_(None)))
        .outerjoin(Agency, Agency.id == Assignment.agency_id)
        .outerjoin(AgencyRing, AgencyRing.agency_id == Assignment.agency_id)
        .outerjoin(EndpointRing, EndpointRing.endpoint_id == Endpoint.id)
        .outerjoin(
            Document, and_(Document.endpoint_id == Endpoint.id, Document.kind == _AGENT, Document.item == "")
        )
        .where(
            Endpoint.retired_at.is_(None), Endpoint.simulated.is_(False), scope.where(Assignment.agency_id)
        )
        .order_by(Agency.name, Endpoint.hostname, Endpoint.id)
    )
    found = []
    for endpoint_id, hostname, version, seen, number, code, name, body in session.execute(query):
        found.append(
            Known(
                endpoint_id,
                number,
                version,
                None if seen is None else seen.timestamp(),
                told_of(body),
                hostname,
                code or "",
                name or "",
            )
        )
    return found
