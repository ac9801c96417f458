"""Which ports are listened on, and by which process.

The kernel is asked for just these sockets (sock_diag(7)); where it may not be asked, ``/proc/net/{tcp,udp}{,6}``
(proc(5)) is read, for which the kernel walks the table of all connections.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.collectors.common.files import clean_text, read_bytes
from agent.collectors.common.netlink import MAX_MESSAGES, read_table

if TYPE_CHECKING:
    from pathlib import Path

#: A table of a busy server has megabytes, of which the listening sockets stand first (TCP).
TABLE_BYTES: Final = 4 << 20
#: Descriptors looked at in one search for the processes behind new sockets.
MAX_DESCRIPTORS: Final = 50_000
_LISTEN, _UNCONNECTED = b"0A", b"07"
_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST: Final = struct.Struct("=BBBxI48x")
#: family, state, timer, retransmissions; ports and addresses; expiry, queues, user, inode.
_ANSWER: Final = struct.Struct("=BBBB2s2s16s16s12xIIIII")
_NUMBERS: Final = {"tcp": (socket.IPPROTO_TCP, 10), "udp": (socket.IPPROTO_UDP, 7)}
_SOCKET: Final = re.compile(r"socket:\[([0-9]{1,20})\]")


class Socket(Struct, frozen=True):
    """``protocol`` is ``tcp`` or ``udp``; ``inode`` is 0 for the kernel's own."""

    protocol: str
    address: str
    port: int
    uid: int
    inode: int

    @property
    def loopback(self) -> bool:
        return (
            self.address.startswith("127.") or self.address == "::1" or self.address.startswith("::ffff:127.")
        )


def parse_sockets(protocol: str, table: bytes) -> list[Socket]:
    """The listening sockets of one table: of TCP those that listen, of UDP those that are connected to nobody."""
    wanted = _LISTEN if protocol == "tcp" else _UNCONNECTED
    pattern = re.compile(
        rb"^ *[0-9]+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) (?:0{8}|0{32}):0000 " + wanted + rb" "
        rb"\S+ \S+ \S+ +([0-9]{1,10}) +[0-9]+ ([0-9]{1,20}) ",
        re.MULTILINE,
    )
    found: list[Socket] = []
    for match in pattern.finditer(table):
        port = int(match[2], 16)
        if port:
            found.append(Socket(protocol, _address(match[1]), port, int(match[3]), int(match[4])))
    return found


def _address(text: bytes) -> str:
    """Addresses stand there as 32-bit words in the machine's byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    raw = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, raw)


def parse_answer(protocol: str, body: bytes) -> Socket | None:
    """One socket of sock_diag's answer (``inet_diag_msg``); ``None`` for anything else."""
    if len(body) < _ANSWER.size:
        return None
    family, _, _, _, port, _, source, _, _, _, _, uid, inode = _ANSWER.unpack_from(body)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    address = socket.inet_ntop(family, source[: 4 if family == socket.AF_INET else 16])
    number = int.from_bytes(port, "big")
    return Socket(protocol, address, number, uid, inode) if number else None


class Sockets(Struct, frozen=True):
    """``cut``: there were more than were read."""

    found: list[Socket]
    cut: bool


def ask_sockets() -> Sockets:
    """What listens in the network namespace of this process.

    Raises:
        OSError: the kernel has no sock_diag, or does not answer.
    """
    found: list[Socket] = []
    cut = False
    for protocol, (number, state) in _NUMBERS.items():
        for family in (socket.AF_INET, socket.AF_INET6):
            request = _REQUEST.pack(family, number, 0, 1 << state)
            answers = [
                parse_answer(protocol, each.body) for each in read_table(_BY_FAMILY, request, _SOCK_DIAG)
            ]
            cut = cut or len(answers) >= MAX_MESSAGES
            found += [each for each in answers if each is not None]
    return Sockets(found, cut)


def read_sockets(proc: Path) -> Sockets | None:
    """``None`` where nothing can be known."""
    if str(proc) == "/proc":
        try:
            return ask_sockets()
        except OSError:
            pass
    tables = [
        (name[:3], read_bytes(proc / "net" / name, TABLE_BYTES)) for name in ("tcp", "tcp6", "udp", "udp6")
    ]
    if all(table is None for _, table in tables):
        return None
    found = [each for protocol, table in tables if table for each in parse_sockets(protocol, table)]
    return Sockets(found, any(table is not None and len(table) >= TABLE_BYTES for _, table in tables))


class Owner(Struct, frozen=True):
    """The process behind a socket; ``path`` is empty where it may not be read."""

    pid: int
    name: str
    path: str


def find_owners(proc: Path, inodes: set[int]) -> dict[int, Owner]:
    """By the sockets' inodes: the process with the lowest number that holds it. Those of others only root sees."""
    found: dict[int, Owner] = {}
    missing = set(inodes)
    looked = 0
    try:
        with os.scandir(proc) as entries:
            numbers = sorted(int(entry.name) for entry in entries if entry.name.isdigit())
    except OSError:
        return {}
    for number in numbers:
        if not missing or looked > MAX_DESCRIPTORS:
            break
        folder = proc / str(number)
        try:
            descriptors = os.listdir(folder / "fd")  # noqa: PTH208 - names are enough
        except OSError:
            continue
        mine: set[int] = set()
        for name in descriptors:
            looked += 1
            try:
                match = _SOCKET.fullmatch(os.readlink(folder / "fd" / name))  # noqa: PTH115 - no path
            except OSError:
                continue
            if match is not None and int(match[1]) in missing:
                mine.add(int(match[1]))
        if mine:
            owner = _owner(folder, number)
            found.update(dict.fromkeys(mine, owner))
            missing -= mine
    return found


def _owner(folder: Path, number: int) -> Owner:
    try:
        path = clean_text(os.readlink(folder / "exe").removesuffix(" (deleted)"), 512)  # noqa: PTH115 - a text
    except OSError:
        path = ""
    name = (read_bytes(folder / "comm", 64) or b"").decode("utf-8", "replace")
    return Owner(pid=number, name=clean_text(name, 64), path=path)
