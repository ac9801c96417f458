"""From the bytes of a batch to its parts. What cannot be read becomes a refusal; the rest goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import re2
import zstandard
from msgspec import Raw, Struct

from agent.messages import (
    MAX_BATCH_PARTS,
    MAX_DECODED_BYTES,
    SCHEMA_VERSION,
    Batch,
    CollectorHealth,
    Event,
    Metric,
    Name,
    StatusDocument,
)
from collector.detect.values import UnusableValueError, clean, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec.json import Decoder

T = TypeVar("T")


def _latin1() -> re2.Options:
    """For patterns of bytes."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    return options


_ACCEPTED = range(max(1, SCHEMA_VERSION - 2), SCHEMA_VERSION + 1)
#: What one event's fields and one document's body may hold.
MAX_EVENT_BYTES = 256 << 10
MAX_EVENT_LEAVES = 4_000
MAX_DOCUMENT_BYTES = 4 << 20
MAX_DOCUMENT_LEAVES = 200_000
_MAX_WINDOW_BYTES = 32 << 20
_MAX_COUNTER = 2**53
_UNITS = frozenset({"bytes", "seconds", "ratio", "count", "celsius"})

#: JSON text without such an escape holds neither NUL nor half a surrogate pair in any string.
_find_harmful = re2.compile(rb"\\u(?:0000|[dD])", _latin1()).search
#: Products that most events are of, and that are surely not the collector's own.
_PRODUCTS = frozenset({"windows", "linux", ""})

# The log source of events that only the collector makes, and the kinds of documents that only it keeps or
# that would hide what it says of an event.
OWN_PRODUCT = "vonggac"
RESERVED_KINDS = frozenset(
    {
        "ages",
        "agency",
        "changed",
        "clock",
        "collector_health",
        "device",
        "document",
        "event",
        "health",
        "identity",
        "ip_binding",
        "previous",
        "protection",
        "silence",
        "simulated",
        "stream",
        "vulnerability",
    }
)


class _Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.messages.Batch`` with its parts still unread, so that one bad part spoils no other."""

    schema: int
    created_at: float
    events: list[Raw] = []
    documents: list[Raw] = []
    metrics: list[Raw] = []
    health: list[Raw] = []
    dropped: dict[Name, int] = {}


@dataclass(frozen=True)
class Refusal:
    """A part that could not be read: ``events[3]``, or empty for the whole batch."""

    part: str
    reason: str
    body: bytes


@dataclass
class Decoded:
    """Index and part of everything that could be read; the index is the part's place in the batch."""

    events: list[tuple[int, Event]] = field(default_factory=list)
    documents: list[tuple[int, StatusDocument]] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    health: list[CollectorHealth] = field(default_factory=list)
    dropped: int = 0
    size: int = 0
    refusals: list[Refusal] = field(default_factory=list)


_envelopes = msgspec.json.Decoder(_Envelope)
_batches = msgspec.json.Decoder(Batch)
_events = msgspec.json.Decoder(Event)
_documents = msgspec.json.Decoder(StatusDocument)
_metrics = msgspec.json.Decoder(Metric)
_health = msgspec.json.Decoder(CollectorHealth)


def decode(body: bytes) -> Decoded:
    """Read one batch as it came. Never raises for any content."""
    decoded = Decoded()
    try:
        data = decompress(body)
    except UnusableValueError as error:
        decoded.refusals.append(Refusal("", str(error)[:500], body))
        return decoded
    decoded.size = len(data)
    return decoded if _decode_whole(data, decoded) else _decode_parts(data, body, decoded)


def _decode_whole(data: bytes, decoded: Decoded) -> bool:
    """Read a batch that is sound in every part, in one go; False where it is not, and nothing was done."""
    try:
        if len(data) > MAX_EVENT_BYTES and not _is_fine_grained(data):
            return False
        batch = _batches.decode(data)
        if batch.schema not in _ACCEPTED or _count(batch) > MAX_BATCH_PARTS:
            return False
        as_written = _find_harmful(data) is None
        # What was checked is made into what is kept only when all of it is sound.
        events = [(index, _sound_event(event, as_written)) for index, event in enumerate(batch.events)]
        documents = [(index, _check_document(each, 0)) for index, each in enumerate(batch.documents)]
        metrics = [_check_metric(each, 0) for each in batch.metrics]
        health = [_check_health(each, 0) for each in batch.health]
    except (msgspec.MsgspecError, UnusableValueError, UnicodeDecodeError, RecursionError):
        return False
    decoded.events, decoded.documents, decoded.metrics, decoded.health = events, documents, metrics, health
    decoded.dropped = _dropped(batch)
    return True


