"""What people say of devices that log: which are expected, which are gone. In the caller's transaction."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from collector.errors import ConflictError, NotFoundError
from collector.state.tables import LogSource

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope

EXPECTED: Final = "expected"
RETIRED: Final = "retired"
#: By state, the worst first.
_ORDER: Final = {"silent": 0, "never_heard": 1, "unheard": 2, "waiting": 3, "heard": 4}


def list_sources(session: Session, scope: Scope) -> list[LogSource]:
    """Those within reach; the worst first, the retired last."""
    found = session.scalars(select(LogSource).where(scope.where(LogSource.agency_id))).all()
    return sorted(
        found,
        key=lambda each: (each.standing == RETIRED, _ORDER.get(each.state, 9), each.agency_id, each.address),
    )


def get_source(session: Session, scope: Scope, source_id: int) -> LogSource:
    """Raise :class:`NotFoundError` where there is none within reach."""
    found = session.scalar(
        select(LogSource).where(LogSource.id == source_id, scope.where(LogSource.agency_id))
    )
    if found is None:
        raise NotFoundError(f"there is no source of logs {source_id}")
    return found


def normal_address(text: str) -> str:
    """An IP address in the one way in which it is kept: no zone, IPv4 as IPv4. Raise :class:`ValueError` for what is
    none."""
    found = ip_address(text.strip().partition("%")[0])
    inner = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(inner or found)


def declare(
    session: Session,
    agency_id: int,
    address: str,
    *,
    name: str,
    expected_seconds: float | None,
    reason: str,
    actor: str,
    now: datetime,
) -> LogSource:
    """Expect a device that was not heard yet. Raise :class:`ConflictError` where it is known already."""
    there = session.scalar(
        select(LogSource).where(LogSource.agency_id == agency_id, LogSource.address == address)
    )
    if there is not None:
        raise ConflictError(f"{address} is known already: decide on that source")
    row = LogSource(
        agency_id=agency_id,
        address=address,
        name=name,
        standing=EXPECTED,
        expected_seconds=expected_seconds,
        state_since=now,
        made_at=now,
        decided_at=now,
        decided_by=actor,
        reason=reason,
    )
    session.add(row)
    session.flush()
    return row


def decide(
    row: LogSource,
    standing: str,
    *,
    name: str | None = None,
    expected_seconds: float | None = None,
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """Expect or retire a source; ``expected_seconds`` None: as it is known. One that is retired is judged no more."""
    row.standing, row.reason = standing, reason
    row.decided_by, row.decided_at = actor, now
    if name is not None:
        row.name = name
    if standing == EXPECTED:
        row.expected_seconds = expected_seconds
    else:
        row.state, row.state_since = ("waiting" if row.last_seen_at is None else "heard"), now
