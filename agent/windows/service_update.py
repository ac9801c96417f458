"""The service starts ``update apply`` beside itself: the service is restarted by it, so it must outlive it.

Part of every running agent: what needs the cryptography is in the process that is started.
"""

from __future__ import annotations

import contextlib
import os
import subprocess  # our own interpreter and module, by an argument list
import sys
from typing import TYPE_CHECKING, Final

from agent.runtime.locking import OPEN_FLAGS, hold
from agent.update.following import FOLDER, READY
from agent.update.place import GOING_BACK, SWITCHING
from agent.windows.scm import MODULE
from agent.windows.service_log import is_full

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.update.place import Installation

_MOST_LOG_BYTES: Final = 1 << 20


class Updater:
    """Call :meth:`look` now and then, from one thread.

    Args:
        options: ``--config`` and ``--state`` as the service has them.
        log: what the command says.
        program: how the command begins; by default this agent itself.
    """

    def __init__(
        self,
        place: Installation,
        state: Path,
        options: Sequence[str],
        log: Path,
        program: Sequence[str] = (sys.executable, *MODULE),
    ) -> None:
        self._place = place
        self._ready = state / FOLDER / READY
        self._command = [*program, "update", "apply", *options]
        self._log = log
        self._running: subprocess.Popen[bytes] | None = None
        self._interrupted = place.read_record().state in (SWITCHING, GOING_BACK)

    def look(self) -> bool:
        """Start it where a release is offered, or a switch was interrupted by whatever ended the last one; whether it
        was started. Not while one is at work, started by whom ever.

        Raises:
            OSError: it cannot be started.
        """
        if self._running is not None and self._running.poll() is None:
            return False
        if not (self._interrupted or self._ready.exists()) or self._is_at_work():
            return False
        self._interrupted = False
        with self._log.open("wb" if is_full(self._log, _MOST_LOG_BYTES) else "ab") as log:
            self._running = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        return True

    def _is_at_work(self) -> bool:
        """Whether somebody holds the lock of updates."""
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self._place.lock, os.O_RDWR | OPEN_FLAGS)
            try:
                return not hold(descriptor)
            finally:
                os.close(descriptor)
        return False
