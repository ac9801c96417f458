"""Holding a file, so that one agent runs for a state directory; let go when its descriptor is closed."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    #: For :func:`os.open`: not handed to programs that are started; bytes as they are, not as text.
    OPEN_FLAGS = os.O_BINARY | os.O_NOINHERIT

    def hold(descriptor: int, *, shared: bool = False) -> bool:  # noqa: ARG001 - Windows knows one kind
        """Take the lock without waiting; whether it was to be had. ``shared``: only as others look, too."""
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    OPEN_FLAGS = os.O_CLOEXEC

    def hold(descriptor: int, *, shared: bool = False) -> bool:
        """Take the lock without waiting; whether it was to be had. ``shared``: only as others look, too."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
