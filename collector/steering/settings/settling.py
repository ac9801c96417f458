"""Writes down what each machine shall have, with a number that only grows for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, or_, select

from collector.state.scope import EVERYTHING
from collector.state.tables import Assignment, Endpoint, EndpointSettings, SettingsPublication
from collector.steering.settings.groups import Group, as_json, effective, layers, members

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.steering.settings.groups import Layer, Member

MOVED: Final = "moved"
_SYSTEM: Final = "vonggac"


def newest_number(session: Session) -> int:
    return session.scalar(select(func.max(SettingsPublication.number))) or 0


def unsettled(session: Session) -> bool:
    """Whether machines came, or came to another agency or role, since :func:`settle`. One query."""
    if not newest_number(session):
        return False
    settled = EndpointSettings
    query = (
        select(Endpoint.id)
        .outerjoin(settled, settled.endpoint_id == Endpoint.id)
        .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
        .where(
            Endpoint.retired_at.is_(None),
            or_(
                settled.endpoint_id.is_(None),
                settled.role != Endpoint.role,
                settled.agency_id.is_distinct_from(Assignment.agency_id),
            ),
        )
        .limit(1)
    )
    return session.scalar(query) is not None


def settle(session: Session, now: datetime) -> int:
    """Work out what every machine shall have, and give a number to those for whom that changed. Return how many.

    Needs a write transaction. The number is the newest publication's; a machine that has that one already, and comes to
    other groups, gets one of its own.
    """
    by_group = layers(session)
    newest = newest_number(session)
    known = {row.endpoint_id: row for row in session.scalars(select(EndpointSettings))}
    again: list[EndpointSettings] = []
    changed = 0
    for member in members(session, EVERYTHING):
        row = known.get(member.endpoint_id)
        if row is None:
            row = EndpointSettings(
                endpoint_id=member.endpoint_id,
                number=0,
                agency_id=member.agency_id,
                role=member.role,
                settings={},
                settled_at=now,
            )
            session.add(row)
        if _settle(row, member, by_group, now):
            changed += 1
            if row.number < newest:
                row.number = newest
            else:
                again.append(row)
    if again:
        used = SettingsPublication(
            published_at=now,
            published_by=_SYSTEM,
            comment="",
            group=MOVED,
            key="",
            before={},
            after={},
            reverts_to=None,
            machines=len(again),
        )
        session.add(used)
        session.flush()
        for row in again:
            row.number = used.number
    session.flush()
    return changed


def _settle(row: EndpointSettings, member: Member, by_group: dict[Group, Layer], now: datetime) -> bool:
    if row.role != member.role:
        row.role = member.role
    if row.agency_id != member.agency_id:
        row.agency_id = member.agency_id
    wanted = as_json(effective(member, by_group).settings)
    if wanted == row.settings:
        return False
    row.settings, row.settled_at = wanted, now
    return True
