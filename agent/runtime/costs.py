"""What a collector's run costs, and what it may cost: budgets in CPU seconds, kept by resting."""

from __future__ import annotations

import time
from typing import Final

from agent.collectors.common.command import program_seconds

#: The share of one core that a collector may take on average. What is polled every few seconds waits for events and
#: may take more while there are many; the rest looks at what hardly changes.
FAST_RATIO: Final = 0.2
SLOW_RATIO: Final = 0.02
#: A rest is never longer than so many intervals: somebody is to be told all the same.
_LONGEST_REST: Final = 15.0


def cpu_seconds() -> float:
    """CPU time of this thread, and of the programs that it has run to their end (not on Windows, which keeps no account
    of them). Differences mean something."""
    return time.thread_time() + program_seconds()


def rest(spent_seconds: float, interval_seconds: float, *, fast: bool) -> float:
    """How long a collector rests at least, in seconds, after a run that took ``spent_seconds`` of CPU time."""
    wanted = max(0.0, spent_seconds) * (1 / (FAST_RATIO if fast else SLOW_RATIO) - 1)
    return min(wanted, _LONGEST_REST * interval_seconds)
