"""Who tried how many hosts and ports, in tables that spoofed senders cannot fill.

A source begins among the new ones, of which the oldest are forgotten when there are too many; who has tried four
different targets has a place of its own, as long as there is one. Time is that of the frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What became of a try.
OPEN, ANSWERED, REFUSED = 0, 1, 2

_NEW_SOURCES: Final = 8192
_KNOWN_SOURCES: Final = 2048
_KNOWN_AFTER: Final = 4
_TARGETS: Final = 2048
_TARGETS_IN_ALL: Final = 40_000
#: Once a mark is passed, answers get so long before it is measured.
_SETTLE_SECONDS: Final = 2
_TOLD_PER_WINDOW: Final = 64
_PORT_BYTES: Final = 2


class Spread(Struct, frozen=True):
    """What one source tried since ``began``: ``ports`` of one host (then ``hosts`` is 0 and ``port`` empty), or one
    port on ``hosts``. ``more``: there is no room to count all. Addresses and ports are as in packets."""

    source: bytes
    mac: bytes
    host: bytes
    port: bytes
    ports: int
    hosts: int
    answered: int
    refused: int
    began: int
    more: bool


class _Source:
    """One source's tries in its window. ``targets``: address and port, and what became of it."""

    __slots__ = ("began", "hosts", "mac", "marked", "more", "ports", "targets", "told")

    def __init__(self, began: int, mac: bytes) -> None:
        self.began = began
        self.mac = mac
        self.targets: dict[bytes, int] = {}
        self.ports: dict[bytes, int] = {}
        self.hosts: dict[bytes, int] = {}
        self.told = 0
        self.marked: set[tuple[bytes, bytes]] = set()
        self.more = False


