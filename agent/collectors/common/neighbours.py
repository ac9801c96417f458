"""The kernel's neighbour table by rtnetlink(7), or IPv4's part of it from ``/proc/net/arp``."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from msgspec import Struct

from agent.collectors.common.files import read_bytes

_NLMSG_DONE, _NLMSG_ERROR = 3, 2
_RTM_NEWNEIGH, _RTM_GETNEIGH = 28, 30
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_NDA_DST, _NDA_LLADDR = 1, 2
_HEADER = struct.Struct("=IHHII")
_NDMSG = struct.Struct("=BBHiHBB")
_ATTRIBUTE = struct.Struct("=HH")
_AF_INET, _AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)

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


def parse_neighbour_messages(data: bytes, names: dict[int, str]) -> tuple[list[Neighbour], bool]:
    """``(neighbours, done)`` from what one receive returned; ``names`` maps interface numbers to names.

    Raises:
        OSError: the kernel answered with an error.
    """
    found, at = [], 0
    while at + _HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return found, True
        if kind == _NLMSG_DONE:
            return found, True
        if kind == _NLMSG_ERROR and length >= _HEADER.size + 4:
            (code,) = struct.unpack_from("=i", data, at + _HEADER.size)
            raise OSError(-code, "the kernel refused its neighbour table")
        if kind == _RTM_NEWNEIGH:
            neighbour = _neighbour(data[at + _HEADER.size : at + length], names)
            if neighbour is not None:
                found.append(neighbour)
        at += (length + 3) & ~3
    return found, False


def _neighbour(body: bytes, names: dict[int, str]) -> Neighbour | None:
    if len(body) < _NDMSG.size:
        return None
    family, _pad, _pad2, index, state, _flags, _kind = _NDMSG.unpack_from(body)
    if family not in (_AF_INET, _AF_INET6):
        return None
    ip, mac, at = "", "", _NDMSG.size
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size or at + length > len(body):
            break
        value = body[at + _ATTRIBUTE.size : at + length]
        if kind == _NDA_DST and len(value) == (4 if family == _AF_INET else 16):
            ip = socket.inet_ntop(family, value)
        elif kind == _NDA_LLADDR and len(value) == 6:
            mac = value.hex(":")
        at += (length + 3) & ~3
    return Neighbour(ip=ip, mac=mac, interface=names.get(index, str(index)), state=state) if ip else None


def parse_arp(text: str) -> list[Neighbour]:
    """``/proc/net/arp`` (proc(5)): flag 0x2 is a complete entry, 0x4 a permanent one."""
    found = []
    for line in text.splitlines()[1:]:
        parts = line.split()
        if len(parts) != 6:
            continue
        try:
            ip = socket.inet_ntop(_AF_INET, socket.inet_pton(_AF_INET, parts[0]))
            flags, mac = int(parts[2], 16), parts[3].lower()
            bytes.fromhex(mac.replace(":", ""))
        except (ValueError, OSError):
            continue
        if len(mac) == 17:
            state = PERMANENT if flags & 4 else STALE if flags & 2 else INCOMPLETE
            found.append(Neighbour(ip=ip, mac=mac, interface=parts[5], state=state))
    return found


def read_neighbours(proc: Path) -> list[Neighbour]:
    """The table of this network namespace; where ``proc`` is another tree, or netlink is refused, its ARP file."""
    if proc == Path("/proc"):
        try:
            return _dump()
        except OSError:
            pass
    return parse_arp((read_bytes(proc / "net/arp", 1 << 20) or b"").decode("ascii", "replace"))


def _dump() -> list[Neighbour]:
    names = dict(socket.if_nameindex())
    found: list[Neighbour] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as link:
        link.settimeout(2)
        body = _NDMSG.pack(0, 0, 0, 0, 0, 0, 0)
        size = _HEADER.size + len(body)
        link.send(_HEADER.pack(size, _RTM_GETNEIGH, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + body)
        done = False
        while not done and len(found) < 20_000:
            part, done = parse_neighbour_messages(link.recv(1 << 17), names)
            found += part
    return found
