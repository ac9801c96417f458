"""The network interfaces: link, speed, addresses."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from msgspec import Struct

from agent.collectors.common.files import read_text
from agent.collectors.common.netlink import Message, parse_attributes, read_table

if TYPE_CHECKING:
    from pathlib import Path

_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFADDRMSG = struct.Struct("=BBBBI")
_ADDRESS_BYTES = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}
_LOOPBACK = "772"  # ARPHRD_LOOPBACK


class Interface(Struct, frozen=True):
    """One interface that is not the loopback. ``speed_mbps`` is ``None`` where the link does not say.

    ``addresses`` are without prefix lengths and zones, sorted; link-local ones are left out, they say nothing.
    ``physical`` is false for bridges, tunnels and other devices made by software.
    """

    name: str
    mac: str
    up: bool
    speed_mbps: int | None
    addresses: list[str]
    physical: bool


def parse_speed(text: str | None) -> int | None:
    """``/sys/class/net/*/speed`` in Mbit/s; -1 and 2³²-1 mean that the link does not say."""
    stripped = (text or "").strip()
    value = int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 11 else 0
    return value if 0 < value < 0xFFFFFFFF else None


def parse_address(message: Message) -> tuple[int, str] | None:
    """``(interface number, address)`` of one ``ifaddrmsg``; ``None`` for link-local and loopback addresses."""
    if message.kind != _RTM_NEWADDR or len(message.body) < _IFADDRMSG.size:
        return None
    family, _prefix, _flags, _scope, index = _IFADDRMSG.unpack_from(message.body)
    attributes = parse_attributes(message.body[_IFADDRMSG.size :])
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
    if len(packed) != _ADDRESS_BYTES.get(family, -1):
        return None
    address = socket.inet_ntop(family, packed)
    if address.startswith(("fe80:", "169.254.", "127.")) or address == "::1":
        return None
    return index, address


def read_addresses() -> dict[int, set[str]]:
    """The addresses of this network namespace by interface number; empty where netlink is refused."""
    found: dict[int, set[str]] = {}
    try:
        for message in read_table(_RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0)):
            if (pair := parse_address(message)) is not None:
                found.setdefault(pair[0], set()).add(pair[1])
    except OSError:
        return {}
    return found


def read_interfaces(sys: Path) -> list[Interface]:
    """Every interface but the loopback, by name: addresses from the kernel, link and MAC from ``sys``."""
    addresses = read_addresses()
    found = []
    try:
        folders = sorted((sys / "class/net").iterdir())
    except OSError:
        return []
    for folder in folders:
        kind = (read_text(folder / "type", 16) or "").strip()
        if kind in ("", _LOOPBACK):  # also not what bonding leaves there, which is no interface
            continue
        state = (read_text(folder / "operstate", 16) or "").strip()
        carrier = (read_text(folder / "carrier", 16) or "").strip()
        mac = (read_text(folder / "address", 64) or "").strip().lower()
        number = (read_text(folder / "ifindex", 16) or "").strip()
        found.append(
            Interface(
                name=folder.name,
                mac="" if mac == "00:00:00:00:00:00" else mac,
                up=state == "up" or (state == "unknown" and carrier == "1"),
                speed_mbps=parse_speed(read_text(folder / "speed", 16)),
                addresses=sorted(addresses.get(int(number), ()) if number.isdigit() else ()),
                physical=(folder / "device").exists(),
            )
        )
    return found
