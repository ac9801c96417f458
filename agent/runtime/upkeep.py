"""What the running agent sees to beside its work: its own appetite, what the machine stands in, and the age of what
waits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.collectors.registry import Output
from agent.messages import CollectorHealth
from agent.runtime.memory import give_back, resident_bytes
from agent.runtime.surroundings import Lookout, Surroundings
from agent.runtime.watchdog import WATCHDOG, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.runtime.lanes import Lane
    from agent.runtime.outbox import Outbox
    from agent.runtime.spool import Spool
    from agent.settings import Settings

#: On battery intervals are so many times as long: what is polled every two seconds is what keeps a processor awake.
_BATTERY_FAST: Final = 2.5
_BATTERY_SLOW: Final = 2.0
#: On a metered link metrics wait so long for something to travel with.
_METERED_METRICS_SECONDS: Final = 6 * 3600.0
#: When memory is given back: behind the first round of every collector, and from time to time.
_TIDY_FIRST_SECONDS: Final = 45.0
_TIDY_SECONDS: Final = 900.0
#: An agent that started itself anew counts as well again after so long.
_FORGIVEN_SECONDS: Final = 3600.0


class Upkeep:
    """For the main thread. ``lanes``: by whether they are the fast one; ``restarted``: why the process before this one
    started itself anew, where it did."""

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        outbox: Outbox,
        lanes: Mapping[bool, Lane],
        *,
        monotonic: Callable[[], float],
        restarted: str,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._outbox = outbox
        self._lanes = lanes
        self._monotonic = monotonic
        self._lookout = Lookout(Path(settings.host.sys), settings.agent.link, monotonic=monotonic)
        self._watchdog = Watchdog(
            settings.agent.memory_bytes, memory=resident_bytes, cpu=time.process_time, monotonic=monotonic
        )
        self._restarted = restarted
        self._begun = self._last = monotonic()
        self._tidy_due = self._begun + _TIDY_FIRST_SECONDS
        self._tell_of_restart()

    @property
    def around(self) -> Surroundings:
        """What the machine stands in now."""
        return self._lookout.now

    def suit(self, settings: Settings) -> None:
        """Wait with what can wait, where the machine stands so; by these settings from now on."""
        self._settings = settings
        for fast, lane in self._lanes.items():
            lane.patience = (_BATTERY_FAST if fast else _BATTERY_SLOW) if self.around.on_battery else 1.0
        self._outbox.metrics_seconds = max(
            settings.agent.metrics_seconds, _METERED_METRICS_SECONDS if self.around.metered else 0.0
        )

    def step(self) -> str:
        """Do what is due; why the agent should start anew, or nothing. Call it every few seconds."""
        now = self._monotonic()
        self._lookout.look()
        self.suit(self._settings)
        self._spool.grow_older(now - self._last)
        self._last = now
        if now >= self._tidy_due:
            self._tidy_due = now + _TIDY_SECONDS
            give_back()
        if self._restarted and now >= self._begun + _FORGIVEN_SECONDS:
            self._restarted = ""
            self._tell_of_restart()
        return self._watchdog.look()

    def _tell_of_restart(self) -> None:
        """A health of the agent's own, beside those of its collectors; on a machine where it never happened, none."""
        if self._restarted or WATCHDOG in self._outbox.memory(WATCHDOG):
            health = CollectorHealth(
                name=WATCHDOG, ok=not self._restarted, duration_seconds=0.0, reason=self._restarted
            )
            self._outbox.take(WATCHDOG, Output(), {WATCHDOG: True} if self._restarted else {})
            self._outbox.report(health)
