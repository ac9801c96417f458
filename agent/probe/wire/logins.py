"""Short connections in a row to ports where people sign in, and how much was said in them.

The bytes of a connection are told by the sequence numbers of its first and last packets (RFC 9293), so its content need
not be seen.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

_CONNECTIONS: Final = 8192
_PAIRS: Final = 4096
#: Of whom a connection ended: what only asks cannot push them out.
_KEPT: Final = 2048
#: A connection that lasted longer was no mere try.
_SHORT_SECONDS: Final = 15
_WRAP: Final = 0xFFFFFFFF


class Tries(Struct, frozen=True):
    """Of one source at one port of one host since ``began``. ``size``: bytes that the server said
    in all short connections."""

    source: bytes
    mac: bytes
    host: bytes
    port: bytes
    connections: int
    short: int
    size: int
    began: int


class _Pair:
    __slots__ = ("began", "connections", "mac", "mark", "short", "size")

    def __init__(self, began: int, mac: bytes, mark: int) -> None:
        self.began, self.mac, self.mark = began, mac, mark
        self.connections = self.short = self.size = 0


class LoginTable:
    """The oldest half of what only asked is forgotten when there is too much. ``floor``: short connections within
    ``seconds``, from which on it is told, and again at each doubling."""

    def __init__(self, seconds: float, floor: int) -> None:
        self._seconds, self._floor = seconds, floor
        self._open: dict[bytes, tuple[int, int]] = {}
        self._older_open: dict[bytes, tuple[int, int]] = {}
        self._pairs: dict[bytes, _Pair] = {}
        self._older_pairs: dict[bytes, _Pair] = {}
        self._kept: dict[bytes, _Pair] = {}
        self._swept = 0
        #: Short connections whose count found no room to stay.
        self.untracked = 0

    def begins(self, source: bytes, mac: bytes, host: bytes, port: bytes, now: int) -> None:
        """``source`` asks for a connection."""
        key = source + host + port
        pair = self._pair(key)
        if pair is None or not 0 <= now - pair.began < self._seconds:
            self._kept.pop(key, None)
            if len(self._pairs) >= _PAIRS // 2:
                self._older_pairs, self._pairs = self._pairs, {}
            pair = self._pairs[key] = _Pair(now, mac, self._floor)
        pair.connections += 1

    def accepted(
        self, source: bytes, host: bytes, port: bytes, from_port: bytes, number: int, now: int
    ) -> None:
        """``host`` answered with its first sequence ``number``."""
        if len(self._open) >= _CONNECTIONS // 2:
            self._older_open, self._open = self._open, {}
        self._open[source + from_port + host + port] = (now, number)

    def ends(
        self, source: bytes, host: bytes, port: bytes, from_port: bytes, reached: int, now: int
    ) -> Tries | None:
        """One side ends it; ``reached`` is the server's sequence number then (its own, or what the client acknowledged;
        0: not told). Return what is to be told."""
        connection = source + from_port + host + port
        begun = self._open.pop(connection, None) or self._older_open.pop(connection, None)
        if begun is None or now - begun[0] > _SHORT_SECONDS:
            return None
        key = source + host + port
        pair = self._pair(key)
        if pair is None:
            return None
        pair.short += 1
        self._keep(key, pair, now)
        said = (reached - begun[1] - 1) & _WRAP if reached else 0
        pair.size += said if said < _WRAP // 2 else 0
        if pair.short < pair.mark:
            return None
        pair.mark = 2 * pair.short
        return Tries(source, pair.mac, host, port, pair.connections, pair.short, pair.size, pair.began)

    def _pair(self, key: bytes) -> _Pair | None:
        return self._kept.get(key) or self._pairs.get(key) or self._older_pairs.get(key)

    def _keep(self, key: bytes, pair: _Pair, now: int) -> None:
        if key in self._kept:
            return
        if len(self._kept) >= _KEPT and now != self._swept:
            self._swept = now
            over = [each for each, old in self._kept.items() if not 0 <= now - old.began < self._seconds]
            for each in over:
                del self._kept[each]
        if len(self._kept) >= _KEPT:
            self.untracked += 1
            return
        self._kept[key] = pair
        self._pairs.pop(key, None)
        self._older_pairs.pop(key, None)
