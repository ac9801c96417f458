"""Writes down what each machine shall have, with a number that only grows for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, insert, or_, select, update

from collector.state.scope import EVERYTHING
from collector.state.tables import Assignment, Endpoint, EndpointSettings, SettingsPublication
from collector.steering.settings.groups import Reckoning, layers, members

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


MOVED: Final = "moved"
_SYSTEM: Final = "vonggac"
_NOTHING: Final[dict[str, Any]] = {}


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
    reckoning = Reckoning(layers(session))
    newest = newest_number(session)
    known = {row.endpoint_id: row for row in session.execute(select(EndpointSettings.__table__))}
    rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    changed: list[dict[str, Any]] = []
    again: list[dict[str, Any]] = []
    for member in members(session, EVERYTHING):
        old = known.get(member.endpoint_id)
        number, settings = (0, _NOTHING) if old is None else (old.number, old.settings)
        wanted = reckoning.of(member).json
        news = wanted != settings
        if old is not None and not news and (old.role, old.agency_id) == (member.role, member.agency_id):
            continue
        row = {
            "endpoint_id": member.endpoint_id,
            "number": newest if news and number < newest else number,
            "agency_id": member.agency_id,
            "role": member.role,
            "settings": wanted,
            "settled_at": now if old is None or news else old.settled_at,
        }
        rows[old is None].append(row)
        if news:
            changed.append(row)
            if number >= newest:
                again.append(row)
    if again:
        number = _moved(session, len(again), now)
        for row in again:
            row["number"] = number
    if rows[True]:
        session.execute(insert(EndpointSettings), rows[True])
    if rows[False]:
        session.execute(update(EndpointSettings), rows[False])
    session.expire_all()
    return len(changed)


def _moved(session: Session, machines: int, now: datetime) -> int:
    used = SettingsPublication(
        published_at=now,
        published_by=_SYSTEM,
        comment="",
        group=MOVED,
        key="",
        before={},
        after={},
        reverts_to=None,
        machines=machines,
    )
    session.add(used)
    session.flush()
    return used.number
