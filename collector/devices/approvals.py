"""Which cards may be on an agency's LAN without an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, select

from collector.state.tables import DeviceApproval

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

_CHUNK: Final = 400


def holds(now: datetime) -> ColumnElement[bool]:
    """Of a :class:`DeviceApproval`: in force."""
    return and_(DeviceApproval.ended_at.is_(None), DeviceApproval.expires_at > now)


def approved(session: Session, agency_id: int, macs: Collection[str], now: datetime) -> set[str]:
    """Which of ``macs`` are approved in the agency."""
    found: set[str] = set()
    wanted = sorted(set(macs))
    for start in range(0, len(wanted), _CHUNK):
        part = wanted[start : start + _CHUNK]
        query = select(DeviceApproval.mac).where(
            DeviceApproval.agency_id == agency_id, DeviceApproval.mac.in_(part), holds(now)
        )
        found.update(session.scalars(query))
    return found
