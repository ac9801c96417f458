"""How often one address may try to sign in."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from soc_api.errors import TooManyTriesError

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES: Final = 20
WINDOW_SECONDS: Final = 300.0
_ADDRESSES_KEPT: Final = 10_000


class Throttle:
    """Counts tries an address in a sliding window, in memory. An IPv6 address counts as its /64.

    A try counts from its beginning, so that many at once cannot slip through; :meth:`succeeded` takes it
    back. Threads may share it. ``clock`` is monotonic seconds.
    """

    def __init__(
        self,
        tries: int = TRIES,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tries = tries
        self._window = window_seconds
        self._clock = clock
        self._began: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, address: str) -> None:
        """Note a try. Raise :class:`TooManyTriesError` where the address has used up its tries."""
        with self._lock:
            tries = self._began.setdefault(_key(address), deque())
            self._began.move_to_end(_key(address))
            now = self._clock()
            while tries and tries[0] <= now - self._window:
                tries.popleft()
            if len(tries) >= self._tries:
                wait = int(tries[0] + self._window - now) + 1
                raise TooManyTriesError(f"too many failed tries from this address: wait {wait} s", wait)
            tries.append(now)
            while len(self._began) > _ADDRESSES_KEPT:
                self._began.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Take the address's newest try back."""
        with self._lock:
            tries = self._began.get(_key(address))
            if tries:
                tries.pop()


def _key(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
