"""What devices' tables mean: interfaces, neighbours by LLDP, forwarding and ARP tables, chassis. Pure; rows that make
no sense are passed over, for a device may say anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.probe.snmp import oids
from agent.probe.snmp.values import Value, ip_of_parts, mac, mac_of_parts, number, text

if TYPE_CHECKING:
    from collections.abc import Mapping

Column = dict[tuple[int, ...], Value]
Columns = dict[str, Column]

#: Asked for when the tables are due.
INTERFACES: Final = (
    oids.IF_DESCR,
    oids.IF_TYPE,
    oids.IF_SPEED,
    oids.IF_PHYS_ADDRESS,
    oids.IF_NAME,
    oids.IF_HC_IN_OCTETS,
    oids.IF_HIGH_SPEED,
    oids.IF_ALIAS,
    oids.DUPLEX,
)
ENTITIES: Final = (
    oids.ENT_CLASS,
    oids.ENT_FIRMWARE,
    oids.ENT_SOFTWARE,
    oids.ENT_SERIAL,
    oids.ENT_MAKER,
    oids.ENT_MODEL,
)
LLDP: Final = (
    oids.LLDP_LOCAL_PORT_SUBTYPE,
    oids.LLDP_LOCAL_PORT,
    oids.LLDP_LOCAL_PORT_DESCR,
    oids.LLDP_CHASSIS_SUBTYPE_REMOTE,
    oids.LLDP_CHASSIS_REMOTE,
    oids.LLDP_PORT_SUBTYPE_REMOTE,
    oids.LLDP_PORT_REMOTE,
    oids.LLDP_PORT_DESCR_REMOTE,
    oids.LLDP_NAME_REMOTE,
    oids.LLDP_DESCR_REMOTE,
    oids.LLDP_ENABLED_REMOTE,
)
FORWARDING: Final = (
    oids.BASE_PORT_IF_INDEX,
    oids.FDB_PORT,
    oids.FDB_STATUS,
    oids.Q_FDB_PORT,
    oids.Q_FDB_STATUS,
    oids.Q_VLAN_FDB,
)
NEIGHBOURS: Final = (oids.ARP, oids.NEIGHBOURS)
SENSORS: Final = (oids.SENSOR_TYPE, oids.SENSOR_SCALE, oids.SENSOR_PRECISION, oids.SENSOR_VALUE)

_STATUS: Final = {1: "up", 2: "down", 3: "testing", 4: "unknown", 5: "dormant", 6: "not_present", 7: "down"}
_ADMIN: Final = {1: "up", 2: "down", 3: "testing"}
_DUPLEX: Final = {1: "unknown", 2: "half", 3: "full"}
#: IANAifType: what is inside the device alone.
_INNER_TYPES: Final = frozenset({1, 24})
#: dot1dTpFdbStatus and dot1qTpFdbStatus: the device's own addresses are no neighbours.
_SELF: Final = 4
#: LldpSystemCapabilitiesMap: bit 2 a bridge, 3 an access point, 4 a router, 5 a telephone, which is a bridge for the
#: machine behind it, too.
_BRIDGE_BIT: Final = 0x20
_NETWORK_BITS: Final = 0x10 | 0x08
_TELEPHONE_BIT: Final = 0x04
_CHASSIS: Final = 3


class Interface(Struct):
    """``wide``: its counters are of 64 bits. ``speed``: bits a second, 0 unknown."""

    index: int
    name: str
    alias: str = ""
    type: int = 0
    speed: int = 0
    mac: str = ""
    duplex: str = "unknown"
    wide: bool = False
    admin: str = "unknown"
    status: str = "unknown"


class Neighbour(Struct, frozen=True):
    """What a port hears by LLDP. ``chassis`` and ``port`` are as the neighbour names them, MACs in their usual form;
    ``network``: it says that it is a bridge, a router or an access point, and no telephone that bridges."""

    interface: str
    chassis: str
    port: str
    system_name: str
    description: str
    network: bool


class Entry(Struct, frozen=True):
    """A MAC that a bridge has learned behind an interface."""

    mac: str
    interface: int
    vlan: int | None


def interfaces_of(columns: Columns, most: int) -> dict[int, Interface]:
    """By ifIndex, in its order. Two of one name get their index behind it, so that a name is one interface's."""
    found: dict[int, Interface] = {}
    taken: set[str] = set()
    indexes = sorted({index[0] for index in columns[oids.IF_DESCR] if len(index) == 1})
    for at in indexes[:most]:
        key = (at,)
        name = (
            text(columns[oids.IF_NAME].get(key), 64) or text(columns[oids.IF_DESCR].get(key), 64) or str(at)
        )
        if name in taken:
            name = f"{name}#{at}"
        taken.add(name)
        fast = number(columns[oids.IF_HIGH_SPEED].get(key)) or 0
        slow = number(columns[oids.IF_SPEED].get(key)) or 0
        found[at] = Interface(
            at,
            name,
            alias=text(columns[oids.IF_ALIAS].get(key), 128),
            type=number(columns[oids.IF_TYPE].get(key)) or 0,
            speed=max(0, fast * 1_000_000 if fast else slow),
            mac=mac(columns[oids.IF_PHYS_ADDRESS].get(key)),
            duplex=_DUPLEX.get(number(columns[oids.DUPLEX].get(key)) or 0, "unknown"),
            wide=key in columns[oids.IF_HC_IN_OCTETS],
        )
    return found


