"""Parsers of the part ``snmp``: tables, values and notifications of devices, which may say anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agent.probe.snmp import backups, notifications, profiles, tables, values
from tests.fuzz.parser import Parser, parser

if TYPE_CHECKING:
    from agent.probe.snmp.tables import Columns

_COLUMNS: Final = (
    *tables.INTERFACES,
    *tables.ENTITIES,
    *tables.LLDP,
    *tables.FORWARDING,
    *tables.NEIGHBOURS,
    *tables.SENSORS,
)


def _columns(data: bytes) -> Columns:
    """Every third byte chooses a column, the next one an index, and so on; values of each kind."""
    found: Columns = {column: {} for column in _COLUMNS}
    for at in range(0, len(data) - 8, 8):
        piece = data[at : at + 8]
        index = tuple(piece[2 : 2 + 1 + piece[1] % 7])
        value: Any = (piece[3:], piece[3], piece[3:].decode("latin-1"), -piece[3], None)[piece[0] % 5]
        found[_COLUMNS[(piece[0] // 5 + piece[1]) % len(_COLUMNS)]][index] = value
    return found


def _tables(data: bytes) -> object:
    columns = _columns(data)
    interfaces = tables.interfaces_of(columns, 10)
    entries, total = tables.forwarding_of(columns, interfaces, 10)
    assert len(interfaces) <= 10
    assert len(entries) <= min(10, total)
    return (
        tables.neighbours_of(columns, interfaces),
        tables.arp_of(columns, 10),
        tables.chassis_facts(columns),
        tables.temperature_of(columns),
        tables.chassis_of(data[:1], data),
    )


def _values(data: bytes) -> object:
    words = data.decode("latin-1")
    told = values.text(data)
    assert len(told) <= values.LONGEST_TEXT
    assert told.isprintable()
    return (
        values.number(data),
        values.mac(data),
        values.mac_of_parts(tuple(data)),
        values.parts_of(words, "1.3"),
    )


def _backup(data: bytes) -> object:
    at = backups.parse_time(data, "date_and_time", 1e9)
    assert at is None or 0 < at <= 1e9 + 600
    return backups.parse_date_and_time(data), backups.parse_time(data, "age_seconds", 1e9)


def _trap(data: bytes) -> object:
    bindings = [(f"1.3.6.1.{each}", data[at:]) for at, each in enumerate(data[:40])]
    bindings.append(("1.3.6.1.6.3.1.1.4.1.0", data))
    return notifications.event_of("10.0.0.1", "", "", "", bindings, 1.0, inform=False).fields


PARSERS: Final[tuple[Parser, ...]] = (
    parser("bytes", _tables, tables.interfaces_of, seeds=(bytes(range(256)), b"\x00" * 64), longest=4096),
    parser(
        "bytes", _values, values.parts_of, seeds=(b"1.3.6", b"\x02\0\0\0\0\x01", b"\xff\x00 x"), longest=1024
    ),
    parser(
        "bytes",
        _backup,
        backups.parse_time,
        backups.parse_date_and_time,
        seeds=(bytes([7, 209, 9, 9, 1, 46, 40, 0, 0x2B, 7, 0]), b"3600"),
        longest=32,
    ),
    parser("bytes", _trap, notifications.value_name, seeds=(b"1.3.6.1.6.3.1.1.5.3",), longest=512),
    parser(
        "bytes",
        lambda data: profiles.version_in(profiles.profile_named("cisco"), data.decode("latin-1")),
        profiles.version_in,
        seeds=(b"Cisco IOS Software, Version 15.2(4)E8, RELEASE",),
        longest=2048,
    ),
)
