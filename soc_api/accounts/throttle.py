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
    """Counts failed tries an address in a sliding window, in memory. An IPv6 address counts as its /64.

    Threads may share it. ``clock`` is monotonic seconds.
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
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def refuse_flood(self, address: str) -> None:
        """Raise :class:`TooManyTriesError` where the address has used up its tries."""
        with self._lock:
            failures = self._failures.get(_key(address))
            if failures is None:
                return
            now = self._clock()
            while failures and failures[0] <= now - self._window:
                failures.popleft()
            if len(failures) >= self._tries:
                wait = int(failures[0] + self._window - now) + 1
                raise TooManyTriesError(f"too many failed sign-ins from this address: wait {wait} s", wait)

    def failed(self, address: str) -> None:
        with self._lock:
            failures = self._failures.setdefault(_key(address), deque(maxlen=self._tries))
            failures.append(self._clock())
            self._failures.move_to_end(_key(address))
            while len(self._failures) > _ADDRESSES_KEPT:
                self._failures.popitem(last=False)


def _key(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
