"""Bounds on what strangers and senders may cost us."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class FailureLimit:
    """Counts failed attempts per address: ``burst`` at once, then one every ``seconds_each``.

    Only failures count, so a whole office behind one address may enrol. IPv6 counts per /64. Remembers at most
    ``addresses`` of them, forgetting the one that failed longest ago.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        burst: int = 20,
        seconds_each: float = 3.0,
        addresses: int = 10_000,
    ) -> None:
        self._clock = clock
        self._burst = burst
        self._seconds_each = seconds_each
        self._addresses = addresses
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()  # level, when it was so

    def wait_seconds(self, address: str) -> int:
        """0 where the address may try now, else how long it must wait."""
        level = self._level(_key(address))
        over = level - (self._burst - 1)
        return 0 if over <= 0 else max(1, math.ceil(over * self._seconds_each))

    def failed(self, address: str) -> None:
        key = _key(address)
        self._failures[key] = (self._level(key) + 1, self._clock())
        self._failures.move_to_end(key)
        while len(self._failures) > self._addresses:
            self._failures.popitem(last=False)

    def _level(self, key: str) -> float:
        level, when = self._failures.get(key, (0.0, 0.0))
        return max(0.0, level - (self._clock() - when) / self._seconds_each)


class ByteBudget:
    """Bytes of request bodies held in memory at once, over all connections."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """Whether ``size`` more bytes may be held; if so they count until given back."""
        if self.used + size > self._limit:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        self.used -= size

    @property
    def share(self) -> float:
        """How much of it is used, 0 to 1."""
        return self.used / self._limit


class AddressList:
    """Addresses and networks from a setting, e.g. ``["10.0.0.5", "192.0.2.0/24"]``.

    Raises:
        ValueError: an entry is neither; the message names it.
    """

    def __init__(self, entries: list[str]) -> None:
        self._networks = [ipaddress.ip_network(entry, strict=False) for entry in entries]

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self._networks)


def is_loopback(address: str) -> bool:
    return address in _LOOPBACK


_LOOPBACK = AddressList(["127.0.0.0/8", "::1/128"])


def _key(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
