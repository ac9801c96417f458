"""How many devices an agency may have, and how many new ones are told singly: a flood of made-up cards is told once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from collector.state.tables import Device, DeviceCensus
from collector.state.upsert import upsert

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

#: An agency has no more devices than this; a hostile agent cannot fill the store.
MOST_DEVICES: Final = 100_000
#: New devices of an agency, which are not of its baseline, that are told singly within a day.
MOST_NEW: Final = 100
DAY: Final = timedelta(days=1)


@dataclass
class Room:
    """An agency's devices as a whole, in one step. ``known``: how many there are, ``fresh``: how many of them came
    within the last day and are not of the baseline, ``since``: when the first was seen."""

    known: int
    fresh: int
    since: datetime | None
    full_at: datetime | None = None
    many_at: datetime | None = None
    changed: bool = False

    @classmethod
    def read(cls, session: Session, agency_id: int, now: datetime) -> Room:
        mine = select(func.count()).select_from(Device).where(Device.agency_id == agency_id)
        fresh = mine.where(Device.first_seen_at > now - DAY, Device.baseline.is_(False))
        room = cls(session.scalar(mine) or 0, session.scalar(fresh) or 0, None)
        if (census := session.get(DeviceCensus, agency_id)) is not None:
            room.since, room.full_at, room.many_at = census.since, census.full_at, census.many_at
        elif room.known:
            first = select(func.min(Device.first_seen_at)).where(Device.agency_id == agency_id)
            room.since, room.changed = session.scalar(first), True
        return room

    def since_at(self, now: datetime) -> datetime:
        """When the agency's first device was seen: ``now`` where there was none."""
        if self.since is None:
            self.since, self.changed = now, True
        return self.since

    def took(self, *, fresh: bool) -> None:
        """Count a new device."""
        self.known += 1
        self.fresh += fresh

    def tell_full(self, now: datetime) -> bool:
        """Whether to tell now that there is no room for more."""
        if self.full_at is not None and now - self.full_at < DAY:
            return False
        self.since_at(now)
        self.full_at, self.changed = now, True
        return True

    def tell_many(self, now: datetime) -> bool:
        """Whether to tell now that more are new than are told singly."""
        if self.many_at is not None and now - self.many_at < DAY:
            return False
        self.since_at(now)
        self.many_at, self.changed = now, True
        return True

    def write(self, session: Session, agency_id: int) -> None:
        """In the caller's write transaction."""
        if self.changed:
            row = {
                "agency_id": agency_id,
                "since": self.since,
                "full_at": self.full_at,
                "many_at": self.many_at,
            }
            upsert(session, DeviceCensus, [row], ("agency_id",))
