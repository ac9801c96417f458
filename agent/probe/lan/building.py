"""Makes the frames that the probe sends: ARP requests, solicitations of ND, an echo to all, DHCPDISCOVER; of DHCPv6
(RFC 8415) SOLICIT and INFORMATION-REQUEST."""

from __future__ import annotations

import socket
import struct
from typing import Final

from agent.probe.lan.frames import ARP, IPV4, IPV6, mac_bytes

_EVERYBODY: Final = b"\xff" * 6
_ALL_NODES, _ALL_ROUTERS = "ff02::1", "ff02::2"
_CLIENT, _SERVER = 68, 67
_ALL_DHCP_SERVERS: Final = "ff02::1:2"
_CLIENT6, _SERVER6 = 546, 547
SOLICIT, INFORMATION_REQUEST = 1, 11
#: What is asked of a DHCP server: mask, routers, name servers, domain, lease, server identifier.
_ASKED: Final = bytes((1, 3, 6, 15, 51, 54))


def arp_request(mac: str, ip: str, target: str) -> bytes:
    """``ip`` empty: a probe of RFC 5227, which claims nothing."""
    own = mac_bytes(mac)
    head = _EVERYBODY + own + ARP.to_bytes(2, "big")
    body = struct.pack("!HHBBH", 1, IPV4, 6, 4, 1) + own + socket.inet_aton(ip or "0.0.0.0")  # noqa: S104
    return (head + body + bytes(6) + socket.inet_aton(target)).ljust(60, b"\0")


def neighbour_solicitation(mac: str, ip: str, target: str) -> bytes:
    """To the target's solicited-node address (RFC 4291, 2.7.1)."""
    wanted = socket.inet_pton(socket.AF_INET6, target)
    group = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13] + wanted[13:]
    body = struct.pack("!BBHI", 135, 0, 0, 0) + wanted + b"\x01\x01" + mac_bytes(mac)
    return _icmp6(mac, ip, group, body, 255)


def router_solicitation(mac: str, ip: str) -> bytes:
    body = struct.pack("!BBHI", 133, 0, 0, 0) + b"\x01\x01" + mac_bytes(mac)
    return _icmp6(mac, ip, socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS), body, 255)


def echo_to_all(mac: str, ip: str, identifier: int) -> bytes:
    """An echo request to all nodes of the link (RFC 4443, 4.1)."""
    body = struct.pack("!BBHHH", 128, 0, 0, identifier & 0xFFFF, 1) + b"vong gac"
    return _icmp6(mac, ip, socket.inet_pton(socket.AF_INET6, _ALL_NODES), body, 1)


def dhcp_discover(mac: str, transaction: int) -> bytes:
    """Asks for an offer and takes none up; answers are to be broadcast (RFC 2131, 4.1)."""
    own = mac_bytes(mac)
    message = struct.pack("!BBBBIHH", 1, 1, 6, 0, transaction, 0, 0x8000) + bytes(16) + own + bytes(10 + 192)
    message += b"\x63\x82\x53\x63" + b"\x35\x01\x01" + bytes((55, len(_ASKED))) + _ASKED
    message = (message + b"\x3d\x07\x01" + own + b"\xff").ljust(300, b"\0")
    length = 8 + len(message)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    ip = ip[:10] + _checksum(ip).to_bytes(2, "big") + ip[12:]
    udp = struct.pack("!HHHH", _CLIENT, _SERVER, length, 0)  # RFC 768: a sum of 0 is none
    return _EVERYBODY + own + IPV4.to_bytes(2, "big") + ip + udp + message


def dhcpv6_request(mac: str, ip: str, kind: int, transaction: int) -> bytes:
    """Asks servers for an offer (``kind`` :data:`SOLICIT`), which is not taken up, or for name servers alone
    (:data:`INFORMATION_REQUEST`). ``transaction``: 24 bits."""
    own = mac_bytes(mac)
    body = struct.pack("!I", kind << 24 | transaction & 0xFFFFFF)
    body += _option6(1, b"\x00\x03\x00\x01" + own)  # DUID-LL of Ethernet (RFC 8415, 11.4)
    body += _option6(6, struct.pack("!HH", 23, 24)) + _option6(8, bytes(2))
    if kind == SOLICIT:
        body += _option6(3, own[2:] + bytes(8))
    body = struct.pack("!HHHH", _CLIENT6, _SERVER6, 8 + len(body), 0) + body
    return _ipv6(mac, ip, socket.inet_pton(socket.AF_INET6, _ALL_DHCP_SERVERS), body, 17, 6, 1)


def _option6(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value


def _icmp6(mac: str, ip: str, target: bytes, body: bytes, hops: int) -> bytes:
    return _ipv6(mac, ip, target, body, 58, 2, hops)


def _ipv6(mac: str, ip: str, target: bytes, body: bytes, kind: int, sum_at: int, hops: int) -> bytes:
    """``body`` is of the protocol ``kind``, with its checksum at ``sum_at``, 0 so far."""
    source = socket.inet_pton(socket.AF_INET6, ip)
    total = _checksum(source + target + struct.pack("!II", len(body), kind) + body)
    # RFC 8200, 8.1: with UDP a sum of 0 is sent as its other form.
    body = body[:sum_at] + (total or 0xFFFF).to_bytes(2, "big") + body[sum_at + 2 :]
    head = struct.pack("!IHBB", 6 << 28, len(body), kind, hops) + source + target
    # RFC 2464, 7: a multicast address' card is 33:33 and its last four octets.
    return b"\x33\x33" + target[12:] + mac_bytes(mac) + IPV6.to_bytes(2, "big") + head + body


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) & 1)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
