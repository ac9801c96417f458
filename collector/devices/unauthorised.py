"""Devices that stand on a LAN without an agent and without anybody's approval: told once each, by the clock.

New ones are, when nobody approved them in time; approved ones, when the approval is over. What an agency had before it
was watched (its baseline) is listed, not told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, func, or_, select, update

from collector.detect.step import Record
from collector.detect.values import event_id, moment
from collector.devices.approvals import holds
from collector.state.tables import Agency, Device, DeviceApproval
from rules.engine import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.detect.ports import EventStore
    from collector.detect.step import Step
    from collector.settings import Coverage

_EVERY_SECONDS: Final = 30.0
#: One that was not seen for longer is gone, and no news.
_PRESENT: Final = timedelta(days=1)
#: No more in one look; the next finds the rest.
_MOST: Final = 200


@dataclass(frozen=True)
class Found:
    """What one look found; ``devices`` are rows with all that their events say."""

    now: float
    devices: list[dict[str, Any]]


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
        return Found(now, find(session, self._settings, moment(now)))

    def tell(self, step: Step, look: Found, log_offset: int) -> None:
        for row in look.devices:
            made = event_id("device_unauthorised", row["id"], row["since"])
            body = {
                "device": row["device"],
                "agency": row["agency"],
                "simulated": row["simulated"],
                "changed": [],
                "event": {"id": made, "action": "device_unauthorised"},
            }
            event = Event(made, look.now, "vonggac", "device", "", body)
            agency: int = row["agency"]["id"]
            step.events.append(Record(event, "", agency, row["simulated"], look.now, log_offset))

    def write(self, session: Session, look: Found) -> None:
        ids = [row["id"] for row in look.devices]
        if ids:
            told = update(Device).where(Device.id.in_(ids)).values(unauthorised_at=moment(look.now))
            session.execute(told)

    def done(self, look: Found) -> None:
        """Nothing is held in memory."""


def find(session: Session, settings: Coverage, now: datetime) -> list[dict[str, Any]]:
    """Those that were not told of yet."""
    baseline = timedelta(hours=settings.device_baseline_hours)
    grace = timedelta(hours=settings.unauthorised_after_hours)
    same = (DeviceApproval.agency_id == Device.agency_id) & (DeviceApproval.mac == Device.mac)
    ended = func.coalesce(DeviceApproval.ended_at, DeviceApproval.expires_at)
    over = select(func.max(ended)).where(same).correlate(Device).scalar_subquery()
    query = (
        select(Device, Agency, over)
        .join(Agency, Agency.id == Device.agency_id)
        .where(
            Device.endpoint_id.is_(None),
            Device.kind != "gateway",
            Device.unauthorised_at.is_(None),
            Device.last_seen_at >= now - _PRESENT,
            ~exists().where(same, holds(now)).correlate(Device),
            or_(over.is_not(None), Device.first_seen_at <= now - grace),
        )
        .order_by(Device.id)
    )
    oldest = select(Device.agency_id, func.min(Device.first_seen_at)).group_by(Device.agency_id)
    first: dict[int, datetime] = dict(session.execute(oldest).all())
    found: list[dict[str, Any]] = []
    rows: Iterable[Any] = session.execute(query)
    for device, agency, approved_until in rows:
        if approved_until is None and device.first_seen_at < first[agency.id] + baseline:
            continue
        found.append(_row(device, agency, approved_until))
        if len(found) >= _MOST:
            break
    return found


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
        "agency": {"id": agency.id, "code": agency.code, "name": agency.name},
        "simulated": device.simulated,
    }
