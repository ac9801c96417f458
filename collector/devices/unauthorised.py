"""Devices that stand on a LAN without an agent and without anybody's approval: told once each, by the clock.

New ones are, when nobody approved them in time; approved ones, when the approval is over; cards of endpoints that no
longer look after them. What stood on a network when it was first looked at (``Device.baseline``) is listed, not told.
Of an agency's so many a day are told singly, cards made up by software last, and then that there are more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, exists, func, or_, select, update

from collector.detect.step import Record
from collector.detect.values import event_id, moment
from collector.devices.approvals import holds
from collector.devices.bounds import DAY
from collector.devices.macs import MADE_UP
from collector.devices.standing import PRESENT, managed
from collector.state.tables import (
    Agency,
    Assignment,
    Device,
    DeviceApproval,
    DeviceCensus,
    Endpoint,
    EndpointMac,
)
from rules.engine import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from collector.detect.ports import EventStore
    from collector.detect.step import Step
    from collector.settings import Coverage

_EVERY_SECONDS: Final = 30.0
#: No more in one look; the next finds the rest.
_MOST: Final = 200
#: Of one agency so many within a day; that there are more is told once.
MOST_A_DAY: Final = 50


@dataclass(frozen=True)
class Found:
    """What one look found; ``devices`` are rows with all that their events say, ``many`` the agencies with more than
    are told, and ``well`` devices that were told and are looked after now."""

    now: float
    devices: list[dict[str, Any]]
    many: list[dict[str, Any]] = field(default_factory=list)
    well: list[int] = field(default_factory=list)


class UnauthorisedLook:
    """Fits ``collector.detect.ports.SelfWatch``. ``now``: the wall clock."""

    def __init__(self, settings: Coverage, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._next = monotonic()

    def due(self) -> bool:
        return monotonic() >= self._next

    def look(self, session: Session, store: EventStore) -> Found:  # noqa: ARG002 - the protocol's
        self._next = monotonic() + _EVERY_SECONDS
        now = self._now()
        at = moment(now)
        told = _told_today(session, at)
        done = [agency_id for agency_id, count in told.items() if count >= MOST_A_DAY]
        return Found(
            now,
            find(session, self._settings, at, told),
            _many(session, self._settings, at, done),
            _well(session, at),
        )

    def tell(self, step: Step, look: Found, log_offset: int) -> None:
        for row in look.devices:
            made = event_id("device_unauthorised", row["id"], row["since"])
            self._event(step, look, log_offset, "device_unauthorised", made, row)
        for row in look.many:
            made = event_id("devices_unauthorised_many", row["agency"]["id"], int(look.now))
            self._event(step, look, log_offset, "devices_unauthorised_many", made, row)

    @staticmethod
    def _event(step: Step, look: Found, log_offset: int, action: str, made: str, row: dict[str, Any]) -> None:
        body = {
            "device": row["device"],
            "agency": row["agency"],
            "simulated": row["simulated"],
            "changed": [],
            "event": {"id": made, "action": action},
        }
        event = Event(made, look.now, "vonggac", "device", "", body)
        agency: int = row["agency"]["id"]
        step.events.append(Record(event, "", agency, row["simulated"], look.now, log_offset))

    def write(self, session: Session, look: Found) -> None:
        at = moment(look.now)
        ids = [row["id"] for row in look.devices]
        if ids:
            session.execute(update(Device).where(Device.id.in_(ids)).values(unauthorised_at=at))
        if look.well:
            session.execute(update(Device).where(Device.id.in_(look.well)).values(unauthorised_at=None))
        if agencies := [row["agency"]["id"] for row in look.many]:
            theirs = update(DeviceCensus).where(DeviceCensus.agency_id.in_(agencies))
            session.execute(theirs.values(many_unauthorised_at=at))

    def done(self, look: Found) -> None:
        """Nothing is held in memory."""


def find(
    session: Session, settings: Coverage, now: datetime, told: dict[int, int] | None = None
) -> list[dict[str, Any]]:
    """Those that were not told of yet. ``told``: how many of each agency were told within the last day."""
    left = {agency_id: MOST_A_DAY - count for agency_id, count in (told or {}).items()}
    over = _approval_over()
    query = (
        select(Device, Agency, over)
        .join(Agency, Agency.id == Device.agency_id)
        .where(
            _wanted(settings, now),
            Device.agency_id.not_in([each for each, rest in left.items() if rest <= 0]),
        )
        .order_by(func.substr(Device.mac, 2, 1).in_(MADE_UP), Device.id)
        .limit(_MOST)
    )
    found: list[dict[str, Any]] = []
    for device, agency, approved_until in session.execute(query):
        rest = left.get(agency.id, MOST_A_DAY)
        if rest > 0:
            left[agency.id] = rest - 1
            found.append(_row(device, agency, approved_until))
    return found


def _approval_over() -> Any:
    """When the last approval of a device was over, or will be."""
    ended = func.coalesce(DeviceApproval.ended_at, DeviceApproval.expires_at)
    return select(func.max(ended)).where(_its_approval()).correlate(Device).scalar_subquery()


def _its_approval() -> ColumnElement[bool]:
    return and_(DeviceApproval.agency_id == Device.agency_id, DeviceApproval.mac == Device.mac)


def _wanted(settings: Coverage, now: datetime) -> ColumnElement[bool]:
    """Of a device: nobody looks after it, nobody approved it, and it was not told of yet. A gateway is no exception:
    it is one by the word of one endpoint. What stands as a machine of another agency since it was last seen, or since
    less than the time that a new device is given, is none of it: agencies merge, and their probes follow."""
    grace = timedelta(hours=settings.unauthorised_after_hours)
    was_approved = exists().where(_its_approval()).correlate(Device)
    stood_there = and_(Device.baseline, Device.endpoint_id.is_(None))
    return and_(
        Device.unauthorised_at.is_(None),
        Device.last_seen_at >= now - PRESENT,
        or_(was_approved, and_(~stood_there, Device.first_seen_at <= now - grace)),
        ~managed(now),
        ~_moved(now - grace),
        ~exists().where(_its_approval(), holds(now)).correlate(Device),
    )


def _moved(since: datetime) -> ColumnElement[bool]:
    """Of a device: an endpoint with this card is another agency's now, and was this one's when the card was last seen,
    or later than ``since``."""
    return exists().where(
        EndpointMac.mac == Device.mac,
        Assignment.endpoint_id == EndpointMac.endpoint_id,
        Assignment.agency_id == Device.agency_id,
        or_(Assignment.valid_to >= Device.last_seen_at, Assignment.valid_to >= since),
        Endpoint.id == EndpointMac.endpoint_id,
        Endpoint.retired_at.is_(None),
    )


def _told_today(session: Session, now: datetime) -> dict[int, int]:
    query = select(Device.agency_id, func.count()).where(Device.unauthorised_at > now - DAY)
    return dict(session.execute(query.group_by(Device.agency_id)).all())


def _many(session: Session, settings: Coverage, now: datetime, agencies: list[int]) -> list[dict[str, Any]]:
    """Of ``agencies``, of which no more are told today, those with more, unless that was told within a day."""
    if not agencies:
        return []
    quiet = or_(DeviceCensus.many_unauthorised_at.is_(None), DeviceCensus.many_unauthorised_at <= now - DAY)
    counted = (
        select(Device.agency_id, func.count().label("waiting"))
        .join(DeviceCensus, DeviceCensus.agency_id == Device.agency_id)
        .where(Device.agency_id.in_(agencies), quiet, _wanted(settings, now))
        .group_by(Device.agency_id)
        .subquery()
    )
    query = select(Agency, counted.c.waiting).join(counted, counted.c.agency_id == Agency.id)
    return [
        {"device": {"count": waiting}, "agency": _about(agency), "simulated": False}
        for agency, waiting in session.execute(query)
    ]


def _well(session: Session, now: datetime) -> list[int]:
    """Devices that were told and that an endpoint looks after now: should it cease to, they are news again."""
    query = select(Device.id).where(
        Device.unauthorised_at.is_not(None), Device.endpoint_id.is_not(None), managed(now)
    )
    return list(session.scalars(query.limit(_MOST)))


def _about(agency: Agency) -> dict[str, Any]:
    return {"id": agency.id, "code": agency.code, "name": agency.name}


def _row(device: Device, agency: Agency, approved_until: datetime | None) -> dict[str, Any]:
    since = device.first_seen_at if approved_until is None else approved_until
    said = {
        "mac": device.mac,
        "ip": device.ip,
        "vendor": device.vendor,
        "name": device.name,
        "kind": device.assigned_kind,
        "switch": device.switch,
        "port": device.port,
        "first_seen": device.first_seen_at.timestamp(),
        "last_seen": device.last_seen_at.timestamp(),
        "managed": False,
        "approval": "none" if approved_until is None else "over",
    }
    return {
        "id": device.id,
        "since": int(since.timestamp()),
        "device": said,
        "agency": _about(agency),
        "simulated": device.simulated,
    }
