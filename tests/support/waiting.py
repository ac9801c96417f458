"""Wait for another process by looking, never by a fixed sleep."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def wait_until(look: Callable[[], T], *, seconds: float, what: str, every: float = 0.1) -> T:
    """Return the first truthy answer of ``look``; fail after ``seconds`` with ``what`` and the last one."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}; last seen: {answer!r}")
        time.sleep(every)
