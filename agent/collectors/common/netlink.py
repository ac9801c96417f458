"""Asks the kernel for a whole table by netlink(7) and takes its messages apart."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3
_REQUEST_DUMP = 0x301
#: A table with more than this is cut.
MAX_MESSAGES = 20_000


class Message(Struct, frozen=True):
    """One netlink message without its header; ``kind`` is the family's own, of rtnetlink ``RTM_…``."""

    kind: int
    body: bytes


def parse_messages(data: bytes) -> tuple[list[Message], bool]:
    """``(messages, whether the table is complete)`` from what one receive returned.

    A length that does not fit ends the reading.

    Raises:
        OSError: the kernel answered with an error.
    """
    found: list[Message] = []
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data) or kind == _DONE:
            return found, True
        if kind == _ERROR and length >= _HEADER.size + 4:
            (code,) = struct.unpack_from("=i", data, at + _HEADER.size)
            raise OSError(-code, "the kernel refused the table")
        found.append(Message(kind=kind, body=data[at + _HEADER.size : at + length]))
        at += (length + 3) & ~3
    return found, False


def parse_attributes(data: bytes) -> dict[int, bytes]:
    """The attributes (``rtattr``) in ``data``; the last of a kind counts."""
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            break
        found[int(kind)] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


#: Of routes, links, addresses and neighbours (NETLINK_ROUTE, which Python knows on Linux only).
ROUTE = 0


def read_table(kind: int, body: bytes, family: int = ROUTE) -> Iterator[Message]:
    """Every message of the table that the request ``kind`` (``RTM_GET…``) of a netlink family asks for.

    Raises:
        OSError: netlink is refused here, or the kernel did not answer within two seconds.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family) as link:
        link.settimeout(2)
        link.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body)
        done, count = False, 0
        while not done and count < MAX_MESSAGES:
            messages, done = parse_messages(link.recv(1 << 17))
            count += len(messages)
            yield from messages
