"""Reads Ethernet frames: ARP (RFC 826), IPv6 neighbour discovery (RFC 4861), DHCP (RFC 2131, 2132).

Pure, and total: a frame that is not whole, or not ours to know, is ``None``. Names come out of :mod:`.names`, DHCPv6
out of :mod:`.dhcpv6`.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from msgspec import Struct

from agent.probe.lan.dhcpv6 import CLIENT_PORT, SERVER_PORT, Dhcpv6Client, Dhcpv6Server, read_dhcpv6
from agent.probe.lan.names import Announced, Port, read_cdp, read_lldp, read_mdns, read_netbios, text

ARP: Final = 0x0806
LLDP: Final = 0x88CC
IPV4: Final = 0x0800
IPV6: Final = 0x86DD
BROADCAST: Final = "ff:ff:ff:ff:ff:ff"

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_UDP, _ICMP6 = 17, 58
_CDP: Final = bytes.fromhex("aaaa0300000c2000")
_MAGIC: Final = b"\x63\x82\x53\x63"
#: DHCP message types of servers (RFC 2132, 9.6).
_SERVER_MESSAGES: Final = {2: "offer", 5: "ack", 6: "nak"}
_MOST: Final = 8


class Arp(Struct, frozen=True):
    """``mac`` and ``ip`` of who speaks, ``frame_mac`` whose frame it is; ``reply``: an answer, or said unasked."""

    frame_mac: str
    frame_to: str
    mac: str
    ip: str
    target_ip: str
    reply: bool


class Neighbour(Struct, frozen=True):
    """Somebody at an IPv6 address. ``claims``: said that the address is his (an advertisement)."""

    mac: str
    ip: str
    claims: bool
    solicited: bool = False


class Router(Struct, frozen=True):
    """A router advertisement. ``dns``: RFC 8106; ``prefixes``: with length. Both in order, without those that are to be
    used no more."""

    mac: str
    ip: str
    lifetime_seconds: int
    managed: bool
    other: bool
    preference: str
    prefixes: list[str]
    dns: list[str]


class DhcpServer(Struct, frozen=True):
    """What a DHCP server said to somebody. ``server``: its identifier, or whom the packet is from."""

    mac: str
    ip: str
    server: str
    message: str
    client_mac: str
    offered_ip: str
    relay: str
    transaction: int
    routers: list[str]
    dns: list[str]
    domain: str
    lease_seconds: int


class DhcpClient(Struct, frozen=True):
    """What a machine says of itself when it asks for an address; ``ip`` where it has one."""

    mac: str
    ip: str
    hostname: str
    vendor_class: str


class Named(Struct, frozen=True):
    """What somebody at ``ip`` (empty: not told) announced. ``how``: ``mdns`` or ``netbios``."""

    mac: str
    ip: str
    how: str
    announced: Announced


class Switch(Struct, frozen=True):
    """The neighbour at the other end of the cable, by LLDP or CDP."""

    mac: str
    port: Port


Frame = Arp | Neighbour | Router | DhcpServer | DhcpClient | Dhcpv6Server | Dhcpv6Client | Named | Switch


def mac_text(octets: bytes) -> str:
    return octets.hex(":")


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def read_frame(data: bytes) -> Frame | None:
    """What a frame says; ``None`` where it is not whole, or nothing that we know."""
    if len(data) < 18 or data[6] & 1:  # nobody's own address is a group's
        return None
    kind = int.from_bytes(data[12:14], "big")
    try:
        if kind == ARP:
            return _arp(data)
        if kind == IPV4:
            return _ipv4(data)
        if kind == IPV6:
            return _ipv6(data)
        if kind == LLDP:
            port = read_lldp(data[14:])
            return None if port is None else Switch(mac_text(data[6:12]), port)
        if kind <= 1500 and data[14:22] == _CDP:
            port = read_cdp(data[22 : 14 + kind])
            return None if port is None else Switch(mac_text(data[6:12]), port)
    except (struct.error, IndexError, ValueError, OSError):  # inet_ntoa raises OSError
        return None
    return None


def _arp(data: bytes) -> Arp | None:
    hardware, protocol, hlen, plen, operation, mac, ip, _target, target_ip = _ARP.unpack_from(data, 14)
    if (hardware, protocol, hlen, plen) != (1, IPV4, 6, 4) or operation not in (1, 2) or mac[0] & 1:
        return None
    return Arp(
        mac_text(data[6:12]),
        mac_text(data[:6]),
        mac_text(mac),
        socket.inet_ntoa(ip),
        socket.inet_ntoa(target_ip),
        operation == 2,
    )


def _ipv4(data: bytes) -> Frame | None:
    if data[14] >> 4 != 4 or data[23] != _UDP or int.from_bytes(data[20:22], "big") & 0x3FFF:
        return None
    start = 14 + 4 * (data[14] & 15)
    ip = socket.inet_ntoa(data[26:30])
    return _udp(data, start, "" if ip == "0.0.0.0" else ip)  # noqa: S104 - no binding: "not told"


def _udp(data: bytes, start: int, ip: str) -> Frame | None:
    source, target, length = struct.unpack_from("!HHH", data, start)
    payload = data[start + 8 : start + max(8, length)]
    mac = mac_text(data[6:12])
    if ":" in ip and target in (CLIENT_PORT, SERVER_PORT):
        return read_dhcpv6(payload, mac, ip, target)
    if ":" not in ip and (source == 67 or target == 67):
        return read_dhcp(payload, mac, ip)
    if source == 5353 or target == 5353:
        heard = read_mdns(payload)
        return None if heard is None else Named(mac, ip, "mdns", heard)
    if target in (137, 138):
        heard = read_netbios(payload, datagram=target == 138)
        return None if heard is None else Named(mac, ip, "netbios", heard)
    return None


def read_dhcp(payload: bytes, mac: str, ip: str) -> DhcpServer | DhcpClient | None:
    """A BOOTP message with DHCP options, which came from ``mac`` and ``ip``."""
    if len(payload) < 240 or payload[236:240] != _MAGIC or payload[1:3] != b"\x01\x06":
        return None
    options = _options(payload[240:])
    client = mac_text(payload[28:34])
    message = options.get(53, b"\0")[0]
    if payload[0] == 1:
        if payload[28] & 1 or payload[28:34] == bytes(6):
            return None
        return DhcpClient(
            client,
            _address(payload[12:16]),
            text(options.get(12, b""), 64),
            text(options.get(60, b""), 64),
        )
    if payload[0] != 2 or message not in _SERVER_MESSAGES:
        return None
    lease = options.get(51, b"")
    return DhcpServer(
        mac=mac,
        ip=ip,
        server=_address(options.get(54, b"")) or ip,
        message=_SERVER_MESSAGES[message],
        client_mac=client,
        offered_ip=_address(payload[16:20]),
        relay=_address(payload[24:28]),
        transaction=int.from_bytes(payload[4:8], "big"),
        routers=_addresses(options.get(3, b"")),
        dns=_addresses(options.get(6, b"")),
        domain=text(options.get(15, b""), 128),
        lease_seconds=int.from_bytes(lease, "big") if len(lease) == 4 else 0,
    )


def _options(data: bytes) -> dict[int, bytes]:
    """RFC 2132, 2; a repeated one is continued (RFC 3396)."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 1 >= len(data):
            break
        size = data[at + 1]
        value = data[at + 2 : at + 2 + size]
        if len(value) == size and (size or data[at] != 53):
            found[data[at]] = found.get(data[at], b"") + value
        at += 2 + size
    return found


