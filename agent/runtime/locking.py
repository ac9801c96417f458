"""Holding a file, so that one agent runs for a state directory; let go when its descriptor is closed."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

from agent.runtime.errors import AlreadyRunningError, NotEnrolledError

if TYPE_CHECKING:
    from agent.settings import StateDirectory

_LOCK_SECONDS: Final = 0.5

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


def hold_state(state: StateDirectory) -> int:
    """Return a descriptor that holds the state directory until the process ends.

    Raises:
        AlreadyRunningError: another agent has it.
        NotEnrolledError: there is no such directory, it may not be written, or root is asked to write in another's.
    """
    try:
        state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_folder_of_another(state)
        descriptor = os.open(
            state.lock, os.O_RDWR | os.O_CREAT | OPEN_FLAGS | getattr(os, "O_NOFOLLOW", 0), 0o600
        )
    except OSError as error:
        raise NotEnrolledError(f"{state.root}: {error.strerror}: run as root, or give --state") from error
    # 'vonggac-agent status' holds it for an instant to see whether somebody else does.
    patience = time.monotonic() + _LOCK_SECONDS
    while True:
        if hold(descriptor):
            return descriptor
        if time.monotonic() >= patience:
            os.close(descriptor)
            raise AlreadyRunningError(
                f"{state.root}: another agent is running with this state directory: stop it first"
            )
        time.sleep(0.05)


def _refuse_folder_of_another(state: StateDirectory) -> None:
    """What root makes there its owner could not read, and could have led elsewhere by a link."""
    if sys.platform != "win32" and os.geteuid() == 0 and (owner := state.root.stat().st_uid) != 0:
        raise NotEnrolledError(
            f'{state.root} belongs to user {owner}: run as that user: runuser -u "$(id -nu {owner})" -- vonggac-agent …'
        )
