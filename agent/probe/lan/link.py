"""The one packet socket: what comes in past the kernel's filter, what goes out, and what the kernel had to drop."""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import TYPE_CHECKING, Final

from agent.collectors.common.netlink import parse_attributes, read_table
from agent.collectors.common.routes import parse_ipv6_route, parse_route
from agent.probe.lan import filter as bpf

if TYPE_CHECKING:
    from pathlib import Path

_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP, _STATISTICS, _IGNORE_OUTGOING = 1, 6, 23
_ALLMULTI: Final = 2
_SO_ATTACH_FILTER: Final = 26
_ETH_P_ALL: Final = 3
_ETHERNET: Final = "1"
_RECEIVE_BYTES: Final = 1 << 20
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFADDRMSG = struct.Struct("=BBBBI")
_ADDRESS_BYTES: Final = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}


class LinkError(Exception):
    """There is no interface to listen on, or no right to; ``str()`` says which."""


class Link:
    """An Ethernet interface. Raises :class:`LinkError` where it cannot be opened."""

    def __init__(self, interface: str, sys: Path) -> None:
        self.interface = interface
        folder = sys / "class/net" / interface
        try:
            kind = (folder / "type").read_text().strip()
            self.mac = (folder / "address").read_text().strip().lower()
        except OSError as error:
            raise LinkError(f"there is no interface {interface!r}") from error
        if kind != _ETHERNET:
            raise LinkError(f"{interface} is no Ethernet interface")
        try:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError as error:
            raise LinkError("a packet socket needs CAP_NET_RAW") from error
        try:
            self._set_up()
        except OSError as error:
            self.socket.close()
            raise LinkError(f"{interface}: {error.strerror or error}") from error

    def _set_up(self) -> None:
        program = bpf.program()
        held = ctypes.create_string_buffer(program, len(program))
        self.socket.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("@HP", bpf.length(), ctypes.addressof(held)),
        )
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        self.socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        # Bound only now: until then nothing unfiltered has come in.
        self.socket.bind((self.interface, _ETH_P_ALL))
        number = socket.if_nametoindex(self.interface)
        request = struct.pack("@iHH8s", number, _ALLMULTI, 0, bytes(8))
        self.socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)
        self.socket.setblocking(False)

    def receive(self) -> bytes | None:
        """The next frame; ``None`` where none waits. Raises :class:`LinkError` where the interface went down."""
        try:
            return self.socket.recv(bpf.SNAPLEN)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise LinkError(f"{self.interface}: {error.strerror or error}") from error

    def send(self, frame: bytes) -> bool:
        """Whether the kernel took it; a full queue or a link that is down is no error of ours."""
        try:
            self.socket.send(frame)
        except OSError:
            return False
        return True

    def statistics(self) -> tuple[int, int]:
        """``(frames past the filter, of which dropped)`` since the last call."""
        packets, drops = struct.unpack("@II", self.socket.getsockopt(_SOL_PACKET, _STATISTICS, 8))
        return packets, drops

    def close(self) -> None:
        self.socket.close()


def default_interface(proc: Path) -> str:
    """The default route's; raises :class:`LinkError` where there is none."""
    for name, parse in (("route", parse_route), ("ipv6_route", parse_ipv6_route)):
        try:
            found = parse((proc / "net" / name).read_text())
        except OSError:
            continue
        if found:
            return found[0].interface
    raise LinkError("no default route says which interface: set [scan] interface")


def gateways(interface: str, proc: Path) -> set[str]:
    """Addresses of the default routes' next hops on the interface."""
    found: set[str] = set()
    for name, parse in (("route", parse_route), ("ipv6_route", parse_ipv6_route)):
        try:
            routes = parse((proc / "net" / name).read_text())
        except OSError:
            continue
        found.update(each.ip for each in routes if each.interface == interface)
    return found


def own_addresses(interface: str) -> list[str]:
    """The interface's addresses with their prefix lengths (``10.0.0.5/24``), link-local ones too."""
    try:
        index = socket.if_nametoindex(interface)
        messages = list(read_table(_RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0)))
    except OSError:
        return []
    found = []
    for message in messages:
        if message.kind != _RTM_NEWADDR or len(message.body) < _IFADDRMSG.size:
            continue
        family, prefix, _flags, _scope, at = _IFADDRMSG.unpack_from(message.body)
        attributes = parse_attributes(message.body[_IFADDRMSG.size :])
        packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
        if at == index and len(packed) == _ADDRESS_BYTES.get(family, -1):
            found.append(f"{socket.inet_ntop(family, packed)}/{prefix}")
    return found
