"""What goes into the event store: one class and one Arrow schema for each table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event. ``time`` (event's own) and ``received_at`` are seconds since the epoch, UTC, kept to the
    microsecond. ``agency_id`` 0 means none. ``rules`` are the ids of the rules it matched; ``body`` the JSON
    object of its fields, in UTF-8. ``partition`` and ``log_offset`` are where it came from: :meth:`StoreClient.rewind`
    goes by them.
    """

    event_id: str
    time: float
    received_at: float
    log_offset: int
    endpoint_id: str
    agency_id: int
    product: str
    category: str
    service: str
    simulated: bool
    rules: list[str]
    body: bytes
    partition: int = 0


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One measurement; ``name`` ends in its ``unit``. ``time`` in seconds since the epoch."""

    endpoint_id: str
    name: str
    time: float
    value: float
    unit: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    log_offset: int = 0
    simulated: bool = False
    partition: int = 0


_TIME = pa.timestamp("us", tz="UTC")
# What a DateTime64(6) of ClickHouse holds; a hostile time outside is brought to the nearest edge.
_EARLIEST, _LATEST = 0, 9_223_372_036_000_000

EVENT_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("time", _TIME),
        ("received_at", _TIME),
        ("log_offset", pa.uint64()),
        ("endpoint_id", pa.string()),
        ("agency_id", pa.uint32()),
        ("product", pa.string()),
        ("category", pa.string()),
        ("service", pa.string()),
        ("simulated", pa.bool_()),
        ("rules", pa.list_(pa.string())),
        ("body", pa.string()),
        ("partition", pa.uint8()),
    ]
)
METRIC_SCHEMA = pa.schema(
    [
        ("endpoint_id", pa.string()),
        ("name", pa.string()),
        ("time", _TIME),
        ("value", pa.float64()),
        ("unit", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("log_offset", pa.uint64()),
        ("simulated", pa.bool_()),
        ("partition", pa.uint8()),
    ]
)


def microseconds(seconds: float) -> int:
    """Seconds since the epoch as whole microseconds, within what the store's time type can hold."""
    if seconds != seconds:
        return _EARLIEST
    return int(min(max(seconds * 1_000_000, _EARLIEST), _LATEST))


def events_table(rows: Sequence[EventRow]) -> pa.Table:
    """Rows as one Arrow table of :data:`EVENT_SCHEMA`; what UTF-8 cannot carry is replaced."""
    return pa.table(
        [
            _texts([row.event_id for row in rows]),
            pa.array([microseconds(row.time) for row in rows], pa.int64()).cast(_TIME),
            pa.array([microseconds(row.received_at) for row in rows], pa.int64()).cast(_TIME),
            [row.log_offset for row in rows],
            _texts([row.endpoint_id for row in rows]),
            [row.agency_id for row in rows],
            _texts([row.product for row in rows]),
            _texts([row.category for row in rows]),
            _texts([row.service for row in rows]),
            [row.simulated for row in rows],
            [[clean(rule) for rule in row.rules] for row in rows],
            _written([row.body for row in rows]),
            [row.partition for row in rows],
        ],
        schema=EVENT_SCHEMA,
    )


def metrics_table(rows: Sequence[MetricRow]) -> pa.Table:
    """Rows as one Arrow table of :data:`METRIC_SCHEMA`."""
    return pa.table(
        [
            _texts([row.endpoint_id for row in rows]),
            _texts([row.name for row in rows]),
            pa.array([microseconds(row.time) for row in rows], pa.int64()).cast(_TIME),
            [float(row.value) for row in rows],
            _texts([row.unit for row in rows]),
            [[(clean(key), clean(value)) for key, value in row.attributes.items()] for row in rows],
            [row.log_offset for row in rows],
            [row.simulated for row in rows],
            [row.partition for row in rows],
        ],
        schema=METRIC_SCHEMA,
    )


def _texts(texts: list[str]) -> pa.Array:
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([clean(text) for text in texts], pa.string())


def _written(texts: list[bytes]) -> pa.Array:
    try:
        return pa.array(texts, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:  # one that is no UTF-8
        return pa.array([text.decode("utf-8", "replace") for text in texts], pa.string())


def clean(text: str) -> str:
    """``text`` as UTF-8 can carry it: JSON lets an agent send half a surrogate pair."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def encode(table: pa.Table) -> bytes:
    """The table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def decode(data: bytes, schema: pa.Schema) -> pa.Table:
    """The table of an Arrow IPC stream.

    Raises:
        pyarrow.ArrowInvalid: not such a stream, or not of ``schema``.
    """
    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    if not table.schema.equals(schema):
        raise pa.ArrowInvalid(f"expected {schema}, got {table.schema}")
    return table


def decode_any(data: bytes, table: str) -> pa.Table:
    """The rows of an Arrow IPC stream, brought to the form of ``table``'s rows.

    Raises:
        pyarrow.ArrowInvalid: not such a stream, or of other columns.
    """
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all().cast({"events": EVENT_SCHEMA, "metrics": METRIC_SCHEMA}[table])
