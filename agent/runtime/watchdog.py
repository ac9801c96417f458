"""Looks after the agent's own appetite: one that grows or spins is started anew, before its user notices.

Limits are of the process itself, not of the programs it asks, which have their own time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent import reasons

if TYPE_CHECKING:
    from collections.abc import Callable

#: Under which name its health travels, among those of the collectors.
WATCHDOG: Final = "watchdog"
#: How often it looks, and for how long memory must be above its limit: what passes is no leak.
LOOK_SECONDS: Final = 60.0
_LOOKS: Final = 5
#: More than this share of one core, over so long: a run that was left behind may be spinning.
_CPU_RATIO: Final = 0.3
_CPU_SECONDS: Final = 900.0


class Watchdog:
    """``memory`` in bytes, ``cpu`` in seconds of processor time, ``monotonic`` in seconds."""

    def __init__(
        self,
        limit_bytes: int,
        *,
        memory: Callable[[], int],
        cpu: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._limit = limit_bytes
        self._memory = memory
        self._cpu = cpu
        self._monotonic = monotonic
        self._over = 0
        self._due = monotonic() + LOOK_SECONDS
        self._since, self._spent = monotonic(), cpu()

    def look(self) -> str:
        """Why the agent should start anew, in the words of :mod:`agent.reasons`; empty while all is well. May be called
        as often as one likes."""
        now = self._monotonic()
        if now < self._due:
            return ""
        self._due = now + LOOK_SECONDS
        held = self._memory()
        self._over = self._over + 1 if held > self._limit else 0
        if self._over >= _LOOKS:
            return reasons.TOO_MUCH_MEMORY(megabytes=round(held / 1e6), limit=round(self._limit / 1e6))
        if now - self._since >= _CPU_SECONDS:
            ratio = (self._cpu() - self._spent) / (now - self._since)
            self._since, self._spent = now, self._cpu()
            if ratio > _CPU_RATIO:
                return reasons.TOO_MUCH_CPU(percent=round(100 * ratio), limit=round(100 * _CPU_RATIO))
        return ""
