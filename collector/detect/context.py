"""Who an event is about: what every event carries of its endpoint and agency. Read anew for each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from collector.state.tables import Agency, Assignment, Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

_CHUNK = 500


@dataclass
class EndpointContext:
    """An endpoint as it stood when the step began; a step moves ``hostname``, ``role``, marks and times
    on.
    """

    id: str
    hostname: str
    role: str
    os_name: str
    simulated: bool
    enrolled_at: datetime
    last_seen_at: datetime | None
    silence_mark_seconds: int
    clock_skew_seconds: float
    retired: bool
    agency_id: int | None
    agency_code: str
    agency_name: str
    _fields: dict[str, Any] | None = field(default=None, repr=False, compare=False)

    def fields(self) -> dict[str, Any]:
        """``host.*``, ``agency.*`` and ``simulated`` as rules and people see them: shared by all events of the step,
        and never to be changed."""
        if self._fields is None:
            self._fields = {
                "host": {"id": self.id, "name": self.hostname, "role": self.role},
                "agency": {"id": self.agency_id, "code": self.agency_code, "name": self.agency_name},
                "simulated": self.simulated,
            }
        return self._fields

    def follow(self, values: Mapping[str, Any]) -> None:
        """Take what a step changes of the endpoint's columns."""
        for name, value in values.items():
            if hasattr(self, name):
                setattr(self, name, value)
        self._fields = None


def load_contexts(session: Session, endpoint_ids: Iterable[str]) -> dict[str, EndpointContext]:
    """By endpoint id; endpoints that were removed are missing."""
    found: dict[str, EndpointContext] = {}
    ids = sorted(set(endpoint_ids))
    for start in range(0, len(ids), _CHUNK):
        query = _QUERY.where(Endpoint.id.in_(ids[start : start + _CHUNK]))
        for row in session.execute(query):
            found[row[0]] = _context(row)
    return found


_QUERY = (
    select(
        Endpoint.id,
        Endpoint.hostname,
        Endpoint.role,
        Endpoint.os_name,
        Endpoint.simulated,
        Endpoint.enrolled_at,
        Endpoint.last_seen_at,
        Endpoint.silence_mark_seconds,
        Endpoint.clock_skew_seconds,
        Endpoint.retired_at.is_not(None),
        Agency.id,
        Agency.code,
        Agency.name,
    )
    .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
    .outerjoin(Agency, Agency.id == Assignment.agency_id)
)


def _context(row: Any) -> EndpointContext:
    *of_endpoint, agency_id, code, name = row
    return EndpointContext(*of_endpoint, agency_id, code or "", name or "")  # type: ignore[call-arg] # by _QUERY
