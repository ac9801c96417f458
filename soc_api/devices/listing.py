"""Reads devices within a scope: lists with filters, and one with its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from collector.devices.approvals import holds
from collector.devices.macs import is_locally_administered, parse_mac
from collector.devices.standing import PRESENT, managed
from collector.errors import NotFoundError
from collector.state.tables import Agency, Alert, Assignment, Device, DeviceAddress, DeviceApproval, Endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from collector.state.scope import Scope

#: Where a device stands; each is in exactly one. ``network``: a default gateway.
STANDINGS: Final = ("unmanaged", "approved", "managed", "network", "gone")
_MOST_ALERTS: Final = 50
_MOST_APPROVALS: Final = 50
_WATCHER = aliased(Endpoint)


@dataclass(frozen=True, slots=True)
class Filters:
    """``text``: part of a MAC, an address, a name, a vendor, a switch or a port; None leaves a filter out."""

    agency_id: int | None = None
    standing: str | None = None
    kind: str | None = None
    text: str = ""
    simulated: bool | None = None


@dataclass(frozen=True, slots=True)
class DeviceLine:
    """A device with whose it is. Names, ports and switches are as they say of themselves: hostile."""

    id: int
    agency_code: str
    agency: str
    mac: str
    ip: str
    name: str
    vendor: str
    locally_administered: bool
    kind: str
    switch: str
    port: str
    standing: str
    endpoint_id: str
    hostname: str
    seen_by: str
    approved_until: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime
    simulated: bool


@dataclass(frozen=True, slots=True)
class Whole:
    """A device with what is remembered of it, the newest first; ``how``: ways in which it was seen."""

    line: DeviceLine
    names: list[str]
    how: list[str]
    vendor_class: str
    placed_at: datetime | None
    unauthorised_at: datetime | None
    addresses: Sequence[DeviceAddress]
    approvals: Sequence[DeviceApproval]
    alerts: Sequence[Alert]


def list_devices(
    session: Session, scope: Scope, filters: Filters, now: datetime, *, offset: int = 0, limit: int = 50
) -> tuple[list[DeviceLine], int]:
    """Those that came last first, and how many there are in all."""
    conditions = _conditions(scope, filters)
    if filters.standing is not None:
        conditions.append(_standings(now)[filters.standing])
    total = session.scalar(select(func.count()).select_from(Device).where(*conditions)) or 0
    query = _query(now).where(*conditions).order_by(Device.first_seen_at.desc(), Device.id.desc())
    rows = session.execute(query.offset(offset).limit(limit)).all()
    until = _approved_until(session, [row[0] for row in rows], now)
    shown = _shown(session, scope, [row[0] for row in rows])
    return [_line(*row, until, shown, now) for row in rows], total


def count_by_standing(session: Session, scope: Scope, filters: Filters, now: datetime) -> dict[str, int]:
    """How many there are of each standing with the other filters."""
    conditions = _conditions(scope, filters)
    counted = select(func.count()).select_from(Device).where(*conditions)
    return {
        standing: session.scalar(counted.where(condition)) or 0
        for standing, condition in _standings(now).items()
    }


def get_device(session: Session, scope: Scope, device_id: int, now: datetime) -> Whole:
    """Raise :class:`NotFoundError` where there is none within ``scope``."""
    row = session.execute(_query(now).where(Device.id == device_id, scope.where(Device.agency_id))).first()
    if row is None:
        raise NotFoundError(f"there is no device {device_id}")
    device = row[0]
    facts = device.facts if isinstance(device.facts, dict) else {}
    addresses = select(DeviceAddress).where(DeviceAddress.device_id == device_id)
    approvals = select(DeviceApproval).where(
        DeviceApproval.agency_id == device.agency_id, DeviceApproval.mac == device.mac
    )
    alerts = select(Alert).where(
        Alert.agency_id == device.agency_id, Alert.subject.icontains(device.mac, autoescape=True)
    )
    return Whole(
        line=_line(*row, _approved_until(session, [device], now), _shown(session, scope, [device]), now),
        names=list(facts.get("names", ())),
        how=list(facts.get("how", ())),
        vendor_class=str(facts.get("vendor_class", "")),
        placed_at=device.placed_at,
        unauthorised_at=device.unauthorised_at,
        addresses=session.scalars(
            addresses.order_by(DeviceAddress.last_seen_at.desc(), DeviceAddress.ip)
        ).all(),
        approvals=session.scalars(approvals.order_by(DeviceApproval.id.desc()).limit(_MOST_APPROVALS)).all(),
        alerts=session.scalars(alerts.order_by(Alert.id.desc()).limit(_MOST_ALERTS)).all(),
    )


def _query(now: datetime) -> Select[Device, Agency, Endpoint, str, bool]:
    return (
        select(Device, Agency, Endpoint, _WATCHER.hostname, managed(now))
        .join(Agency, Agency.id == Device.agency_id)
        .outerjoin(Endpoint, Endpoint.id == Device.endpoint_id)
        .outerjoin(_WATCHER, _WATCHER.id == Device.seen_by)
    )


def _conditions(scope: Scope, filters: Filters) -> list[ColumnElement[bool]]:
    found = [scope.where(Device.agency_id)]
    if filters.agency_id is not None:
        found.append(Device.agency_id == filters.agency_id)
    if filters.simulated is not None:
        found.append(Device.simulated.is_(filters.simulated))
    if filters.kind is not None:
        found.append(Device.assigned_kind == filters.kind)
    if filters.text:
        mac = parse_mac(filters.text)
        columns = (Device.mac, Device.ip, Device.name, Device.vendor, Device.switch, Device.port)
        wanted = [column.icontains(mac or filters.text, autoescape=True) for column in columns]
        had = exists().where(
            DeviceAddress.device_id == Device.id, DeviceAddress.ip == filters.text.casefold()
        )
        found.append(or_(*wanted, had))
    return found


def _standings(now: datetime) -> dict[str, ColumnElement[bool]]:
    approved = exists().where(
        DeviceApproval.agency_id == Device.agency_id, DeviceApproval.mac == Device.mac, holds(now)
    )
    alone, here = ~managed(now), Device.last_seen_at >= now - PRESENT
    gateway = Device.kind == "gateway"
    return {
        "unmanaged": and_(alone, here, ~gateway, ~approved),
        "approved": and_(alone, here, ~gateway, approved),
        "managed": and_(~alone, here),
        "network": and_(alone, here, gateway),
        "gone": ~here,
    }


def _approved_until(
    session: Session, devices: Sequence[Device], now: datetime
) -> dict[tuple[int, str], datetime]:
    query = select(DeviceApproval).where(DeviceApproval.mac.in_({each.mac for each in devices}), holds(now))
    return {(each.agency_id, each.mac): each.expires_at for each in session.scalars(query)}


def _shown(session: Session, scope: Scope, devices: Sequence[Device]) -> set[str]:
    """Endpoints of the devices that are within ``scope`` now: a card is also whose endpoint elsewhere claims it."""
    named = {each for device in devices for each in (device.endpoint_id, device.seen_by) if each}
    query = select(Assignment.endpoint_id).where(
        Assignment.endpoint_id.in_(named), Assignment.valid_to.is_(None), scope.where(Assignment.agency_id)
    )
    return set(session.scalars(query))


def _line(
    device: Device,
    agency: Agency,
    endpoint: Endpoint | None,
    watcher: str | None,
    is_managed: bool,
    until: dict[tuple[int, str], datetime],
    shown: set[str],
    now: datetime,
) -> DeviceLine:
    approved_until = until.get((device.agency_id, device.mac))
    if device.last_seen_at < now - PRESENT:
        standing = "gone"
    elif is_managed:
        standing = "managed"
    elif device.kind == "gateway":
        standing = "network"
    else:
        standing = "unmanaged" if approved_until is None else "approved"
    return DeviceLine(
        id=device.id,
        agency_code=agency.code,
        agency=agency.name,
        mac=device.mac,
        ip=device.ip,
        name=device.name,
        vendor=device.vendor,
        locally_administered=is_locally_administered(device.mac),
        kind=device.assigned_kind or device.kind,
        switch=device.switch,
        port=device.port,
        standing=standing,
        endpoint_id=endpoint.id if endpoint is not None and endpoint.id in shown else "",
        hostname=endpoint.hostname if endpoint is not None and endpoint.id in shown else "",
        seen_by=watcher if watcher and device.seen_by in shown else "",
        approved_until=approved_until,
        first_seen_at=device.first_seen_at,
        last_seen_at=device.last_seen_at,
        simulated=device.simulated,
    )
