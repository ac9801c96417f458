"""How much a host is sent a second: new TCP connections, UDP, ICMP echo requests, answers that it did not ask for.

Counts go by destination and are begun anew every second, so that no sender can fill them; only what is over its floor
is kept longer, as an episode.
"""

from __future__ import annotations

from collections import defaultdict
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
#: Told when an episode has lasted for so many seconds, and then at each doubling.
_FIRST_MARK_SECONDS: Final = 2
_NEXT_MARK: Final = 2
#: An episode is over when it was under its floor for so long.
_QUIET_SECONDS: Final = 3


class Rate(Struct, frozen=True):
    """One destination's episode so far.

    ``port``: of the destination (``SYN``), of the answering service (``UNASKED``), else the one where there is one
    alone. ``size``: bytes; ``answers``: packets back; ``finished``: connections that the client ended in good order,
    and, where the host answers at all, the host too, as it does of none that was never open. ``sources`` are counted up
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


class _Episode:
    __slots__ = (
        "answers", "bytes", "finished", "finished_back", "mac", "mark", "packets", "ports", "quiet", "seconds",
        "source", "sources",
    )  # fmt: skip

    def __init__(self) -> None:
        self.seconds = self.packets = self.answers = self.bytes = self.quiet = 0
        self.finished = self.finished_back = 0
        self.mark = _FIRST_MARK_SECONDS
        self.sources: set[bytes] = set()
        self.source = self.mac = b""
        self.ports: set[bytes] = set()


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
                if (kind, key) not in self._episodes and len(self._episodes) < _EPISODES:
                    self._episodes[kind, key] = _Episode()
                    self.hot[kind].add(key)
            for (of, key), episode in list(self._episodes.items()):
                if of != kind:
                    continue
                episode.packets += counts.get(key, 0)
                episode.answers += answers.get(key, 0) if answers is not None else 0
                episode.bytes += size.get(key, 0) if size is not None else 0
                if kind == SYN:
                    episode.finished += finished.get(key, 0)
                    episode.finished_back += finished_back.get(key, 0)
                episode.seconds += 1
                episode.quiet = 0 if key in over else episode.quiet + 1
                if episode.quiet >= _QUIET_SECONDS:
                    del self._episodes[kind, key]
                    self.hot[kind].discard(key)
                elif key in over and episode.seconds >= episode.mark:
                    episode.mark = episode.seconds * _NEXT_MARK
                    yield _rate(kind, key, episode)


def _rate(kind: str, key: bytes, episode: _Episode) -> Rate:
    with_port = kind in (SYN, UNASKED)
    return Rate(
        kind,
        key[:-2] if with_port else key,
        key[-2:] if with_port else next(iter(episode.ports)) if len(episode.ports) == 1 else b"",
        episode.seconds,
        episode.packets,
        episode.bytes,
        episode.answers,
        min(episode.finished, episode.finished_back) if episode.answers else episode.finished,
        len(episode.sources),
        episode.source if len(episode.sources) == 1 else b"",
        episode.mac,
    )
