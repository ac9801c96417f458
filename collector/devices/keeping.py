"""What the clock does to devices: those in present tables stay, those that nobody saw for long go, and where an agency
has hardly any room left, those that say least go first."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, exists, func, or_, select, update

from collector.devices.approvals import holds
from collector.devices.bounds import MOST_DEVICES
from collector.devices.macs import MADE_UP
from collector.devices.sightings import neighbours_of
from collector.network.reading import ARP
from collector.state.tables import (
    Assignment,
    Device,
    DeviceApproval,
    DeviceCensus,
    Document,
    Endpoint,
    IpBinding,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.orm import Session

#: Where an agency has more than the first share of what it may have, so many go that the second is left.
_CROWDED, _RELIEVED = 0.9, 0.8
#: What was seen this lately is not taken for gone.
_LATELY: Final = timedelta(hours=1)
#: Who tells of a probe's LAN: its health says whether the table is today's.
_PART: Final = {"neighbours": "lan_devices", ARP: "snmp_devices"}
_CHUNK: Final = 500


def refresh(
    session: Session, now: datetime, within: timedelta, agencies: Collection[int] | None = None
) -> int:
    """Devices in the present neighbour table of an endpoint that reported ``within`` are still there; of these
    ``agencies``, where not of all.

    Unchanged tables are not sent again, so without this a quiet LAN would be forgotten. A table whose source fails is
    nobody's word. Returns how many devices.
    """
    failing = _failing(session)
    query = (
        select(
            Document.endpoint_id,
            Document.kind,
            Document.item,
            Document.body,
            Assignment.agency_id,
            Endpoint.last_seen_at,
        )
        .join(Endpoint, Endpoint.id == Document.endpoint_id)
        .join(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
        .where(Document.kind.in_(("neighbours", ARP)), Endpoint.last_seen_at >= now - within)
    )
    devices = select(Device.id, Device.agency_id, Device.mac, Device.last_seen_at)
    if agencies is not None:
        query = query.where(Assignment.agency_id.in_(agencies))
        devices = devices.where(Device.agency_id.in_(agencies))
    latest: dict[tuple[int, str], datetime] = {}
    for endpoint_id, kind, item, body, agency_id, seen in session.execute(query):
        if (endpoint_id, _PART[kind] if item else kind) in failing:
            continue
        for sighting in neighbours_of(body):
            key = (agency_id, sighting.mac)
            latest[key] = max(seen, latest.get(key, seen))
    rows: list[dict[str, Any]] = []
    for device_id, agency_id, mac, last in session.execute(devices):
        seen = latest.get((agency_id, mac))
        if seen is not None and seen > last:
            rows.append({"id": device_id, "last_seen_at": seen})
    if rows:
        session.execute(update(Device), rows)
    return len(rows)


def _failing(session: Session) -> set[tuple[str, str]]:
    """Endpoints and those of their sources of tables that say that they fail."""
    sources = ("neighbours", *_PART.values())
    query = select(Document.endpoint_id, Document.item, Document.body).where(
        Document.kind == "collector_health", Document.item.in_(sources)
    )
    return {(each, item) for each, item, body in session.execute(query) if body.get("ok") is False}


def forget(session: Session, now: datetime, after: timedelta) -> int:
    """Remove devices and bound addresses that nobody saw for longer than ``after``; how many devices.

    Cards that change their MAC and addresses that change by the day would fill an agency's room otherwise, and
    then nothing new would be told there. What is known of gateways stays: their tables change seldom.
    """
    gateway = select(Device.id).where(
        Device.agency_id == IpBinding.agency_id, Device.mac == IpBinding.mac, Device.kind == "gateway"
    )
    session.execute(delete(IpBinding).where(IpBinding.last_seen_at < now - after, ~gateway.exists()))
    removed = session.execute(
        delete(Device).where(Device.last_seen_at < now - after, Device.kind != "gateway").returning(Device.id)
    ).all()
    return len(removed)


def crowded(session: Session, most: int = MOST_DEVICES) -> dict[int, int]:
    """Agencies that have hardly any room for more devices, with how many are to go."""
    query = select(Device.agency_id, func.count()).group_by(Device.agency_id)
    counts = session.execute(query.having(func.count() > most * _CROWDED))
    return {agency_id: count - int(most * _RELIEVED) for agency_id, count in counts}


def make_room(session: Session, now: datetime, most: int = MOST_DEVICES) -> int:
    """Forget, where an agency is crowded, what says least and is not there now: cards made up by software before
    others, of them those without an address first, then those that were seen once. What an endpoint has, a person named
    or approved, and gateways stay. Returns how many went."""
    total = 0
    for agency_id, spare in crowded(session, most).items():
        approved = exists().where(
            DeviceApproval.agency_id == Device.agency_id, DeviceApproval.mac == Device.mac, holds(now)
        )
        query = (
            select(Device.id)
            .where(
                Device.agency_id == agency_id,
                Device.endpoint_id.is_(None),
                Device.assigned_kind == "",
                Device.kind != "gateway",
                Device.last_seen_at < now - _LATELY,
                ~approved,
            )
            .order_by(
                func.substr(Device.mac, 2, 1).not_in(MADE_UP),
                Device.ip != "",
                or_(Device.baseline, Device.last_seen_at > Device.first_seen_at),
                Device.last_seen_at,
            )
            .limit(spare)
        )
        ids = session.scalars(query).all()
        for start in range(0, len(ids), _CHUNK):
            session.execute(delete(Device).where(Device.id.in_(ids[start : start + _CHUNK])))
        if ids:
            relieved = update(DeviceCensus).where(DeviceCensus.agency_id == agency_id)
            session.execute(relieved.values(full_at=None))
        total += len(ids)
    return total
