"""Acts on pairs of records by itself: who speaks, who does not, who is out of service.

Only what changes now is looked for, so that pairs which wait for people, however many, cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, or_

from collector.identity.links import (
    AUTOMATICALLY,
    NEWER,
    NEWER_RETIRED,
    OLDER,
    REPORTED_AGAIN,
    decide,
    linkable,
    note,
    pairs,
    reports,
)
from collector.state.tables import MachineLink

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from collector.state.tables import Endpoint

#: What people are shown only as long as the older one is silent.
_WEAK: Final = ("disk_moved", "replaced", "parts_shared")
_AT_ONCE: Final = 200


def anything_due(session: Session, now: datetime, link_after: timedelta | None) -> bool:
    """Whether :func:`follow_pairs` has something to do."""
    return session.execute(_due(now, link_after).limit(1)).first() is not None


def follow_pairs(session: Session, now: datetime, link_after: timedelta | None) -> None:
    """Act on what has happened since, at most 200 times. ``link_after``: how long the older record must have been
    silent to be linked without anybody; ``None``: never."""
    for link, older, newer in session.execute(_due(now, link_after).limit(_AT_ONCE)).all():
        if link.state == "linked":
            seen, since = older.last_seen_at, link.decided_at
            spoke = seen is not None and since is not None and seen > since
            decide(session, link, "undone", AUTOMATICALLY, now, REPORTED_AGAIN if spoke else NEWER_RETIRED)
            note(session, "returned" if spoke else "unlinked", link, older, newer, now)
        elif not reports(older, newer):
            decide(session, link, "linked", AUTOMATICALLY, now, "")
            note(session, "linked", link, older, newer, now)
        elif link.kind in _WEAK:
            session.delete(link)
        else:
            link.conflict = True
            note(session, "same_evidence", link, older, newer, now)
    session.flush()


def _due(now: datetime, link_after: timedelta | None) -> Select[MachineLink, Endpoint, Endpoint]:
    """Links whose older record reports again or whose newer one is gone; pairs that both report; and those to link."""
    over = and_(
        MachineLink.state == "linked",
        or_(OLDER.last_seen_at > MachineLink.decided_at, NEWER.retired_at.is_not(None)),
    )
    both = and_(
        MachineLink.state == "proposed",
        OLDER.last_seen_at > NEWER.enrolled_at,
        or_(MachineLink.conflict.is_(False), MachineLink.kind.in_(_WEAK)),
    )
    found = [over, both]
    if link_after is not None:
        until = now - link_after
        found.append(
            and_(
                linkable(OLDER, NEWER),
                OLDER.retired_at.is_(None),
                NEWER.enrolled_at <= until,
                or_(
                    OLDER.last_seen_at <= until,
                    and_(OLDER.last_seen_at.is_(None), OLDER.enrolled_at <= until),
                ),
            )
        )
    return pairs().where(or_(*found)).order_by(MachineLink.id)
