"""What a collector's run costs, and what it may cost: budgets in CPU seconds, kept by resting."""

from __future__ import annotations

import sys
import time
from typing import Final

#: The share of one core that a collector may take on average. What is polled every few seconds waits for events and
#: may take more while there are many; the rest looks at what hardly changes.
FAST_RATIO: Final = 0.2
SLOW_RATIO: Final = 0.02


def cpu_seconds() -> float:
    """CPU time of this thread, and of all child processes that were waited for so far. Differences mean something:
    what another thread's children took meanwhile is in them too."""
    if sys.platform == "win32":  # no account of children is kept there
        return time.thread_time()
    import resource

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime


def rest(spent_seconds: float, *, fast: bool) -> float:
    """How long a collector rests at least, in seconds, after a run that took ``spent_seconds`` of CPU time."""
    return max(0.0, spent_seconds) * (1 / (FAST_RATIO if fast else SLOW_RATIO) - 1)