def _decode_parts(data: bytes, body: bytes, decoded: Decoded) -> Decoded:
    """Read each part by itself, so that a bad one spoils no other."""
    try:
        envelope = _envelopes.decode(data)
    except (UnusableValueError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        decoded.refusals.append(Refusal("", str(error)[:500], body))
        return decoded
    except RecursionError:
        decoded.refusals.append(Refusal("", "nested too deeply", body))
        return decoded
    parts = _count(envelope)
    if parts > MAX_BATCH_PARTS:
        reason = f"{parts} events, documents, metrics and health in one batch; {MAX_BATCH_PARTS} are allowed"
        decoded.refusals.append(Refusal("", reason, body))
        return decoded
    if envelope.schema not in _ACCEPTED:
        reason = (
            f"schema {envelope.schema} is not understood here ({_ACCEPTED.start} to {_ACCEPTED.stop - 1} are)"
        )
        decoded.refusals.append(Refusal("", reason, body))
        return decoded
    refusals = decoded.refusals
    decoded.events = _parts("events", envelope.events, _events, _check_event, refusals)
    decoded.documents = _parts("documents", envelope.documents, _documents, _check_document, refusals)
    decoded.metrics = [
        part for _, part in _parts("metrics", envelope.metrics, _metrics, _check_metric, refusals)
    ]
    decoded.health = [part for _, part in _parts("health", envelope.health, _health, _check_health, refusals)]
    decoded.dropped = _dropped(envelope)
    return decoded


def _count(batch: _Envelope | Batch) -> int:
    return len(batch.events) + len(batch.documents) + len(batch.metrics) + len(batch.health)


def _dropped(batch: _Envelope | Batch) -> int:
    return min(sum(max(0, count) for count in batch.dropped.values()), _MAX_COUNTER)


def _is_fine_grained(data: bytes) -> bool:
    """Whether no part is larger than any may be."""
    envelope = _envelopes.decode(data)
    bounds = (
        (envelope.events, MAX_EVENT_BYTES),
        (envelope.documents, MAX_DOCUMENT_BYTES),
        (envelope.metrics, MAX_EVENT_BYTES),
    )
    return all(memoryview(part).nbytes <= most for parts, most in bounds for part in parts)


def _sound_event(event: Event, as_written: bool) -> Event:
    """The event itself where there is nothing in it to make harmless, which is nearly always."""
    if as_written and is_plain(event.fields) and event.logsource.product in _PRODUCTS:
        return event
    return _check_event(event, 0)


def decompress(body: bytes) -> bytes:
    """The content of a Zstandard frame of at most ``MAX_DECODED_BYTES``.

    Raises:
        UnusableValueError: no such frame, or more than that.
    """
    try:
        declared = zstandard.get_frame_parameters(body).content_size
        if declared not in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR):
            if declared > MAX_DECODED_BYTES:
                raise UnusableValueError(
                    f"{declared} bytes when decompressed; {MAX_DECODED_BYTES} are allowed"
                )
            return zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompress(
                body, max_output_size=MAX_DECODED_BYTES
            )
        return _decompress_by_parts(body)
    except (zstandard.ZstdError, MemoryError) as error:
        raise UnusableValueError(f"not a Zstandard frame: {error}") from error


def _decompress_by_parts(body: bytes) -> bytes:
    parts = []
    size = 0
    reader = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(body)
    while part := reader.read(1 << 20):
        parts.append(part)
        size += len(part)
        if size > MAX_DECODED_BYTES:
            raise UnusableValueError(f"more than {MAX_DECODED_BYTES} bytes when decompressed")
    return b"".join(parts)


def _parts(
    name: str,
    raws: list[Raw],
    decoder: Decoder[T],
    check: Callable[[T, int], T],
    refusals: list[Refusal],
) -> list[tuple[int, T]]:
    parts = []
    for index, raw in enumerate(raws):
        data = bytes(raw)
        try:
            parts.append((index, check(decoder.decode(data), len(data))))
        except (msgspec.MsgspecError, UnusableValueError, UnicodeDecodeError) as error:
            refusals.append(Refusal(f"{name}[{index}]", str(error)[:500], data))
        except RecursionError:
            refusals.append(Refusal(f"{name}[{index}]", "nested too deeply", data))
    return parts


def _check_event(event: Event, size: int) -> Event:
    if size > MAX_EVENT_BYTES:
        raise UnusableValueError(f"an event of {size} bytes; {MAX_EVENT_BYTES} are allowed")
    if event.logsource.product.strip().casefold() == OWN_PRODUCT:
        raise UnusableValueError(f"product {OWN_PRODUCT!r} is the collector's own")
    fields: dict[str, Any] = clean(event.fields, max_leaves=MAX_EVENT_LEAVES)
    return msgspec.structs.replace(event, fields=fields)


def _check_document(document: StatusDocument, size: int) -> StatusDocument:
    if size > MAX_DOCUMENT_BYTES:
        raise UnusableValueError(f"a document of {size} bytes; {MAX_DOCUMENT_BYTES} are allowed")
    if document.kind in RESERVED_KINDS:
        raise UnusableValueError(f"kind {document.kind!r} is the collector's own")
    body = document.body and clean(document.body, max_leaves=MAX_DOCUMENT_LEAVES)
    return msgspec.structs.replace(document, body=body, item=clean(document.item, max_leaves=1))


def _check_metric(metric: Metric, size: int) -> Metric:
    if size > MAX_EVENT_BYTES or len(metric.attributes) > 32:
        raise UnusableValueError("a metric with too many attributes")
    if metric.unit not in _UNITS:
        raise UnusableValueError(f"unit {metric.unit[:40]!r} is none of {', '.join(sorted(_UNITS))}")
    return msgspec.structs.replace(metric, attributes=clean(metric.attributes, max_leaves=32))


def _check_health(health: CollectorHealth, _size: int) -> CollectorHealth:
    return msgspec.structs.replace(health, reason=clean(health.reason, max_leaves=1))
