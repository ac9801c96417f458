"""The agent's own log: one JSON line an event on standard error, said once on loss and once on recovery."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class Log:
    """Thread-safe. ``subject`` is what is lost and found again: ``link``, ``collector:host``, ``spool``."""

    def __init__(self, stream: TextIO | None = None, now: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._now = now
        self._lock = threading.Lock()
        self._lost: dict[str, str] = {}

    def say(self, event: str, **fields: object) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now()))
        line = msgspec.json.encode({"time": stamp, "event": event, **fields}).decode()
        with self._lock:
            stream = self._stream or sys.stderr
            stream.write(line + "\n")
            stream.flush()

    def lost(self, subject: str, reason: str, **fields: object) -> None:
        """Say that ``subject`` fails, unless the same was said last."""
        if self._lost.get(subject) != reason:
            self._lost[subject] = reason
            self.say("lost", subject=subject, reason=reason, **fields)

    def found(self, subject: str) -> None:
        """Say that ``subject`` works again, where it was said that it fails."""
        reason = self._lost.pop(subject, None)
        if reason is not None:
            self.say("recovered", subject=subject, was=reason)
