"""Reads what machines announce of themselves: mDNS (RFC 6762), NetBIOS (RFC 1002), LLDP (IEEE 802.1AB), CDP.

Pure; every text comes out short and printable. Raises :class:`ValueError` or :class:`IndexError` at most.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from msgspec import Struct

_A, _AAAA, _SRV = 1, 28, 33
_MOST_RECORDS: Final = 64
_MOST_JUMPS: Final = 16
#: NetBIOS suffixes of a workstation's and a server's own name (RFC 1001 appendix; [MS-NBTE] 2.2.1).
_OWN_SUFFIXES: Final = (0x00, 0x20)
_REGISTRATIONS: Final = (5, 6, 8, 9)


class Announced(Struct, frozen=True):
    """A machine's own name, without domain."""

    name: str


class Port(Struct, frozen=True):
    """A switch's port as the switch calls it. ``vlan`` 0: not told."""

    protocol: str
    switch: str
    switch_id: str
    port: str
    description: str = ""
    system: str = ""
    vlan: int = 0
    management_ip: str = ""


def text(octets: bytes, most: int) -> str:
    """Printable text of at most ``most`` characters; what is no character of text is left out."""
    decoded = octets[: 4 * most].decode("utf-8", "replace").replace("\ufffd", "")
    return "".join(each for each in decoded if each.isprintable()).strip()[:most]


def read_mdns(data: bytes) -> Announced | None:
    """The ``.local`` name of who answers: that of its address records, else of its services' host."""
    if len(data) < 12 or not data[2] & 0x80:
        return None
    questions, *counts = struct.unpack_from("!HHHH", data, 4)
    at = 12
    for _ in range(min(questions, _MOST_RECORDS)):
        at = _skip_name(data, at) + 4
    other = ""
    for _ in range(min(sum(counts), _MOST_RECORDS)):
        name_at, at = at, _skip_name(data, at)
        kind, _class, _life, size = struct.unpack_from("!HHIH", data, at)
        at += 10
        if kind in (_A, _AAAA):
            name = _host(_name(data, name_at))
            if name:
                return Announced(name)
        elif kind == _SRV and size > 6 and not other:
            other = _host(_name(data, at + 6))
        at += size
    return Announced(other) if other else None


def _host(labels: list[str]) -> str:
    return labels[0] if len(labels) == 2 and labels[1].lower() == "local" else ""


def _name(data: bytes, at: int) -> list[str]:
    labels: list[str] = []
    jumps = 0
    while (size := data[at]) and len(labels) < 8:
        if size & 0xC0 == 0xC0:
            jumps += 1
            if jumps > _MOST_JUMPS:
                raise ValueError("a name that goes round")
            at = (size & 0x3F) << 8 | data[at + 1]
            continue
        labels.append(text(data[at + 1 : at + 1 + size], 63))
        at += 1 + size
    return labels


def _skip_name(data: bytes, at: int) -> int:
    while size := data[at]:
        if size & 0xC0 == 0xC0:
            return at + 2
        at += 1 + size
    return at + 1


def read_netbios(data: bytes, *, datagram: bool) -> Announced | None:
    """The sender's own unique name: of a registration or refresh (port 137), or a datagram's source (138)."""
    if datagram:
        if len(data) < 14 + 34 or data[0] not in (0x10, 0x11, 0x12):
            return None
        return _netbios_name(data[14 + 1 : 14 + 33])
    if len(data) < 12 + 34 or data[2] & 0x80 or data[2] >> 3 & 15 not in _REGISTRATIONS or data[12] != 32:
        return None
    # The flags of the record that is registered: the highest bit says that it is a group's name.
    flags_at = len(data) - 6
    if data[flags_at] & 0x80:
        return None
    return _netbios_name(data[13:45])


def _netbios_name(encoded: bytes) -> Announced | None:
    halves = [each - 0x41 for each in encoded]
    if len(halves) != 32 or any(not 0 <= each <= 15 for each in halves):
        return None
    octets = bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True))
    name = text(octets[:15], 15)
    return Announced(name) if name and octets[15] in _OWN_SUFFIXES else None


def read_lldp(data: bytes) -> Port | None:
    """IEEE 802.1AB-2016, 8: chassis, port, names and the management address; the port's VLAN (Annex D)."""
    said: dict[int, bytes] = {}
    vlan, at = 0, 0
    while at + 2 <= len(data):
        head = int.from_bytes(data[at : at + 2], "big")
        kind, size = head >> 9, head & 0x1FF
        value = data[at + 2 : at + 2 + size]
        if kind == 0 or len(value) < size:
            break
        if kind == 127 and value[:4] == b"\x00\x80\xc2\x01" and len(value) >= 6:
            vlan = int.from_bytes(value[4:6], "big") & 0xFFF
        else:
            said.setdefault(kind, value)
        at += 2 + size
    if not {1, 2} <= said.keys():
        return None
    return Port(
        "lldp",
        switch=text(said.get(5, b""), 128),
        switch_id=_identity(said[1], mac=4, address=5),
        port=_identity(said[2], mac=3, address=4),
        description=text(said.get(4, b""), 128),
        system=text(said.get(6, b""), 255),
        vlan=vlan,
        management_ip=_management(said.get(8, b"")),
    )


def _identity(value: bytes, *, mac: int, address: int) -> str:
    """A chassis' or port's name; which subtypes are a MAC and a network address differs between the two."""
    if not value:
        return ""
    if value[0] == mac and len(value) == 7:
        return value[1:].hex(":")
    if value[0] == address:
        return _network_address(value[1:])
    return text(value[1:], 128)


def _management(value: bytes) -> str:
    return _network_address(value[1 : 1 + value[0]]) if value else ""


def _network_address(value: bytes) -> str:
    """By address family numbers (IANA): 1 is IPv4, 2 is IPv6."""
    if len(value) == 5 and value[0] == 1:
        return socket.inet_ntoa(value[1:])
    if len(value) == 17 and value[0] == 2:
        return socket.inet_ntop(socket.AF_INET6, value[1:])
    return ""


def read_cdp(data: bytes) -> Port | None:
    """Cisco Discovery Protocol: device, port, platform, address, native VLAN."""
    said: dict[int, bytes] = {}
    at = 4
    while at + 4 <= len(data):
        kind, size = struct.unpack_from("!HH", data, at)
        if size < 4 or at + size > len(data):
            break
        said.setdefault(kind, data[at + 4 : at + size])
        at += size
    if not {1, 3} <= said.keys():
        return None
    vlan, address = said.get(10, b""), said.get(2, b"")
    return Port(
        "cdp",
        switch=text(said[1], 128),
        switch_id=text(said[1], 128),
        port=text(said[3], 128),
        system=text(said.get(6, b""), 255),
        vlan=int.from_bytes(vlan, "big") & 0xFFF if len(vlan) == 2 else 0,
        # One address, of the protocol NLPID 0xCC (IP): 4 octets of count, type, length, protocol, length.
        management_ip=socket.inet_ntoa(address[9:13])
        if address[4:9] == b"\x01\x01\xcc\x00\x04" and len(address) >= 13
        else "",
    )
