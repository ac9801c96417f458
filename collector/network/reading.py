"""Reads the documents ``network_device`` and ``network_addresses`` of the probe's part ``snmp``. Pure; bodies are an
agent's words, and in them a device's, and may hold anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from collector.devices.cards import clean
from collector.devices.macs import parse_mac

DEVICE: Final = "network_device"
ADDRESSES: Final = "network_addresses"
ARP: Final = "network_arp"

_MAX_INTERFACES: Final = 2_000
_MAX_NEIGHBOURS: Final = 500
_MAX_ENTRIES: Final = 20_000
_MAX_MACS: Final = 256
_LONG: Final = 255
_SHORT: Final = 64


class Interface(Struct, frozen=True):
    """``changed_at``: Unix time, None unknown. ``speed_bits``: bits a second, 0 unknown."""

    name: str
    alias: str
    admin: str
    status: str
    speed_bits: int
    duplex: str
    mac: str
    uplink: bool
    many_errors: bool
    changed_at: int | None


class Neighbour(Struct, frozen=True):
    """What is heard at ``interface`` by LLDP."""

    interface: str
    chassis: str
    port: str
    system_name: str
    network: bool


class Entry(Struct, frozen=True):
    """A MAC that was learned behind an interface."""

    mac: str
    interface: str
    vlan: int | None
    uplink: bool
    new: bool


class Device(Struct, frozen=True):
    """A ``network_device``. ``started_at``: Unix time. ``ups``: words of its state (``battery``, ``output``)."""

    name: str
    address: str
    reachable: bool
    reason: str
    system_name: str
    description: str
    location: str
    kind: str
    vendor: str
    product: str
    model: str
    serial_number: str
    firmware: str
    chassis: str
    started_at: int | None
    restart_count: int
    macs: tuple[str, ...]
    interfaces: tuple[Interface, ...]
    neighbours: tuple[Neighbour, ...]
    ups: dict[str, str]


def read_device(item: str, body: Mapping[str, Any]) -> Device:
    """What makes no sense is empty."""
    ups = body.get("ups")
    return Device(
        name=clean(item, _SHORT),
        address=clean(body.get("address"), _SHORT),
        reachable=body.get("reachable") is True,
        reason=clean(body.get("reason"), _LONG),
        **{
            key: clean(body.get(key), _LONG)
            for key in (
                "system_name",
                "description",
                "location",
                "kind",
                "vendor",
                "product",
                "model",
                "serial_number",
                "firmware",
                "chassis",
            )
        },
        started_at=_number(body.get("started_at")),
        restart_count=_number(body.get("restart_count")) or 0,
        macs=tuple(mac for each in _list(body.get("macs"))[:_MAX_MACS] if (mac := parse_mac(each))),
        interfaces=tuple(_interface(each) for each in _maps(body.get("interfaces"))[:_MAX_INTERFACES]),
        neighbours=tuple(_neighbour(each) for each in _maps(body.get("neighbours"))[:_MAX_NEIGHBOURS]),
        ups={
            key: clean(ups.get(key), _SHORT)
            for key in ("battery", "output")
            if isinstance(ups, Mapping) and key in ups
        },
    )


def read_entries(body: Mapping[str, Any] | None) -> list[Entry]:
    """The rows of a ``network_addresses`` document that have a MAC and an interface."""
    found = []
    for row in _maps(body.get("entries") if body is not None else None)[:_MAX_ENTRIES]:
        mac, interface = parse_mac(row.get("name")), clean(row.get("interface"), _SHORT)
        if mac and interface:
            found.append(
                Entry(
                    mac,
                    interface,
                    _number(row.get("vlan")),
                    uplink=row.get("uplink") is True,
                    new=row.get("new") is True,
                )
            )
    return found


def _interface(row: Mapping[str, Any]) -> Interface:
    return Interface(
        name=clean(row.get("name"), _SHORT),
        alias=clean(row.get("alias"), _LONG),
        admin=clean(row.get("admin"), _SHORT),
        status=clean(row.get("status"), _SHORT),
        speed_bits=_number(row.get("speed_bits")) or 0,
        duplex=clean(row.get("duplex"), _SHORT),
        mac=parse_mac(row.get("mac")) or "",
        uplink=row.get("uplink") is True,
        many_errors=row.get("many_errors") is True,
        changed_at=_number(row.get("changed_at")),
    )


def _neighbour(row: Mapping[str, Any]) -> Neighbour:
    return Neighbour(
        interface=clean(row.get("interface"), _SHORT),
        chassis=clean(row.get("chassis"), _SHORT),
        port=clean(row.get("port"), _SHORT),
        system_name=clean(row.get("system_name"), _SHORT),
        network=row.get("network") is True,
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [each for each in _list(value) if isinstance(each, Mapping)]
