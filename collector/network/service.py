"""Network devices as lists, pages and the map need them, and their rows as the worker writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, or_, select

from collector.devices.sightings import neighbours_of
from collector.errors import NotFoundError
from collector.network.reading import ADDRESSES, ARP, DEVICE, Device, Entry, read_device, read_entries
from collector.network.topology import Topology, topology_of
from collector.state.tables import Agency, Assignment, Document, Endpoint, NetworkDevice
from collector.state.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from collector.documents.service import Stored
    from collector.state.scope import Scope

#: A map shows no more devices than these.
MAX_ON_MAP: Final = 300


@dataclass(frozen=True)
class Filters:
    """``reachable`` None: both. ``simulated``: whose probes count, real ones or simulated ones."""

    agency_id: int | None = None
    reachable: bool | None = None
    kind: str = ""
    text: str = ""
    simulated: frozenset[bool] = frozenset({False})


@dataclass(frozen=True)
class Shown:
    """One device with everything that is known of it; ``entries`` of its forwarding table, ``arp`` its ARP table."""

    row: NetworkDevice
    agency: Agency
    probe: str
    device: Device
    entries: list[Entry]
    arp: list[tuple[str, str]]
    changed_at: datetime


def write_devices(
    session: Session, changed: Mapping[tuple[str, str, str], Stored | None], existing: Collection[str]
) -> None:
    """Follow what a step put or removed, in its transaction."""
    rows = []
    for (endpoint_id, kind, item), stored in changed.items():
        if kind != DEVICE or endpoint_id not in existing:
            continue
        if stored is None:
            session.execute(
                delete(NetworkDevice).where(
                    NetworkDevice.endpoint_id == endpoint_id, NetworkDevice.item == item
                )
            )
        else:
            rows.append(_row(endpoint_id, item, stored))
    upsert(session, NetworkDevice, rows, ("endpoint_id", "item"))


def list_devices(
    session: Session, scope: Scope, filters: Filters, *, offset: int, limit: int
) -> tuple[list[tuple[NetworkDevice, Agency]], int]:
    """One page, those that do not answer first, and how many there are in all."""
    query = _within(scope, filters)
    total = session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    query = query.order_by(NetworkDevice.reachable, Agency.code, NetworkDevice.item, NetworkDevice.id)
    return [(row, agency) for row, agency in session.execute(query.offset(offset).limit(limit))], total


def get_device(session: Session, scope: Scope, device_id: int) -> Shown:
    """Raise :class:`NotFoundError` where there is none within reach."""
    query = _within(scope, Filters(simulated=frozenset({False, True}))).where(NetworkDevice.id == device_id)
    found = session.execute(query).one_or_none()
    if found is None:
        raise NotFoundError("no such network device")
    row, agency = found
    documents = _documents(session, [row])
    stored = documents.get((row.endpoint_id, DEVICE, row.item))
    if stored is None:
        raise NotFoundError("no such network device")
    arp = documents.get((row.endpoint_id, ARP, row.item))
    addresses = documents.get((row.endpoint_id, ADDRESSES, row.item))
    return Shown(
        row,
        agency,
        session.scalar(select(Endpoint.hostname).where(Endpoint.id == row.endpoint_id)) or "",
        read_device(row.item, stored.body),
        read_entries(None if addresses is None else addresses.body),
        _arp(None if arp is None else arp.body),
        stored.changed_at,
    )


def map_of(
    session: Session, scope: Scope, agency_id: int, *, simulated: frozenset[bool] = frozenset({False})
) -> Topology:
    """How an agency's network devices are joined; nodes of devices that are polled have their row's number as id. A
    device that several probes poll is there once, by its name in LLDP."""
    query = _within(scope, Filters(agency_id=agency_id, simulated=simulated))
    rows = [row for row, _ in session.execute(query.order_by(NetworkDevice.id).limit(MAX_ON_MAP))]
    documents = _documents(session, rows)
    devices: dict[str, Device] = {}
    tables: dict[str, list[Entry]] = {}
    known: set[str] = set()
    for row in rows:
        stored = documents.get((row.endpoint_id, DEVICE, row.item))
        if stored is None:
            continue
        device = read_device(row.item, stored.body)
        if device.chassis in known:
            continue
        known.update(filter(None, [device.chassis]))
        learned = documents.get((row.endpoint_id, ADDRESSES, row.item))
        devices[str(row.id)] = device
        tables[str(row.id)] = read_entries(None if learned is None else learned.body)
    return topology_of(devices, tables)


def _within(scope: Scope, filters: Filters) -> Select[NetworkDevice, Agency]:
    query = (
        select(NetworkDevice, Agency)
        .join(Endpoint, Endpoint.id == NetworkDevice.endpoint_id)
        .join(Assignment, Assignment.endpoint_id == Endpoint.id)
        .join(Agency, Agency.id == Assignment.agency_id)
        .where(
            Assignment.valid_to.is_(None),
            Endpoint.retired_at.is_(None),
            Endpoint.simulated.in_(filters.simulated),
            scope.where(Assignment.agency_id),
        )
    )
    if filters.agency_id is not None:
        query = query.where(Agency.id == filters.agency_id)
    if filters.reachable is not None:
        query = query.where(NetworkDevice.reachable.is_(filters.reachable))
    if filters.kind:
        query = query.where(NetworkDevice.kind == filters.kind)
    if filters.text:
        wanted = filters.text.lower()
        columns = (
            NetworkDevice.item,
            NetworkDevice.system_name,
            NetworkDevice.address,
            NetworkDevice.vendor,
            NetworkDevice.model,
            NetworkDevice.serial_number,
            NetworkDevice.firmware,
        )
        query = query.where(
            or_(*(func.lower(column).contains(wanted, autoescape=True) for column in columns))
        )
    return query


def _documents(session: Session, rows: Collection[NetworkDevice]) -> dict[tuple[str, str, str], Document]:
    found = {}
    for endpoint_id in sorted({row.endpoint_id for row in rows}):
        items = sorted({row.item for row in rows if row.endpoint_id == endpoint_id})
        query = select(Document).where(
            Document.endpoint_id == endpoint_id,
            Document.kind.in_((DEVICE, ADDRESSES, ARP)),
            Document.item.in_(items),
        )
        for document in session.scalars(query):
            found[endpoint_id, document.kind, document.item] = document
    return found


def _row(endpoint_id: str, item: str, stored: Stored) -> dict[str, Any]:
    device = read_device(item, stored.body)
    wanted = [each for each in device.interfaces if each.admin != "down"]
    return {
        "endpoint_id": endpoint_id,
        "item": item,
        "address": device.address,
        "system_name": device.system_name,
        "kind": device.kind[:32],
        "vendor": device.vendor,
        "model": device.model or device.product,
        "serial_number": device.serial_number,
        "firmware": device.firmware,
        "reachable": device.reachable,
        "reason": device.reason,
        "interfaces": len(wanted),
        "interfaces_up": sum(each.status == "up" for each in wanted),
        "changed_at": stored.changed_at,
    }


def _arp(body: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    return [] if body is None else sorted((each.ip, each.mac) for each in neighbours_of(body))