def is_inner(interface: Interface) -> bool:
    """A loopback, or of no kind that is known: nothing is plugged into it."""
    return interface.type in _INNER_TYPES


def status_of(value: Value) -> str:
    return _STATUS.get(number(value) or 0, "unknown")


def admin_of(value: Value) -> str:
    return _ADMIN.get(number(value) or 0, "unknown")


def neighbours_of(columns: Columns, interfaces: Mapping[int, Interface]) -> list[Neighbour]:
    """In the order of their ports. LLDP numbers ports by itself: a port is found by its name, by what it calls its
    description, or where the number is an interface's."""
    names = {each.name: each.name for each in interfaces.values()}
    macs = {each.mac: each.name for each in interfaces.values() if each.mac}
    found = []
    for index, chassis in sorted(columns[oids.LLDP_CHASSIS_REMOTE].items()):
        if len(index) != 3:
            continue
        local = (index[1],)
        said = (columns[oids.LLDP_LOCAL_PORT].get(local), columns[oids.LLDP_LOCAL_PORT_DESCR].get(local))
        by_number = interfaces.get(index[1])
        interface = (
            next((names[name] for name in (text(each, 64) for each in said) if name in names), "")
            or macs.get(mac(said[0]), "")
            or (by_number.name if by_number is not None else f"lldp#{index[1]}")
        )
        subtype = number(columns[oids.LLDP_CHASSIS_SUBTYPE_REMOTE].get(index)) or 0
        port_subtype = number(columns[oids.LLDP_PORT_SUBTYPE_REMOTE].get(index)) or 0
        enabled = columns[oids.LLDP_ENABLED_REMOTE].get(index)
        bits = enabled[0] if isinstance(enabled, bytes) and enabled else 0
        port = _identifier(columns[oids.LLDP_PORT_REMOTE].get(index), port_subtype == 3)
        described = text(columns[oids.LLDP_PORT_DESCR_REMOTE].get(index), 64)
        found.append(
            Neighbour(
                interface,
                chassis=_identifier(chassis, subtype == 4),
                # A port that is named by its MAC is better known by its description.
                port=described if port_subtype == 3 and described else port,
                system_name=text(columns[oids.LLDP_NAME_REMOTE].get(index), 64),
                description=text(columns[oids.LLDP_DESCR_REMOTE].get(index), 128),
                network=bool(bits & _NETWORK_BITS) or bits & (_BRIDGE_BIT | _TELEPHONE_BIT) == _BRIDGE_BIT,
            )
        )
    return found


def chassis_of(subtype: Value, value: Value) -> str:
    """The device's own name in LLDP."""
    return _identifier(value, number(subtype) == 4)


