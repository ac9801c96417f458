"""Asks the kernel to tell what happens in folders (inotify(7)), without a thread and without waiting."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
UNMOUNT: Final = 0x2000
QUEUE_OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
IS_FOLDER: Final = 0x4000_0000
_ONLY_FOLDER: Final = 0x0100_0000

_HEADER: Final = struct.Struct("=iIII")
_READ_BYTES: Final = 64 << 10
#: What one call takes at most (the kernel's queue holds 16,384 by default); a storm beyond it counts as lost.
READS: Final = 16


class Notice(Struct, frozen=True):
    """``watch`` is the number that :meth:`Inotify.add` returned, ``name`` the entry's name in that folder."""

    watch: int
    mask: int
    name: bytes


def parse_notices(data: bytes) -> list[Notice]:
    """The notices of one read; a length that does not fit ends the reading."""
    found: list[Notice] = []
    at = 0
    while at + _HEADER.size <= len(data):
        watch, mask, _cookie, length = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        if at + length > len(data):
            break
        found.append(Notice(watch=watch, mask=mask, name=data[at : at + length].partition(b"\0")[0]))
        at += length
    return found


class Inotify:
    """One queue of the kernel. Not thread-safe."""

    def __init__(self) -> None:
        """Raises :class:`OSError` where the kernel has or gives none."""
        import ctypes

        self._library = ctypes.CDLL(None, use_errno=True)
        self._errno = ctypes.get_errno
        self._queue: int = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._queue < 0:
            raise self._error()

    def _error(self) -> OSError:
        number = self._errno()
        return OSError(number, os.strerror(number))

    def add(self, folder: Path, mask: int) -> int:
        """Watch ``folder``; the number that its notices carry. Watching it again replaces the mask.

        Raises:
            OSError: it is no folder, may not be read, or the limit of watches is reached (``ENOSPC``).
        """
        watch: int = self._library.inotify_add_watch(self._queue, os.fsencode(folder), mask | _ONLY_FOLDER)
        if watch < 0:
            raise self._error()
        return watch

    def remove(self, watch: int) -> None:
        """Forget a watch; one that is gone already is no error."""
        self._library.inotify_rm_watch(self._queue, watch)

    def read(self) -> tuple[list[Notice], bool]:
        """``(notices, lost)``: all that waits, and whether there was more than the queue or this call holds."""
        found: list[Notice] = []
        for _ in range(READS):
            try:
                data = os.read(self._queue, _READ_BYTES)
            except BlockingIOError:
                return found, any(each.mask & QUEUE_OVERFLOW for each in found)
            found += parse_notices(data)
        return found, True

    def close(self) -> None:
        os.close(self._queue)
