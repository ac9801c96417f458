"""One process of a kind a data directory, by a lock that ends with the process however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RETRY_SECONDS = 0.1


class AlreadyRunningError(CollectorError):
    """Another process holds the lock."""


def is_held(path: Path) -> bool:
    """Whether a process holds ``path`` now."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def hold(path: Path, what: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold ``path`` for the block, waiting up to ``wait_seconds`` for another to end.

    Raises:
        AlreadyRunningError: it is held yet; the message names ``what`` and the holder's process id.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "?"
                raise AlreadyRunningError(f"{what} runs already (process {holder}): stop it first")
            time.sleep(_RETRY_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
