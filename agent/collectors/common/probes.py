"""Small questions put to the network: an echo request (RFC 792, RFC 4443), a DNS query (RFC 1035), a connection.

Each bounds its time, sends nothing that says who asks, and takes answers for hostile.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time

from msgspec import Struct

from agent import reasons

_ECHO, _ECHO_REPLY = 8, 0
_ECHO6, _ECHO6_REPLY = 128, 129


class Ping(Struct, frozen=True):
    """``rtt_seconds`` is the shortest round trip; ``None`` where nothing came back."""

    sent: int
    received: int
    rtt_seconds: float | None


class ProbeNotPermittedError(Exception):
    """This process may not send echo requests; ``str()`` says what it would need."""


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(data[::2]) * 256 + sum(data[1::2])
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_request(identifier: int, sequence: int, token: bytes, *, v6: bool) -> bytes:
    """An ICMP echo request; over IPv6 the kernel fills the checksum in."""
    kind = _ECHO6 if v6 else _ECHO
    head = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence)
    total = 0 if v6 else checksum(head + token)
    return struct.pack("!BBHHH", kind, 0, total, identifier, sequence) + token


def parse_echo_reply(packet: bytes, token: bytes, *, v6: bool, raw: bool) -> int | None:
    """The sequence number of a reply that carries ``token``; ``None`` for any other packet."""
    if raw and not v6:  # a raw IPv4 socket hands out the IP header too
        if not packet or (length := (packet[0] & 0x0F) * 4) < 20:
            return None
        packet = packet[length:]
    if len(packet) < 8 or packet[0] != (_ECHO6_REPLY if v6 else _ECHO_REPLY) or packet[8:] != token:
        return None
    return int.from_bytes(packet[6:8], "big")


def _icmp_socket(family: int, protocol: int) -> tuple[socket.socket, bool]:
    """``(socket, whether it is raw)``: the unprivileged kind where net.ipv4.ping_group_range allows it."""
    try:
        return socket.socket(family, socket.SOCK_DGRAM, protocol), False
    except PermissionError:
        pass
    try:
        return socket.socket(family, socket.SOCK_RAW, protocol), True
    except PermissionError as error:
        raise ProbeNotPermittedError(reasons.PING_NEEDS_ROOT()) from error


def ping(address: str, count: int, timeout_seconds: float, interface: str = "") -> Ping:
    """``count`` echo requests to ``address``, one after the other; a lost one waits ``timeout_seconds``.

    Raises:
        ProbeNotPermittedError: see there.
        OSError: the request could not even be sent (no route, interface down).
    """
    v6 = ":" in address
    family = socket.AF_INET6 if v6 else socket.AF_INET
    connection, raw = _icmp_socket(family, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
    scope = socket.if_nametoindex(interface) if v6 and interface and address.startswith("fe80:") else 0
    target = (address, 0, 0, scope) if v6 else (address, 0)
    token = os.urandom(16)
    best, received = None, 0
    with connection:
        for sequence in range(1, count + 1):
            connection.sendto(echo_request(os.getpid() & 0xFFFF, sequence, token, v6=v6), target)
            started = time.perf_counter()
            while (left := started + timeout_seconds - time.perf_counter()) > 0:
                if not select.select([connection], [], [], left)[0]:
                    break
                packet = connection.recv(2048)
                if parse_echo_reply(packet, token, v6=v6, raw=raw) == sequence:
                    took = time.perf_counter() - started
                    best = took if best is None else min(best, took)
                    received += 1
                    break
    return Ping(sent=count, received=received, rtt_seconds=best)


def dns_query(identifier: int) -> bytes:
    """Who serves the root? A question that every resolver can answer from its cache and that tells it nothing."""
    return struct.pack("!HHHHHH", identifier, 0x0100, 1, 0, 0, 0) + b"\0" + struct.pack("!HH", 2, 1)


def is_dns_answer(packet: bytes, identifier: int) -> bool:
    """Whether ``packet`` answers :func:`dns_query`. A refusal counts: the server is there and speaks DNS."""
    if len(packet) < 12:
        return False
    number, flags = struct.unpack_from("!HH", packet)
    return number == identifier and bool(flags & 0x8000)


def ask_dns(server: str, timeout_seconds: float, port: int = 53) -> float | None:
    """Seconds until ``server`` answered over UDP; ``None``: it did not."""
    identifier = int.from_bytes(os.urandom(2), "big")
    try:
        info = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
        with socket.socket(info[0], socket.SOCK_DGRAM) as connection:
            connection.connect(info[4])
            started = time.perf_counter()
            connection.send(dns_query(identifier))
            while (left := started + timeout_seconds - time.perf_counter()) > 0:
                connection.settimeout(left)
                if is_dns_answer(connection.recv(2048), identifier):
                    return time.perf_counter() - started
    except OSError:
        pass
    return None


def time_to_connect(host: str, port: int, timeout_seconds: float) -> float | None:
    """Seconds for a TCP connection, the name's resolution included; ``None``: none came about."""
    started = time.perf_counter()
    try:
        with socket.create_connection((host, port), timeout_seconds):
            return time.perf_counter() - started
    except OSError:
        return None
