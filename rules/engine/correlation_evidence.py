"""The events that a correlation keeps to show: packed one behind the other, shared by all groups they are in.

An event that enters correlations is packed once (MessagePack, a fraction of the dictionary's memory) and unpacked
only if somebody looks at it; groups keep its number. Where all of them together grow too large the oldest are
forgotten: a finding then shows fewer events, but fires all the same.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, overload

import msgspec

from rules.engine.events import Event
from rules.engine.fields import text_of

_ENCODER: Final = msgspec.msgpack.Encoder()
_FIELDS: Final = msgspec.msgpack.Decoder(dict[str, Any])
#: id, time, product, category, service, fields.
_EVENT: Final = msgspec.msgpack.Decoder(tuple[str, float, str, str, str, msgspec.Raw])
_CHUNK: Final = 1_024
_time = attrgetter("time")
_LAST_PLACE: Final = 1 << 40
#: What an event takes beside what it holds.
_OVERHEAD: Final = 16
_DEPTH_LIMIT: Final = 100


class PackedFields(Mapping[str, Any]):
    """An event's fields, unpacked at the first look."""

    __slots__ = ("_fields", "_packed")

    def __init__(self, packed: bytes | msgspec.Raw) -> None:
        self._packed = packed
        self._fields: dict[str, Any] | None = None

    def _open(self) -> dict[str, Any]:
        if self._fields is None:
            try:
                self._fields = _FIELDS.decode(self._packed)
            except (msgspec.MsgspecError, ValueError, RecursionError):  # of a snapshot that was made up
                self._fields = {}
        return self._fields

    def __getitem__(self, name: str) -> Any:
        return self._open()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open())

    def __len__(self) -> int:
        return len(self._open())

    def __repr__(self) -> str:
        return repr(self._open())


class Chunk(msgspec.Struct, array_like=True):
    """Some events in order of arrival: ``data`` packed, each up to its one of ``ends``, and their times."""

    data: bytearray
    ends: array[int]
    times: array[float]


