"""Which addresses devices had: the latest few of each, with when they were first and last seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select

from collector.state.tables import Device, DeviceAddress
from collector.state.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session

#: So many addresses of a device are remembered; the ones that were not seen for longest go first.
MOST_ADDRESSES: Final = 32
_CHUNK: Final = 400


def note_addresses(
    session: Session,
    agency_id: int,
    seen: Mapping[str, Mapping[str, tuple[datetime, datetime]]],
    step: timedelta,
) -> None:
    """Write when devices had addresses. ``seen``: by MAC and address, when first and when last in this step; when
    last is written again after ``step``. In the caller's write transaction, after the devices themselves."""
    macs = sorted(seen)
    for start in range(0, len(macs), _CHUNK):
        part = macs[start : start + _CHUNK]
        found = session.execute(
            select(Device.mac, Device.id).where(Device.agency_id == agency_id, Device.mac.in_(part))
        )
        ids: dict[str, int] = dict(found.all())
        known: dict[int, dict[str, tuple[datetime, datetime]]] = {each: {} for each in ids.values()}
        query = select(
            DeviceAddress.device_id,
            DeviceAddress.ip,
            DeviceAddress.first_seen_at,
            DeviceAddress.last_seen_at,
        ).where(DeviceAddress.device_id.in_(list(known)))
        for device_id, ip, first, last in session.execute(query):
            known[device_id][ip] = (first, last)
        rows: list[dict[str, Any]] = []
        for mac, device_id in ids.items():
            rows += _changes(session, device_id, known[device_id], seen[mac], step)
        upsert(session, DeviceAddress, rows, ("device_id", "ip"))


def _changes(
    session: Session,
    device_id: int,
    known: dict[str, tuple[datetime, datetime]],
    seen: Mapping[str, tuple[datetime, datetime]],
    step: timedelta,
) -> list[dict[str, Any]]:
    merged = dict(known)
    for ip, (first, last) in seen.items():
        before = known.get(ip)
        if before is None or last - before[1] >= step:
            merged[ip] = (first, last) if before is None else (before[0], last)
    kept = sorted(merged, key=lambda ip: merged[ip][1], reverse=True)[:MOST_ADDRESSES]
    gone = known.keys() - set(kept)
    if gone:
        session.execute(
            delete(DeviceAddress).where(
                DeviceAddress.device_id == device_id, DeviceAddress.ip.in_(sorted(gone))
            )
        )
    return [
        {"device_id": device_id, "ip": ip, "first_seen_at": merged[ip][0], "last_seen_at": merged[ip][1]}
        for ip in kept
        if known.get(ip) != merged[ip]
    ]
