"""The events that a correlation keeps to show: packed, shared by all groups they are in, bounded in bytes.

An event that enters correlations is packed once (MessagePack, a fraction of the dictionary's memory) and unpacked
only if somebody looks at its fields. The oldest are forgotten first when all of them together grow too large: a
finding then shows fewer events, but fires all the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from rules.engine.events import Event
from rules.engine.fields import text_of

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(dict[str, Any])
_OVERHEAD: Final = 200
_DEPTH_LIMIT: Final = 100


class PackedFields(Mapping[str, Any]):
    """An event's fields, unpacked at the first look."""

    __slots__ = ("_fields", "_packed")

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._fields: dict[str, Any] | None = None

    def _open(self) -> dict[str, Any]:
        if self._fields is None:
            try:
                self._fields = _DECODER.decode(self._packed)
            except (msgspec.MsgspecError, RecursionError):  # of a damaged snapshot
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


class Record:
    """One event as correlations keep it. ``packed`` is None once its fields are forgotten."""

    __slots__ = ("_event", "category", "id", "packed", "product", "service", "time")

    def __init__(
        self, event_id: str, time: float, product: str, category: str, service: str, packed: bytes | None
    ) -> None:
        self.id = event_id
        self.time = time
        self.product = product
        self.category = category
        self.service = service
        self.packed = packed
        self._event: Event | None = None

    def event(self) -> Event:
        if self._event is None:
            fields = PackedFields(self.packed or b"\x80")
            self._event = Event(self.id, self.time, self.product, self.category, self.service, fields)
        return self._event

    def forget(self) -> None:
        self.packed = self._event = None


class Evidence:
    """All records of an engine. ``limit_bytes`` bounds what their packed fields take."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._records: deque[Record] = deque()
        self.size_bytes = 0

    def keep(self, event: Event) -> Record:
        record = Record(
            event.id, event.time, event.product, event.category, event.service, pack(event.fields)
        )
        self.add(record)
        return record

    def add(self, record: Record) -> None:
        self._records.append(record)
        self.size_bytes += len(record.packed or b"") + _OVERHEAD
        while self.size_bytes > self._limit:
            oldest = self._records.popleft()
            self.size_bytes -= len(oldest.packed or b"") + _OVERHEAD
            oldest.forget()


def pack(fields: Mapping[str, Any]) -> bytes:
    """The fields as MessagePack; what it cannot hold (numbers beyond 64 bits, broken text) as text."""
    try:
        return _ENCODER.encode(fields)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        return _ENCODER.encode(_plain(fields, 0))


def _plain(value: object, depth: int) -> Any:
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