class SpreadTable:
    """``ports``, ``hosts``: from how many on it is told, and again at each doubling. ``leaves(source, mac, targets)``
    is called with what nobody answered when a window of ``seconds`` ends, but for what was told of."""

    def __init__(
        self,
        seconds: float,
        ports: int,
        hosts: int,
        leaves: Callable[[bytes, bytes, list[bytes]], None] | None = None,
    ) -> None:
        self._seconds, self._ports, self._hosts = seconds, ports, hosts
        self._leaves = leaves
        self._new: dict[bytes, _Source] = {}
        self._older: dict[bytes, _Source] = {}
        self._known: dict[bytes, _Source] = {}
        self._due: dict[tuple[bytes, bytes, bytes], int] = {}
        #: Measured because their windows ended before the answers' time was over.
        self._early: list[Spread] = []
        self._room = _TARGETS_IN_ALL
        #: Tries that found no room beside those of others; what one source tries beyond its own is told as ``more``.
        self.untracked = 0

    def __len__(self) -> int:
        return len(self._new) + len(self._older) + len(self._known)

    def tries(self, source: bytes, mac: bytes, host: bytes, port: bytes, now: int) -> None:
        """``source`` tried ``port`` of ``host``."""
        seen = self._known.get(source) or self._new.get(source) or self._older.get(source)
        if seen is None or not 0 <= now - seen.began < self._seconds:
            seen = self._begin(source, mac, now, seen)
        targets, target = seen.targets, host + port
        if target in targets:
            return
        if len(targets) >= _TARGETS:
            seen.more = True
            return
        if self._room <= 0:
            seen.more = True
            self.untracked += 1
            return
        targets[target] = OPEN
        self._room -= 1
        seen.ports[host] = ports = seen.ports.get(host, 0) + 1
        seen.hosts[port] = hosts = seen.hosts.get(port, 0) + 1
        if ports >= self._ports and port and _is_mark(ports, self._ports):
            self._mark(source, host, b"", now, seen, above=ports > self._ports)
        if hosts >= self._hosts and _is_mark(hosts, self._hosts):
            self._mark(source, b"", port, now, seen, above=hosts > self._hosts)
        if len(targets) == _KNOWN_AFTER and len(self._known) < _KNOWN_SOURCES:
            self._new.pop(source, None)
            self._older.pop(source, None)
            self._known[source] = seen

    def answers(self, source: bytes, host: bytes, port: bytes, state: int) -> bool:
        """``host`` answered, or refused, what ``source`` tried; whether it had tried that in its window."""
        seen = self._known.get(source) or self._new.get(source) or self._older.get(source)
        if seen is None:
            return False
        target = host + port
        before = seen.targets.get(target)
        if before is None:
            return False
        if before == OPEN:
            seen.targets[target] = state
        return True

    def knows(self, source: bytes) -> bool:
        return source in self._known or source in self._new or source in self._older

    def tick(self, now: int) -> Iterator[Spread]:
        """What is to be told now; call it every second."""
        yield from self._early
        self._early.clear()
        for key, when in list(self._due.items()):
            if when <= now or when > now + _SETTLE_SECONDS:  # the clock was set back
                del self._due[key]
                seen = self._known.get(key[0]) or self._new.get(key[0]) or self._older.get(key[0])
                if seen is not None:
                    yield _measured(key, seen)
        ended = [source for source, seen in self._known.items() if not 0 <= now - seen.began < self._seconds]
        for source in ended:
            self._retire(source, self._known.pop(source))
        oldest = next(iter((self._older or self._new).values()), None)
        if oldest is not None and not 0 <= now - oldest.began < 2 * self._seconds:
            self._rotate()

    def _begin(self, source: bytes, mac: bytes, now: int, before: _Source | None) -> _Source:
        if before is not None:
            self._known.pop(source, None)
            self._new.pop(source, None)
            self._older.pop(source, None)
            self._retire(source, before)
        if len(self._new) >= _NEW_SOURCES // 2:
            self._rotate()
        seen = self._new[source] = _Source(now, mac)
        return seen

    def _rotate(self) -> None:
        gone, self._older, self._new = self._older, self._new, {}
        for source, seen in gone.items():
            self._retire(source, seen)

    def _retire(self, source: bytes, seen: _Source) -> None:
        self._room += len(seen.targets)
        for key in [key for key in self._due if key[0] == source] if seen.marked else ():
            del self._due[key]
            self._early.append(_measured(key, seen))
        if self._leaves is not None:
            marked = seen.marked
            unanswered = [
                target
                for target, state in seen.targets.items()
                if state != ANSWERED
                and (target[:-_PORT_BYTES], b"") not in marked
                and (b"", target[-_PORT_BYTES:]) not in marked
            ]
            if unanswered:
                self._leaves(source, seen.mac, unanswered)

    def _mark(self, source: bytes, host: bytes, port: bytes, now: int, seen: _Source, *, above: bool) -> None:
        """``above``: the floor was reached before. Of those there cannot be many, so that nobody can keep one from
        being told by many others that only reach it."""
        if above or seen.told < _TOLD_PER_WINDOW:
            seen.told += not above
            seen.marked.add((host, port))
            self._due.setdefault((source, host, port), now + _SETTLE_SECONDS)


def _is_mark(count: int, floor: int) -> bool:
    """The floor, and each doubling of it."""
    times, rest = divmod(count, floor)
    return not rest and not times & (times - 1)


def _measured(key: tuple[bytes, bytes, bytes], seen: _Source) -> Spread:
    source, host, port = key
    if host:
        states = [state for target, state in seen.targets.items() if target[:-_PORT_BYTES] == host]
    else:
        states = [state for target, state in seen.targets.items() if target.endswith(port)]
        host = next((each[: len(each) - len(port)] for each in seen.targets if each.endswith(port)), b"")
    return Spread(
        source,
        seen.mac,
        host,
        port,
        0 if port or not key[1] else len(states),
        0 if key[1] else len(states),
        states.count(ANSWERED),
        states.count(REFUSED),
        seen.began,
        seen.more,
    )
