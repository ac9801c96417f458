"""Counts what never came: gaps in the numbers of an agent's batches, and what the agent says it dropped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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


@dataclass
class StreamState:
    """``gaps`` are ``[first, last]`` ranges of numbers that never came, in order."""

    last_seq: int = 0
    missing: int = 0
    dropped: int = 0
    gaps: list[list[int]] = field(default_factory=list)

    def take(self, seq: int) -> bool:
        """Note that number ``seq`` came; false where it came before."""
        if seq > self.last_seq:
            if seq > self.last_seq + 1:
                self.gaps.append([self.last_seq + 1, seq - 1])
                self.missing += seq - 1 - self.last_seq
                del self.gaps[:-_MAX_GAPS]
            self.last_seq = seq
            return True
        for position, (first, last) in enumerate(self.gaps):
            if first <= seq <= last:
                rest = [[first, seq - 1], [seq + 1, last]]
                self.gaps[position : position + 1] = [part for part in rest if part[0] <= part[1]]
                self.missing -= 1
                return True
        return False


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
                self._streams[row.endpoint_id, row.stream] = StreamState(
                    row.last_seq, row.missing, row.dropped, gaps
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

    def flush(self, session: Session, existing: Collection[str], now: datetime) -> None:
        rows = [
            {
                "endpoint_id": endpoint_id,
                "stream": stream,
                "last_seq": state.last_seq,
                "missing": state.missing,
                "dropped": state.dropped,
                "gaps": state.gaps,
                "updated_at": now,
            }
            for endpoint_id, stream in sorted(self._changed)
            if endpoint_id in existing
            for state in (self._streams[endpoint_id, stream],)
        ]
        upsert(session, Stream, rows, ("endpoint_id", "stream"))
