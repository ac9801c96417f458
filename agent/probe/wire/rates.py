"""How much a host is sent a second: new TCP connections, UDP, ICMP echo requests, answers that it did not ask for.

Counts go by destination and are begun anew every second, so that no sender can fill them; only what is over its floor
is kept longer, as an episode.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

SYN, UDP, ICMP, UNASKED = "syn", "udp", "icmp", "unasked"

_DESTINATIONS: Final = 16_384
_EPISODES: Final = 256
_SOURCES: Final = 1024
#: Told is only whether there is one alone.
_PORTS: Final = 2
#: Told when an episode has lasted for so many seconds, then at each doubling, and at least so often; in between where
#: the last two seconds had so many times what was told last: a busy server's episode never ends.
_FIRST_MARK_SECONDS: Final = 2
_NEXT_MARK: Final = 2
_LONGEST_SECONDS: Final = 300
_RISE: Final = 1.5
#: What was told last is forgotten by this share a second, down to what comes now.
_FORGET: Final = 0.99
#: An episode is over when it was under its floor for so long.
_QUIET_SECONDS: Final = 3


class Rate(Struct, frozen=True):
    """What one destination was sent in the last ``seconds``.

    ``port``: of the destination (``SYN``), of the answering service (``UNASKED``), else the one where there is one
    alone. ``size``: bytes; ``answers``: packets back; ``finished``: connections that the client ended in good order,
    and, where the host answers at all, the host too (by FIN, or by a RST of its own), as it does of none that was never
    open. ``sources`` are counted up
    to 1024; ``source`` where there is one alone.
    """

    kind: str
    host: bytes
    port: bytes
    seconds: int
    packets: int
    size: int
    answers: int
    finished: int
    sources: int
    source: bytes
    mac: bytes


#: Of one second: packets, answers, bytes, ended by the client, ended by the host.
_Second = tuple[int, int, int, int, int]


class _Episode:
    """``told``: packets a second that were told last. What is counted begins anew when it is told."""

    __slots__ = ("counted", "last", "mac", "mark", "ports", "quiet", "seconds", "source", "sources", "told")

    def __init__(self) -> None:
        self.seconds = self.quiet = 0
        self.told = 0.0
        self.mark = _FIRST_MARK_SECONDS
        self.last: deque[_Second] = deque(maxlen=_FIRST_MARK_SECONDS)
        self.counted: list[_Second] = []
        self.sources: set[bytes] = set()
        self.source = self.mac = b""
        self.ports: set[bytes] = set()

    def adds(self, second: _Second) -> None:
        self.seconds += 1
        self.last.append(second)
        self.counted.append(second)
        self.told = max(min(self.rate, self.told), self.told * _FORGET)

    @property
    def rate(self) -> float:
        """Packets a second, of late."""
        return sum(each[0] for each in self.last) / len(self.last)

    def due(self) -> list[_Second]:
        """The seconds to tell of now; none where nothing is to be told."""
        if self.seconds >= self.mark:
            self.mark = min(self.seconds * _NEXT_MARK, self.seconds + _LONGEST_SECONDS)
            return self.counted
        if len(self.last) == _FIRST_MARK_SECONDS and self.told and self.rate >= _RISE * self.told:
            return list(self.last)
        return []

    def begins_anew(self, told: int, seconds: int) -> None:
        self.told = told / seconds
        self.counted = []
        self.sources, self.ports = set(), set()
        self.source = self.mac = b""


class RateTable:
    """The counters are public: the loop over packets adds to them. Keys are an address, and for TCP and answers a port
    behind it. ``hot``: of which a flood is going on; their senders are counted by :meth:`sent`."""

    def __init__(self, floors: dict[str, int]) -> None:
        self._floors = floors
        self._episodes: dict[tuple[str, bytes], _Episode] = {}
        self.hot: dict[str, set[bytes]] = {kind: set() for kind in floors}
        #: Counts that found no room.
        self.untracked = 0
        self._begin()

    def _begin(self) -> None:
        self.syn: defaultdict[bytes, int] = defaultdict(int)
        self.syn_answers: defaultdict[bytes, int] = defaultdict(int)
        self.finished: defaultdict[bytes, int] = defaultdict(int)
        self.finished_back: defaultdict[bytes, int] = defaultdict(int)
        self.udp: defaultdict[bytes, int] = defaultdict(int)
        self.udp_bytes: defaultdict[bytes, int] = defaultdict(int)
        self.udp_back: defaultdict[bytes, int] = defaultdict(int)
        self.icmp: defaultdict[bytes, int] = defaultdict(int)
        self.icmp_back: defaultdict[bytes, int] = defaultdict(int)
        self.unasked: defaultdict[bytes, int] = defaultdict(int)
        self.unasked_bytes: defaultdict[bytes, int] = defaultdict(int)

    def has_room(self, counts: dict[bytes, int], key: bytes) -> bool:
        """Whether ``key`` may be counted; ask where a table may grow."""
        if len(counts) < _DESTINATIONS or key in counts:
            return True
        self.untracked += 1
        return False

    def sent(self, kind: str, key: bytes, source: bytes, mac: bytes, port: bytes) -> None:
        """Who sends to a destination that is hot."""
        episode = self._episodes.get((kind, key))
        if episode is not None:
            if not episode.source:
                episode.source, episode.mac = source, mac
            if len(episode.sources) < _SOURCES:
                episode.sources.add(source)
            if len(episode.ports) < _PORTS:
                episode.ports.add(port)

    def tick(self) -> Iterator[Rate]:
        """A second is over: what is to be told of it."""
        kinds = (
            (SYN, self.syn, self.syn_answers, None),
            (UDP, self.udp, self.udp_back, self.udp_bytes),
            (ICMP, self.icmp, self.icmp_back, None),
            (UNASKED, self.unasked, None, self.unasked_bytes),
        )
        finished, finished_back = self.finished, self.finished_back
        self._begin()
        for kind, counts, answers, size in kinds:
            floor = self._floors[kind]
            over = {key: count for key, count in counts.items() if count >= floor}
            for key in over:
                if (kind, key) in self._episodes:
                    continue
                if len(self._episodes) >= _EPISODES:
                    self.untracked += over[key]
                    continue
                self._episodes[kind, key] = _Episode()
                self.hot[kind].add(key)
            for (of, key), episode in list(self._episodes.items()):
                if of != kind:
                    continue
                episode.adds(
                    (
                        counts.get(key, 0),
                        answers.get(key, 0) if answers is not None else 0,
                        size.get(key, 0) if size is not None else 0,
                        finished.get(key, 0) if kind == SYN else 0,
                        finished_back.get(key, 0) if kind == SYN else 0,
                    )
                )
                episode.quiet = 0 if key in over else episode.quiet + 1
                if episode.quiet >= _QUIET_SECONDS:
                    del self._episodes[kind, key]
                    self.hot[kind].discard(key)
                elif key in over and (seconds := episode.due()):
                    rate = _rate(kind, key, episode, seconds)
                    episode.begins_anew(rate.packets, rate.seconds)
                    yield rate


def _rate(kind: str, key: bytes, episode: _Episode, counted: list[_Second]) -> Rate:
    with_port = kind in (SYN, UNASKED)
    packets, answers, size, finished, finished_back = map(sum, zip(*counted, strict=True))
    return Rate(
        kind,
        key[:-2] if with_port else key,
        key[-2:] if with_port else next(iter(episode.ports)) if len(episode.ports) == 1 else b"",
        len(counted),
        packets,
        size,
        answers,
        min(finished, finished_back) if answers else finished,
        len(episode.sources),
        episode.source if len(episode.sources) == 1 else b"",
        episode.mac,
    )
