"""A packet socket whose frames the kernel puts into memory that the probe reads: no call a frame, and no copy.

TPACKET_V3: packet(7), and the kernel's Documentation/networking/packet_mmap.rst.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION = 1, 5, 6, 10
_TPACKET_V3: Final = 2
_PROMISCUOUS: Final = 1
_SO_ATTACH_FILTER: Final = 26
_ALL_PROTOCOLS: Final = 3
_GET_FLAGS: Final = 0x8913
#: Switched on, and the other end is there (netdevice(7)): IFF_UP, IFF_RUNNING.
_RUNNING: Final = 0x41
_BLOCK_BYTES: Final = 1 << 18
#: A block that is not full is handed over after so long.
_RETIRE_MILLISECONDS: Final = 100
_USER: Final = 1
_BLOCK: Final = struct.Struct("=8xIII")
_FRAME: Final = struct.Struct("=IIIII4xHH")


class Counted(Struct, frozen=True):
    """Frames that passed the filter since the last count, and those of them that found no room."""

    passed: int
    dropped: int


def check_running(interface: str) -> None:
    """That frames can come in: a socket of an interface that is switched off opens all the same.

    Raises:
        OSError: no such interface, it is switched off, or nothing is at the other end.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as asked:
        said = fcntl.ioctl(asked, _GET_FLAGS, struct.pack("16sH14x", interface.encode()[:15], 0))
    flags: int = struct.unpack_from("=H", said, 16)[0]
    if flags & _RUNNING != _RUNNING:
        raise OSError(errno.ENETDOWN, os.strerror(errno.ENETDOWN))


class Ring:
    """Frames of one interface. One thread; :meth:`close` ends it.

    Raises:
        OSError: no such interface, or no right to it.
    """

    def __init__(self, interface: str, program: bytes, *, ring_bytes: int, promiscuous: bool) -> None:
        self.interface = interface
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self.set_filter(program)
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
            self._blocks = max(4, ring_bytes // _BLOCK_BYTES)
            frames = self._blocks * (_BLOCK_BYTES // 2048)
            asked = struct.pack("=7I", _BLOCK_BYTES, self._blocks, 2048, frames, _RETIRE_MILLISECONDS, 0, 0)
            self._socket.setsockopt(_SOL_PACKET, _RX_RING, asked)
            self._memory = mmap.mmap(self._socket.fileno(), self._blocks * _BLOCK_BYTES)
            self._socket.bind((interface, _ALL_PROTOCOLS))
            if promiscuous:
                wish = struct.pack("=iHH8x", socket.if_nametoindex(interface), _PROMISCUOUS, 0)
                self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, wish)
        except OSError:
            self._socket.close()
            raise
        self._next = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def set_filter(self, program: bytes) -> None:
        """From now on the kernel passes what ``program`` does."""
        room = ctypes.create_string_buffer(program, len(program))
        asked = struct.pack("@HP", len(program) // 8, ctypes.addressof(room))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, asked)

    def read(self, take: Callable[[mmap.mmap, int, int, int, int, int, int], None]) -> int:
        """Hand every frame that waits to ``take``, at most a ring full; return how many blocks there were.

        ``take(memory, start, mac, net, captured, length, second)``: the frame begins at ``start + mac``, its network
        header at ``start + net``; ``captured`` of its ``length`` bytes are there; second: when it came (Unix time).
        """
        memory = self._memory
        for done in range(self._blocks):
            base = self._next * _BLOCK_BYTES
            status, frames, first = _BLOCK.unpack_from(memory, base)
            if not status & _USER:
                return done
            at = base + first
            for _ in range(frames):
                following, second, _, captured, length, mac, net = _FRAME.unpack_from(memory, at)
                take(memory, at, mac, net, captured, length, second)
                at += following
            struct.pack_into("=I", memory, base + 8, 0)
            self._next = (self._next + 1) % self._blocks
        return self._blocks

    def count(self) -> Counted:
        """Since the last call."""
        passed, dropped, _ = struct.unpack("=III", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))
        return Counted(passed, dropped)

    def close(self) -> None:
        self._memory.close()
        self._socket.close()