def _address(octets: bytes) -> str:
    return socket.inet_ntoa(octets) if len(octets) == 4 and any(octets) else ""


def _addresses(octets: bytes) -> list[str]:
    found = (_address(octets[at : at + 4]) for at in range(0, min(len(octets), 4 * _MOST), 4))
    return [each for each in found if each]


def _ipv6(data: bytes) -> Frame | None:
    if len(data) < 62 or data[14] >> 4 != 6:
        return None
    ip = socket.inet_ntop(socket.AF_INET6, data[22:38])
    if data[20] == _UDP:
        return _udp(data, 54, ip)
    if data[20] != _ICMP6:
        return None
    mac, kind = mac_text(data[6:12]), data[54]
    end = min(len(data), 54 + int.from_bytes(data[18:20], "big"))
    if kind == 129:  # an echo's reply, from anywhere: only of the link itself does it say whose card this is
        return Neighbour(mac, ip, claims=False) if ip.startswith("fe80:") or data[21] == 255 else None
    if data[21] != 255:  # RFC 4861, 6.1 and 7.1: what has passed a router is not of this link
        return None
    if kind == 134:
        return _router(data, mac, ip, end)
    if kind in (133, 135):
        return None if ip == "::" else Neighbour(mac, ip, claims=False)
    if kind == 136 and end >= 78:
        options = _nd_options(data, 78, end)
        target = socket.inet_ntop(socket.AF_INET6, data[62:78])
        card = next((value[:6] for number, value in options if number == 2 and len(value) >= 6), data[6:12])
        return Neighbour(mac_text(card), target, claims=True, solicited=bool(data[58] & 0x40))
    return None


def _router(data: bytes, mac: str, ip: str, end: int) -> Router | None:
    if not ip.startswith("fe80:") or end < 70:
        return None
    flags, lifetime = data[59], int.from_bytes(data[60:62], "big")
    prefixes, dns = [], []
    for number, value in _nd_options(data, 70, end):
        if number == 3 and len(value) >= 30 and value[0] <= 128 and any(value[6:10]):
            prefixes.append(f"{socket.inet_ntop(socket.AF_INET6, value[14:30])}/{value[0]}")
        elif number == 25 and any(value[2:6]):
            dns += [
                socket.inet_ntop(socket.AF_INET6, value[at : at + 16]) for at in range(6, len(value) - 15, 16)
            ]
    return Router(
        mac,
        ip,
        lifetime_seconds=lifetime,
        managed=bool(flags & 0x80),
        other=bool(flags & 0x40),
        preference={1: "high", 3: "low"}.get(flags >> 3 & 3, "medium"),
        prefixes=sorted(prefixes)[:_MOST],
        dns=sorted(dns)[:_MOST],
    )


def _nd_options(data: bytes, at: int, end: int) -> list[tuple[int, bytes]]:
    """``(type, what follows its length)`` (RFC 4861, 4.6)."""
    found: list[tuple[int, bytes]] = []
    while at + 2 <= end and len(found) < 32:
        size = 8 * data[at + 1]
        if size == 0 or at + size > end:
            break
        found.append((data[at], data[at + 2 : at + size]))
        at += size
    return found
