"""Reads DHCPv6 messages (RFC 8415). Pure, and total but for what :func:`read_dhcpv6` says."""

from __future__ import annotations

import socket
from typing import Final

from msgspec import Struct

from agent.probe.lan.names import text

CLIENT_PORT: Final = 546
SERVER_PORT: Final = 547
_SERVER_MESSAGES: Final = {2: "advertise", 7: "reply", 10: "reconfigure"}
#: Of clients: those in which they say who they are (RFC 8415, 7.3).
_CLIENT_MESSAGES: Final = frozenset((1, 3, 4, 5, 6, 8, 9, 11))
_SERVER_ID, _IA_NA, _IA_TA, _IA_ADDRESS = 2, 3, 4, 5
_VENDOR_CLASS, _DNS, _DOMAINS, _IA_PD, _IA_PREFIX, _FQDN = 16, 23, 24, 25, 26, 39
#: What stands in an option before options of its own.
_HEADS: Final = {_IA_NA: 12, _IA_TA: 4, _IA_PD: 12}
_MOST: Final = 8


class Dhcpv6Server(Struct, frozen=True):
    """What a DHCPv6 server (or a relay in its place) said to somebody. ``duid``: its identifier, in hexadecimal
    digits. ``dns`` and ``domain`` are empty where it did not speak of them."""

    mac: str
    ip: str
    duid: str
    message: str
    transaction: int
    offered_ip: str
    lease_seconds: int
    dns: list[str]
    domain: str


class Dhcpv6Client(Struct, frozen=True):
    """What a machine says of itself when it asks."""

    mac: str
    ip: str
    hostname: str
    vendor_class: str


def read_dhcpv6(payload: bytes, mac: str, ip: str, port: int) -> Dhcpv6Server | Dhcpv6Client | None:
    """A message that came from ``mac`` and ``ip`` to ``port``; ``None`` where it is none of these.

    Raises:
        ValueError, IndexError: it is not whole.
    """
    # Both sides speak from their addresses of the link; what has another one may have come through a router, from
    # anywhere.
    if len(payload) < 4 or not ip.startswith("fe80:"):
        return None
    kind, options = payload[0], _options(payload[4:])
    if port == CLIENT_PORT and kind in _SERVER_MESSAGES:
        offered, seconds = _offered(options)
        return Dhcpv6Server(
            mac,
            ip,
            duid=options.get(_SERVER_ID, b"")[:130].hex(),
            message=_SERVER_MESSAGES[kind],
            transaction=int.from_bytes(payload[1:4], "big"),
            offered_ip=offered,
            lease_seconds=seconds,
            dns=_addresses(options.get(_DNS, b"")),
            domain=_domains(options.get(_DOMAINS, b"")),
        )
    if port == SERVER_PORT and kind in _CLIENT_MESSAGES:
        name = options.get(_FQDN, b"\0")[1:]
        vendor = options.get(_VENDOR_CLASS, b"")
        return Dhcpv6Client(
            mac, ip, hostname=next(iter(_labels(name)), "")[:64], vendor_class=text(vendor[6:], 64)
        )
    return None


def _options(data: bytes) -> dict[int, bytes]:
    """By number, the first of each (RFC 8415, 21.1)."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        number, size = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
        value = data[at + 4 : at + 4 + size]
        if len(value) < size:
            break
        found.setdefault(number, value)
        at += 4 + size
    return found


def _offered(options: dict[int, bytes]) -> tuple[str, int]:
    """The first address or prefix that is offered, and for how many seconds it is valid."""
    for kind, head in _HEADS.items():
        within = _options(options.get(kind, b"")[head:])
        address, prefix = within.get(_IA_ADDRESS, b""), within.get(_IA_PREFIX, b"")
        if len(address) >= 24:
            return socket.inet_ntop(socket.AF_INET6, address[:16]), int.from_bytes(address[20:24], "big")
        if len(prefix) >= 25 and prefix[8] <= 128:
            network = f"{socket.inet_ntop(socket.AF_INET6, prefix[9:25])}/{prefix[8]}"
            return network, int.from_bytes(prefix[4:8], "big")
    return "", 0


def _addresses(octets: bytes) -> list[str]:
    whole = range(0, min(len(octets) // 16, _MOST) * 16, 16)
    return [socket.inet_ntop(socket.AF_INET6, octets[at : at + 16]) for at in whole]


def _domains(octets: bytes) -> str:
    """Names joined by spaces (RFC 8415, 10: as in DNS, without compression)."""
    names: list[list[str]] = [[]]
    at = 0
    while at < len(octets) and len(names) <= _MOST:
        size = octets[at]
        if size == 0:
            names.append([])
        else:
            names[-1].append(text(octets[at + 1 : at + 1 + size], 63))
        at += 1 + size
    return " ".join(".".join(each) for each in names if each)[:128]


def _labels(octets: bytes) -> list[str]:
    return _domains(octets).split(" ")[0].split(".")
