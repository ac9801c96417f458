"""Exceptions: a check that is not held against an agency, or one endpoint, for a stated reason and time.

An excepted check that fails, or cannot be told, counts as *excepted*: apart, in the denominator of every percentage and
never as passed. One that passes is passed. When its time is over it counts again, without anybody doing anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, or_, select

from collector.errors import ConflictError, NotFoundError
from collector.registry import service as registry
from collector.state.tables import Agency, Assignment, CheckException, Endpoint
from soc_api.accounts import audit
from soc_api.assessment.written import shipped_checks
from soc_api.endpoints import service as endpoints
from soc_api.errors import Fault, InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from collector.state.scope import Scope
    from soc_api.accounts.principal import Principal

#: The longest that an exception may last; it can be granted anew.
MOST_DAYS: Final = 366
MOST_REASON: Final = 1_000
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Granted:
    """An exception with the names of whom it is for; ``state`` is ``in_force``, ``expired`` or ``ended``. The reason is
    what somebody wrote."""

    id: int
    set: str
    check: str
    agency_code: str
    agency: str
    endpoint_id: str
    hostname: str
    reason: str
    made_at: datetime
    made_by: str
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str
    state: str


@dataclass(frozen=True)
class Excepted:
    """What is excepted now, by whom it is for."""

    agencies: Mapping[int, frozenset[Key]]
    endpoints: Mapping[str, frozenset[Key]]

    def of(self, endpoint_id: str, agency_id: int | None) -> frozenset[Key]:
        """``(set, check)`` that are not held against an endpoint of an agency."""
        none: frozenset[Key] = frozenset()
        by_agency = none if agency_id is None else self.agencies.get(agency_id, none)
        return by_agency | self.endpoints.get(endpoint_id, none)

    def applied(
        self, name: str, results: tuple[Key, ...], endpoint_id: str, agency_id: int | None
    ) -> tuple[Key, ...]:
        """``(check, result)`` of the set ``name`` as they count."""
        excepted = self.of(endpoint_id, agency_id)
        if not excepted:
            return results
        return tuple(
            (check, counted(result) if (name, check) in excepted else result) for check, result in results
        )


def counted(result: str) -> str:
    """As what the result of an excepted check counts."""
    return "excepted" if result in ("failed", "unknown") else result


def in_force(session: Session, now: datetime) -> Excepted:
    """All that are, of every agency: who reads results has only those within his scope."""
    agencies: dict[int, set[Key]] = {}
    machines: dict[str, set[Key]] = {}
    for row in session.scalars(select(CheckException).where(_holds(now))):
        key = (row.check_set, row.check_id)
        if row.agency_id is not None:
            agencies.setdefault(row.agency_id, set()).add(key)
        elif row.endpoint_id is not None:
            machines.setdefault(row.endpoint_id, set()).add(key)
    return Excepted(
        {each: frozenset(keys) for each, keys in agencies.items()},
        {each: frozenset(keys) for each, keys in machines.items()},
    )


def list_exceptions(
    session: Session,
    scope: Scope,
    now: datetime,
    *,
    of: Key | None = None,
    past: bool = False,
    after: int | None = None,
    limit: int = 200,
) -> list[Granted]:
    """Within ``scope``, the latest first; ``of`` one ``(set, check)``, with ``past`` also those that hold no more."""
    query = (
        select(CheckException, Agency, Endpoint.hostname)
        .outerjoin(Endpoint, Endpoint.id == CheckException.endpoint_id)
        .outerjoin(Assignment, and_(Assignment.endpoint_id == Endpoint.id, Assignment.valid_to.is_(None)))
        .outerjoin(Agency, or_(Agency.id == CheckException.agency_id, Agency.id == Assignment.agency_id))
        .where(scope.where(Agency.id))
        .order_by(CheckException.id.desc())
        .limit(limit)
    )
    if of is not None:
        query = query.where(CheckException.check_set == of[0], CheckException.check_id == of[1])
    if not past:
        query = query.where(_holds(now))
    if after is not None:
        query = query.where(CheckException.id < after)
    return [_granted(row, agency, hostname or "", now) for row, agency, hostname in session.execute(query)]


def grant(
    session: Session,
    principal: Principal,
    of: Key,
    *,
    agency_code: str,
    endpoint_id: str,
    reason: str,
    expires_at: datetime,
    now: datetime,
) -> Granted:
    """Except a shipped check for an agency or an endpoint, one of which is given; written to the audit log.

    Raises:
        InvalidError: no such check, no reason, no or too far an end, both or none of agency and endpoint.
        NotFoundError: no such agency or endpoint within the principal's scope.
        ConflictError: it is excepted there already.
    """
    reason = reason.strip()
    if of[1] not in shipped_checks(of[0]):
        raise InvalidError(Fault("check", "no such check is shipped"))
    if not reason or len(reason) > MOST_REASON:
        raise InvalidError(Fault("reason", f"say why, in at most {MOST_REASON} characters"))
    if not now < expires_at <= now + timedelta(days=MOST_DAYS):
        raise InvalidError(Fault("expires_at", f"must lie ahead, by at most {MOST_DAYS} days"))
    if bool(agency_code) == bool(endpoint_id):
        raise InvalidError(Fault("agency", "give an agency or an endpoint, one of them"))
    agency = registry.get_agency(session, principal.scope, agency_code) if agency_code else None
    placed = endpoints.get_endpoint(session, principal.scope, endpoint_id) if endpoint_id else None
    row = CheckException(
        check_set=of[0],
        check_id=of[1],
        agency_id=None if agency is None else agency.id,
        endpoint_id=None if placed is None else placed.endpoint.id,
        reason=reason,
        made_at=now,
        made_by=principal.username,
        expires_at=expires_at,
    )
    same = (
        CheckException.agency_id == row.agency_id
        if agency is not None
        else CheckException.endpoint_id == row.endpoint_id
    )
    here = (CheckException.check_set == of[0], CheckException.check_id == of[1], same, _holds(now))
    if session.scalar(select(CheckException.id).where(*here).limit(1)) is not None:
        raise ConflictError("this check is excepted there already: end that exception first")
    session.add(row)
    session.flush()
    told = {"check": ".".join(of), "agency": agency_code, "endpoint": endpoint_id, "reason": reason}
    audit.record(
        session,
        now,
        principal.username,
        "check.except",
        f"exception:{row.id}",
        address=principal.address,
        until=expires_at.isoformat(),
        **told,
    )
    shown = agency if agency is not None else placed.agency if placed is not None else None
    return _granted(row, shown, placed.endpoint.hostname if placed is not None else "", now)


def end(session: Session, principal: Principal, exception_id: int, now: datetime) -> Granted:
    """End an exception before its time; written to the audit log.

    Raises:
        NotFoundError: there is none within the principal's scope.
        ConflictError: it holds no more.
    """
    found = next(
        (
            each
            for each in list_exceptions(
                session, principal.scope, now, past=True, after=min(exception_id, 2**62) + 1, limit=1
            )
            if each.id == exception_id
        ),
        None,
    )
    row = None if found is None else session.get(CheckException, exception_id)
    if found is None or row is None:
        raise NotFoundError(f"there is no exception {exception_id}")
    if found.state != "in_force":
        raise ConflictError("this exception holds no more")
    row.ended_at, row.ended_by = now, principal.username
    audit.record(
        session,
        now,
        principal.username,
        "check.except_end",
        f"exception:{exception_id}",
        address=principal.address,
        check=f"{found.set}.{found.check}",
        agency=found.agency_code if not found.endpoint_id else "",
        endpoint=found.endpoint_id,
    )
    agency = session.scalar(select(Agency).where(Agency.code == found.agency_code))
    return _granted(row, agency, found.hostname, now)


def _holds(now: datetime) -> ColumnElement[bool]:
    return and_(CheckException.ended_at.is_(None), CheckException.expires_at > now)


def _granted(row: CheckException, agency: Agency | None, hostname: str, now: datetime) -> Granted:
    state = "ended" if row.ended_at is not None else "in_force" if row.expires_at > now else "expired"
    return Granted(
        id=row.id,
        set=row.check_set,
        check=row.check_id,
        agency_code=agency.code if agency is not None else "",
        agency=agency.name if agency is not None else "",
        endpoint_id=row.endpoint_id or "",
        hostname=hostname,
        reason=row.reason,
        made_at=row.made_at,
        made_by=row.made_by,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by or "",
        state=state,
    )
