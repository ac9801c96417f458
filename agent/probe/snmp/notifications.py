"""A notification as an event: names of what is known, values made fit to be told. Pure."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from agent.collectors.registry import Event
from agent.messages import LogSource
from agent.probe.snmp.values import number, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.probe.snmp.values import Value

_FILE: Final = Path(__file__).parent / "notifications.toml"
_UP_TIME: Final = "1.3.6.1.2.1.1.3.0"
_TRAP_OID: Final = "1.3.6.1.6.3.1.1.4.1.0"
_MAX_VALUES: Final = 32
_TICKS: Final = 100


class _Names(Struct, frozen=True, forbid_unknown_fields=True):
    names: dict[str, str]
    values: dict[str, str]


def event_of(
    sender: str,
    device: str,
    user: str,
    level: str,
    values: Iterable[tuple[str, Value]],
    time: float,
    *,
    inform: bool,
) -> Event:
    """Category ``snmp_trap``. ``device``: its name in the settings, empty for another sender of a permitted network.
    ``user``: the SNMPv3 user, empty with a community; ``level``: ``noAuthNoPriv``, ``authNoPriv`` or ``authPriv``."""
    trap: dict[str, Any] = {"oid": "", "name": "", "inform": inform, "level": level, "user": text(user, 32)}
    told: dict[str, Any] = {}
    for oid, value in values:
        if oid == _TRAP_OID:
            trap["oid"] = text(value, 128)
            trap["name"] = name_of(trap["oid"])
        elif oid == _UP_TIME:
            ticks = number(value)
            trap["uptime_seconds"] = None if ticks is None else ticks // _TICKS
        elif len(told) < _MAX_VALUES:
            told[value_name(oid)[:128]] = value if isinstance(value, int) else text(value)
    trap["values"] = [{"name": name, "value": str(value)} for name, value in told.items()]
    trap["interface"] = str(told.get("ifName") or told.get("ifDescr") or told.get("ifIndex") or "")[:64]
    fields = {
        "probe": {"part": "snmp"},
        "snmp_trap": trap,
        "source": {"ip": sender},
        "observer": {"ip": sender, "name": device},
    }
    return Event(time, LogSource(product="probe", category="snmp_trap"), fields)


def name_of(oid: str) -> str:
    """The notification's name; empty where it is not known."""
    return _names().names.get(oid, "")


def value_name(oid: str) -> str:
    """The name of a column or scalar by the longest beginning that is known, else the OID."""
    known = _names().values
    parts = oid.split(".")
    for end in range(len(parts), 6, -1):
        name = known.get(".".join(parts[:end]))
        if name is not None:
            return name
    return oid


@cache
def _names() -> _Names:
    return msgspec.convert(tomllib.loads(_FILE.read_text(encoding="utf-8")), _Names)