class Evidence:
    """All events kept, by number. ``limit_bytes`` bounds what they take; the oldest go, so many at a time."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        #: The numbers of a chunk's events begin with its place here times :data:`_CHUNK`.
        self.chunks: dict[int, Chunk] = {}
        self._chunk = self._begin(0)
        self._next = 0
        self._events: dict[int, Event] = {}
        self.size_bytes = 0

    def _begin(self, place: int) -> Chunk:
        chunk = self.chunks[place] = Chunk(bytearray(), array("Q"), array("d"))
        return chunk

    def keep(self, event: Event) -> int:
        """Keep an event; its number."""
        time = event.time
        whole = (event.id, time, event.product, event.category, event.service, event.fields)
        try:
            packed = _ENCODER.encode(whole)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
            packed = _ENCODER.encode(_plain(whole, 0))
        number = self._next
        self._next = number + 1
        chunk = self._chunk
        chunk.data += packed
        chunk.ends.append(len(chunk.data))
        chunk.times.append(time)
        self.size_bytes += len(packed) + _OVERHEAD
        if not (number + 1) % _CHUNK or self.size_bytes > self._limit:
            self._go_on()
        return number

    def _go_on(self) -> None:
        """A new chunk where the last one is full; the oldest go where all are too large together."""
        if len(self._chunk.ends) == _CHUNK:
            self._chunk = self._begin(self._next // _CHUNK)
        while self.size_bytes > self._limit and len(self.chunks) > 1:
            oldest = self.chunks.pop(next(iter(self.chunks)))
            self.size_bytes -= _size(oldest)
        if self.size_bytes > self._limit:  # one chunk alone: of huge events
            self._chunk.data.clear()
            self._chunk.ends = array("Q", bytes(8 * len(self._chunk.ends)))
            self.size_bytes = _size(self._chunk)

    def time(self, number: int) -> float:
        """When the event of a number was; NaN once it is forgotten."""
        chunk = self.chunks.get(number // _CHUNK)
        at = number % _CHUNK
        return chunk.times[at] if chunk is not None and at < len(chunk.times) else math.nan

    def event(self, number: int) -> Event | None:
        """The event of a number; None once it is forgotten."""
        found = self._events.get(number)
        if found is None:
            found = self._unpacked(number)
            if found is not None:
                if len(self._events) >= _CHUNK:
                    self._events.clear()
                self._events[number] = found
        return found

    def _unpacked(self, number: int) -> Event | None:
        chunk = self.chunks.get(number // _CHUNK)
        at = number % _CHUNK
        if chunk is None or at >= len(chunk.ends):
            return None
        packed = bytes(chunk.data[chunk.ends[at - 1] if at else 0 : chunk.ends[at]])
        try:
            identity, time, product, category, service, fields = _EVENT.decode(packed)
        except (
            msgspec.MsgspecError,
            ValueError,
            RecursionError,
        ):  # forgotten, or of a snapshot that was made up
            return None
        return Event(identity, time, product, category, service, PackedFields(fields))

    def dump(self) -> list[Any]:
        """All that is kept as plain data, for :meth:`load`."""
        return [
            [place, bytes(chunk.data), chunk.ends.tobytes(), chunk.times.tobytes()]
            for place, chunk in self.chunks.items()
        ]

    def load(self, dumped: list[DumpedChunk]) -> bool:
        """Take what was dumped in place of what there is; False, and nothing changed, if it cannot be."""
        chunks: dict[int, Chunk] = {}
        for each in dumped:
            count = len(each.ends) // 8
            if len(each.ends) != 8 * count or len(each.times) != 8 * count or count > _CHUNK:
                return False
            if not 0 <= each.place < _LAST_PLACE or any(each.place <= other for other in chunks):
                return False
            chunks[each.place] = Chunk(bytearray(each.data), array("Q", each.ends), array("d", each.times))
        if not chunks:
            return False
        self.chunks = chunks
        place, self._chunk = next(reversed(chunks.items()))
        self._next = place * _CHUNK + len(self._chunk.ends)
        self._events.clear()
        self.size_bytes = sum(map(_size, chunks.values()))
        self._go_on()
        return True


def representative(evidence: list[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    """At most ``limit`` of events and the rules they matched, as bits: the last of each rule, and the last at all."""
    if len(evidence) <= limit:
        return evidence
    recent = evidence[-limit:]
    shown = 0
    for _, mask in recent:
        shown |= mask
    earlier: list[tuple[int, int]] = []
    for each in reversed(evidence[:-limit]):
        if each[1] & ~shown and len(earlier) < limit // 2:
            shown |= each[1]
            earlier.append(each)
    earlier.reverse()
    return earlier + recent[len(earlier) :]


class Shown(Sequence[Event]):
    """A finding's events, oldest first, put together at the first look: most findings are only counted.

    ``numbers``: of events kept, in order of arrival; those of the window that arrived last are shown, and ``event``,
    which ``record`` is the number of. ``marks``: which rules they matched, so that each rule is shown.
    """

    __slots__ = ("_event", "_events", "_evidence", "_limit", "_marks", "_numbers", "_record", "_window")

    def __init__(
        self,
        evidence: Evidence,
        numbers: Sequence[int],
        event: Event,
        record: int | None,
        window: tuple[float, float],
        limit: int,
        marks: Sequence[int] | None = None,
    ) -> None:
        self._evidence = evidence
        self._marks = marks
        self._numbers = numbers
        self._event = event
        self._record = record
        self._window = window
        self._limit = limit
        self._events: tuple[Event, ...] | None = None

    def _all(self) -> tuple[Event, ...]:
        if self._events is None:
            first, last = self._window
            found = [self._event]
            numbers: Sequence[int] = [
                number for number in self._numbers if first <= self._evidence.time(number) <= last
            ]
            if self._marks is not None and len(numbers) > self._limit:
                marks = dict(zip(self._numbers, self._marks, strict=True))
                pairs = [(number, marks[number]) for number in numbers]
                numbers = [number for number, _ in representative(pairs, self._limit)]
            for number in reversed(numbers):
                if len(found) == self._limit:
                    break
                if number != self._record:
                    kept = self._evidence.event(number)
                    if kept is not None:
                        found.append(kept)
            found.reverse()
            found.sort(key=_time)
            self._events = tuple(found)
        return self._events

    @overload
    def __getitem__(self, at: int) -> Event: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Event, ...]: ...
    def __getitem__(self, at: int | slice) -> Event | tuple[Event, ...]:
        return self._all()[at]

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._event.id)

    def __repr__(self) -> str:
        return repr(self._all())

    def __reduce__(self) -> tuple[type[tuple[Any, ...]], tuple[tuple[Event, ...]]]:
        return tuple, (self._all(),)


class DumpedChunk(msgspec.Struct, array_like=True):
    place: int
    data: bytes
    ends: bytes
    times: bytes


def _size(chunk: Chunk) -> int:
    return len(chunk.data) + _OVERHEAD * len(chunk.ends)


def _plain(value: object, depth: int) -> Any:
    """What MessagePack cannot hold (numbers beyond 64 bits, broken text) as text."""
    if depth > _DEPTH_LIMIT:
        return None
    if isinstance(value, Mapping):
        return {_plain(str(key), 0): _plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, int) and value.bit_length() > 63:
        return text_of(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value if value is None or isinstance(value, (bool, int, float)) else None
