"""The default route and the name servers."""

from __future__ import annotations

import socket
import struct

from msgspec import Struct

_UP, _GATEWAY = 0x1, 0x2


class Gateway(Struct, frozen=True):
    """A default route's next hop."""

    ip: str
    interface: str
    metric: int


def parse_route(text: str) -> list[Gateway]:
    """IPv4 default routes of ``/proc/net/route``, best first. Addresses stand there in the machine's byte order."""
    found = []
    for line in text.splitlines()[1:]:
        parts = line.split()
        try:
            if len(parts) < 8 or int(parts[1], 16) != 0 or int(parts[7], 16) != 0:
                continue
            flags, address = int(parts[3], 16), int(parts[2], 16)
            if flags & (_UP | _GATEWAY) == _UP | _GATEWAY and 0 < address < 1 << 32:
                ip = socket.inet_ntop(socket.AF_INET, struct.pack("=I", address))
                found.append(Gateway(ip=ip, interface=parts[0], metric=int(parts[6])))
        except ValueError:
            continue
    return sorted(found, key=lambda g: g.metric)


def parse_ipv6_route(text: str) -> list[Gateway]:
    """IPv6 default routes of ``/proc/net/ipv6_route``, best first; all numbers there are hexadecimal."""
    found = []
    for line in text.splitlines():
        parts = line.split()
        try:
            if len(parts) != 10 or int(parts[0], 16) != 0 or int(parts[1], 16) != 0 or parts[9] == "lo":
                continue
            hop, flags = bytes.fromhex(parts[4]), int(parts[8], 16)
            if flags & (_UP | _GATEWAY) == _UP | _GATEWAY and len(hop) == 16 and any(hop):
                ip = socket.inet_ntop(socket.AF_INET6, hop)
                found.append(Gateway(ip=ip, interface=parts[9], metric=int(parts[5], 16)))
        except ValueError:
            continue
    return sorted(found, key=lambda g: g.metric)


def parse_resolv_conf(text: str) -> list[str]:
    """The name servers of resolv.conf(5), the first three, as the resolver takes them."""
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and is_address(words[1]):
            servers.append(words[1])
    return servers[:3]


def is_address(text: str) -> bool:
    """Whether ``text`` is an IPv4 or IPv6 address, maybe with a zone."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text.partition("%")[0])
        except (OSError, ValueError):
            continue
        return True
    return False
