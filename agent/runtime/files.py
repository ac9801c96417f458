"""Writing files so that a crash leaves the old content or the new, never a mixture; and reading them back, also where
root reads what belongs to the agent's user."""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING

from agent.runtime.locking import OPEN_FLAGS

if TYPE_CHECKING:
    from pathlib import Path


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace ``path`` by ``data``. When it returns and ``durable`` is true, a power cut does not undo it. A link that
    somebody has put in the way is replaced, never followed.

    Raises:
        OSError: nothing was changed (no space, no right); no temporary file stays behind.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        descriptor = _create(temporary, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            if sys.platform != "win32":  # there it is the folder's access list that counts
                os.fchmod(descriptor, mode)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def _create(path: Path, mode: int) -> int:
    """A new file in place of what a crash has left; a link of that name leads nowhere."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN_FLAGS
    try:
        return os.open(path, flags, mode)
    except FileExistsError:
        path.unlink(missing_ok=True)
        return os.open(path, flags, mode)


def sync_directory(path: Path) -> None:
    """Make renames and removals in ``path`` durable, where a system lets folders be synced (Windows does not)."""
    if sys.platform != "win32":
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_own(path: str | Path, *, folder: int | None = None) -> int:
    """A descriptor to read a file that the agent wrote, which may be somebody else's by now: follows no link, waits for
    no pipe. ``folder``: the descriptor of one that ``path`` is in.

    Raises:
        OSError: there is none, or it is no plain file.
    """
    flags = os.O_RDONLY | OPEN_FLAGS | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return descriptor


def read_own(path: str | Path, most: int, *, folder: int | None = None) -> bytes:
    """What stands in such a file (:func:`open_own`), at most ``most`` bytes.

    Raises:
        OSError: there is none, it is no plain file, or it is longer (``EFBIG``).
    """
    descriptor = open_own(path, folder=folder)
    try:
        pieces, wanted = [], most + 1
        while wanted and (piece := os.read(descriptor, min(wanted, 1 << 20))):
            pieces.append(piece)
            wanted -= len(piece)
    finally:
        os.close(descriptor)
    data = b"".join(pieces)
    if len(data) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data
