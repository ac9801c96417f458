"""Counts what never came: gaps in the numbers of an agent's batches, and what the agent says it dropped. And notices
what came from two places: copies of one agent's memory go on with one stream, each with contents of its own."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from sqlalchemy import select

from collector.state.tables import Stream
from collector.state.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from sqlalchemy.orm import Session

_MAX_GAPS = 256
#: A stream begins where an agent has lost its memory. One that begins more of them than this invents them, and all are
#: read for every step with a row of the endpoint.
MAX_STREAMS = 256
_CHUNK = 500


class TooManyStreamsError(ValueError):
    """An endpoint has begun more streams than any real one."""


#: How many of the newest batches' contents a stream remembers; an agent repeats only the one that was not acknowledged.
_RECENT: Final = 32
_DIGEST: Final = 6
_UNKNOWN: Final = bytes(_DIGEST)
_MAX_HEADS: Final = 16
#: While a key is in two places, that is told this often.
TELL_SECONDS: Final = 86_400.0


class Came(StrEnum):
    """What a batch is to its stream: ``FORKED`` has a number that another content had."""

    FRESH = "fresh"
    REPEATED = "repeated"
    FORKED = "forked"


class Fork(Struct):
    """A stream that more than one went on with: ``heads`` are the last numbers of each (``at`` is who spoke last),
    ``returns`` how often one spoke on after another had. One head that ends for good is a machine that went back to an
    earlier state; two that go on in turns are two machines. ``digests`` are of the newest forked contents."""

    heads: list[int]
    at: int
    since: float
    returns: int = 0
    told: float = 0.0
    switched_sent: float = 0.0
    digests: list[str] = []


@dataclass
class StreamState:
    """``gaps`` are ``[first, last]`` ranges of numbers that never came, in order; ``recent`` digests of what came under
    the newest numbers, up to ``last_seq``."""

    last_seq: int = 0
    missing: int = 0
    dropped: int = 0
    gaps: list[list[int]] = field(default_factory=list)
    recent: bytes = b""
    fork: Fork | None = None

    def take(self, seq: int, digest: bytes) -> Came:
        """Note that number ``seq`` came, with a content of this :func:`digest_of`."""
        if seq > self.last_seq:
            if seq > self.last_seq + 1:
                self.gaps.append([self.last_seq + 1, seq - 1])
                self.missing += seq - 1 - self.last_seq
                del self.gaps[:-_MAX_GAPS]
            passed = min(seq - self.last_seq - 1, _RECENT)
            self.recent = (self.recent + _UNKNOWN * passed + digest)[-_RECENT * _DIGEST :]
            self.last_seq = seq
            return Came.FRESH
        for position, (first, last) in enumerate(self.gaps):
            if first <= seq <= last:
                rest = [[first, seq - 1], [seq + 1, last]]
                self.gaps[position : position + 1] = [part for part in rest if part[0] <= part[1]]
                self.missing -= 1
                self._put(seq, digest)
                return Came.FRESH
        return Came.REPEATED if self._came(seq, digest) else Came.FORKED

    def note(self, seq: int, came: Came, digest: bytes, sent_at: float, now: float) -> str:
        """Who speaks after a batch came: ``went_back`` where the stream was gone on with from an earlier number,
        ``two_places`` where two go on with it in turns, and that is news; else empty."""
        if self.fork is None:
            if came is not Came.FORKED:
                return ""
            self.fork = Fork([self.last_seq, seq], 1, now, switched_sent=sent_at)
            self._remember(digest)
            return "went_back"
        fork = self.fork
        if came is Came.FORKED:
            self._remember(digest)
        before = [index for index, head in enumerate(fork.heads) if head == seq - 1]
        if not before:  # some were lost on the way
            near = seq if came is Came.FRESH else _RECENT
            before = [index for index, head in enumerate(fork.heads) if 0 < seq - head <= near]
            before.sort(key=lambda index: (index != fork.at, -fork.heads[index]))
        if before:
            speaker = fork.at if fork.at in before else before[0]
            fork.heads[speaker] = seq
            return self._speaks(speaker, sent_at, now)
        fork.heads.append(seq)
        if len(fork.heads) > _MAX_HEADS:
            del fork.heads[0]
        fork.at, fork.switched_sent = len(fork.heads) - 1, sent_at
        return "went_back"

    def note_alive(self, seq: int, sent_at: float, now: float) -> str:
        """Who speaks after a sign of life came, as :meth:`note`; it begins no fork, and what was long on its way is not
        believed."""
        fork = self.fork
        if (
            fork is None
            or seq not in fork.heads
            or fork.heads[fork.at] == seq
            or sent_at <= fork.switched_sent
        ):
            return ""
        return self._speaks(fork.heads.index(seq), sent_at, now)

    def _speaks(self, speaker: int, sent_at: float, now: float) -> str:
        fork = self.fork
        if fork is None or speaker == fork.at:
            return ""
        fork.at, fork.switched_sent = speaker, sent_at
        fork.returns += 1
        if 0 <= now - fork.told < TELL_SECONDS:
            return ""
        fork.told = now
        return "two_places"

    def _came(self, seq: int, digest: bytes) -> bool:
        known = self._digest(seq)
        if known == digest or (known is None and seq == self.last_seq):
            return True
        return self.fork is not None and digest.hex() in self.fork.digests

    def _digest(self, seq: int) -> bytes | None:
        start = len(self.recent) - (self.last_seq - seq + 1) * _DIGEST
        found = self.recent[start : start + _DIGEST] if start >= 0 else b""
        return found if found not in (b"", _UNKNOWN) else None

    def _put(self, seq: int, digest: bytes) -> None:
        start = len(self.recent) - (self.last_seq - seq + 1) * _DIGEST
        if start >= 0:
            self.recent = self.recent[:start] + digest + self.recent[start + _DIGEST :]

    def _remember(self, digest: bytes) -> None:
        if self.fork is not None:
            self.fork.digests = [*self.fork.digests, digest.hex()][-_RECENT:]


def digest_of(body: bytes) -> bytes:
    """What tells a batch that is sent again from another one under the same number."""
    return hashlib.blake2b(body, digest_size=_DIGEST).digest()


class StreamsView:
    """Streams of the endpoints named, with the step's own changes over them."""

    def __init__(self, session: Session, endpoint_ids: Iterable[str]) -> None:
        self._streams: dict[tuple[str, str], StreamState] = {}
        self._counts: Counter[str] = Counter()
        self._changed: set[tuple[str, str]] = set()
        ids = sorted(set(endpoint_ids))
        for start in range(0, len(ids), _CHUNK):
            query = select(Stream).where(Stream.endpoint_id.in_(ids[start : start + _CHUNK]))
            for row in session.scalars(query):
                gaps = [list(gap) for gap in row.gaps]
                self._counts[row.endpoint_id] += 1
                fork = None if row.fork is None else msgspec.convert(row.fork, Fork)
                self._streams[row.endpoint_id, row.stream] = StreamState(
                    row.last_seq, row.missing, row.dropped, gaps, row.recent or b"", fork
                )

    def of(self, endpoint_id: str, stream: str) -> StreamState:
        """The stream's state, to be changed in place.

        Raises:
            TooManyStreamsError: it would be one too many.
        """
        key = (endpoint_id, stream)
        if key not in self._streams:
            if self._counts[endpoint_id] >= MAX_STREAMS:
                raise TooManyStreamsError(f"more than {MAX_STREAMS} streams")
            self._counts[endpoint_id] += 1
            self._streams[key] = StreamState()
        self._changed.add(key)
        return self._streams[key]

    def forked(self, endpoint_id: str, stream: str) -> StreamState | None:
        """The stream's state where more than one went on with it, to be changed in place."""
        state = self._streams.get((endpoint_id, stream))
        if state is None or state.fork is None:
            return None
        self._changed.add((endpoint_id, stream))
        return state

    def flush(self, session: Session, existing: Collection[str], now: datetime) -> None:
        rows = [
            {
                "endpoint_id": endpoint_id,
                "stream": stream,
                "last_seq": state.last_seq,
                "missing": state.missing,
                "dropped": state.dropped,
                "gaps": state.gaps,
                "recent": state.recent,
                "fork": None if state.fork is None else msgspec.to_builtins(state.fork),
                "updated_at": now,
            }
            for endpoint_id, stream in sorted(self._changed)
            if endpoint_id in existing
            for state in (self._streams[endpoint_id, stream],)
        ]
        upsert(session, Stream, rows, ("endpoint_id", "stream"))