def forwarding_of(
    columns: Columns, interfaces: Mapping[int, Interface], most: int
) -> tuple[list[Entry], int]:
    """``(entries, how many there are in all)``: by MAC, each once. Of Q-BRIDGE where there is one, for it knows VLANs.
    Where there are too many, those behind ports with few come first: there machines stand."""
    ports = {
        index[0]: at
        for index, value in columns[oids.BASE_PORT_IF_INDEX].items()
        if len(index) == 1 and (at := number(value)) is not None
    }
    vlans = {
        at: index[-1]
        for index, value in columns[oids.Q_VLAN_FDB].items()
        if (at := number(value)) is not None
    }
    found: dict[str, Entry] = {}
    tables = (
        (columns[oids.Q_FDB_PORT], columns[oids.Q_FDB_STATUS], True),
        (columns[oids.FDB_PORT], columns[oids.FDB_STATUS], False),
    )
    for column, statuses, tagged in tables:
        for index, value in column.items():
            address = mac_of_parts(index[1:] if tagged else index)
            port = number(value)
            if not address or not port or number(statuses.get(index)) == _SELF:
                continue
            at = ports.get(port, port)
            if at in interfaces:
                vlan = vlans.get(index[0], index[0]) if tagged else None
                found.setdefault(address, Entry(address, at, vlan))
    behind: dict[int, int] = {}
    for entry in found.values():
        behind[entry.interface] = behind.get(entry.interface, 0) + 1
    ordered = sorted(found.values(), key=lambda entry: (behind[entry.interface], entry.mac))[:most]
    return sorted(ordered, key=lambda entry: entry.mac), len(found)


def arp_of(columns: Columns, most: int) -> list[tuple[str, str]]:
    """``(ip, mac)`` of both tables, each address once, in order."""
    found: dict[str, str] = {}
    for index, value in columns[oids.NEIGHBOURS].items():
        # ifIndex, kind of address, its length, the address
        if len(index) > 3 and index[2] == len(index) - 3:
            found.setdefault(ip_of_parts(index[3:]), mac(value))
    for index, value in columns[oids.ARP].items():
        found.setdefault(ip_of_parts(index[1:]), mac(value))
    return sorted((ip, address) for ip, address in found.items() if ip and address)[:most]


def chassis_facts(columns: Columns) -> dict[str, str]:
    """Model, serial number, firmware and maker of the chassis: the first row of ENTITY-MIB that is one."""
    rows = sorted(index for index, kind in columns[oids.ENT_CLASS].items() if number(kind) == _CHASSIS)
    if not rows:
        return {}
    at = rows[0]
    # A chassis seldom tells its software; one of its modules does.
    software = [text(value, 64) for _, value in sorted(columns[oids.ENT_SOFTWARE].items())]
    facts = {
        "model": text(columns[oids.ENT_MODEL].get(at), 64),
        "serial_number": text(columns[oids.ENT_SERIAL].get(at), 64),
        "vendor": text(columns[oids.ENT_MAKER].get(at), 64),
        "firmware": text(columns[oids.ENT_SOFTWARE].get(at), 64)
        or next(filter(None, software), "")
        or text(columns[oids.ENT_FIRMWARE].get(at), 64),
    }
    return {name: value for name, value in facts.items() if value}


def temperature_of(columns: Columns) -> float | None:
    """The hottest of ENTITY-SENSOR-MIB, °C."""
    found = []
    for index, kind in columns[oids.SENSOR_TYPE].items():
        value = number(columns[oids.SENSOR_VALUE].get(index))
        scale = number(columns[oids.SENSOR_SCALE].get(index))
        precision = number(columns[oids.SENSOR_PRECISION].get(index)) or 0
        if number(kind) == 8 and value is not None and scale is not None and -8 <= precision <= 9:
            celsius = value / 10**precision * 1_000.0 ** (max(1, min(scale, 17)) - 9)
            if 0 < celsius < 200:
                found.append(celsius)
    return max(found, default=None)


def _identifier(value: Value, is_mac: bool) -> str:
    address = mac(value) if is_mac else ""
    if not address and isinstance(value, bytes) and not value.isascii():
        return value[:32].hex(":")
    return address or text(value, 64)
