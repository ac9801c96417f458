"""The kernel's neighbour table by rtnetlink(7), or IPv4's part of it from ``/proc/net/arp``."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from msgspec import Struct

from agent.collectors.common.files import read_bytes
from agent.collectors.common.netlink import parse_attributes, read_table

_RTM_NEWNEIGH, _RTM_GETNEIGH = 28, 30
_NDA_DST, _NDA_LLADDR = 1, 2
_NDMSG = struct.Struct("=BBHiHBB")
_ADDRESS_BYTES = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}

INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED, NOARP, PERMANENT = 1, 2, 4, 8, 16, 32, 64, 128
_COMPLETE = REACHABLE | STALE | DELAY | PROBE | PERMANENT


class Neighbour(Struct, frozen=True):
    """``state`` is one of rtnetlink's NUD bits; ``mac`` is lower case with colons, empty where not known."""

    ip: str
    mac: str
    interface: str
    state: int

    @property
    def complete(self) -> bool:
        return bool(self.state & _COMPLETE) and self.mac != ""


def parse_neighbour(body: bytes, names: dict[int, str]) -> Neighbour | None:
    """One ``ndmsg`` with its attributes; ``names`` maps interface numbers to names. ``None``: not an IP neighbour."""
    if len(body) < _NDMSG.size:
        return None
    family, _pad, _pad2, index, state, _flags, _kind = _NDMSG.unpack_from(body)
    attributes = parse_attributes(body[_NDMSG.size :])
    address, mac = attributes.get(_NDA_DST, b""), attributes.get(_NDA_LLADDR, b"")
    if len(address) != _ADDRESS_BYTES.get(family, -1):
        return None
    return Neighbour(
        ip=socket.inet_ntop(family, address),
        mac=mac.hex(":") if len(mac) == 6 else "",
        interface=names.get(index, str(index)),
        state=state,
    )


def parse_arp(text: str) -> list[Neighbour]:
    """``/proc/net/arp`` (proc(5)): flag 0x2 is a complete entry, 0x4 a permanent one."""
    found = []
    for line in text.splitlines()[1:]:
        parts = line.split()
        if len(parts) != 6:
            continue
        try:
            ip = socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, parts[0]))
            flags = int(parts[2], 16)
            mac = bytes.fromhex(parts[3].replace(":", ""))
        except (ValueError, OSError):
            continue
        if len(mac) == 6:
            state = PERMANENT if flags & 4 else STALE if flags & 2 else INCOMPLETE
            found.append(Neighbour(ip=ip, mac=mac.hex(":"), interface=parts[5], state=state))
    return found


def read_neighbours(proc: Path) -> list[Neighbour]:
    """The table of this network namespace; where ``proc`` is another tree, or netlink is refused, its ARP file."""
    if proc == Path("/proc"):
        try:
            names = dict(socket.if_nameindex())
            messages = read_table(_RTM_GETNEIGH, _NDMSG.pack(0, 0, 0, 0, 0, 0, 0))
            found = [parse_neighbour(m.body, names) for m in messages if m.kind == _RTM_NEWNEIGH]
            return [neighbour for neighbour in found if neighbour is not None]
        except OSError:
            pass
    return parse_arp((read_bytes(proc / "net/arp", 1 << 20) or b"").decode("ascii", "replace"))
