"""The event store's tables, as a list of migrations: version N is what stands after the first N of them.

Applied ones are never edited; a change is a new entry. Each statement may be run twice without harm,
because a process killed between a statement and the note that it was done will run it again.
"""

from __future__ import annotations

from typing import Final

# Parts are fsynced before an insert is answered: an acknowledged row survives a power cut.
_DURABLE: Final = "fsync_after_insert = 1, fsync_part_directory = 1"

_EVENTS: Final = f"""
CREATE TABLE IF NOT EXISTS events (
    event_id String CODEC(ZSTD(1)),
    time DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    log_offset UInt64 CODEC(Delta, ZSTD(1)),
    endpoint_id LowCardinality(String),
    agency_id UInt32,
    product LowCardinality(String),
    category LowCardinality(String),
    service LowCardinality(String),
    simulated Bool,
    rules Array(LowCardinality(String)),
    body String CODEC(ZSTD(3)),
    INDEX by_offset log_offset TYPE minmax GRANULARITY 1,
    INDEX by_time time TYPE minmax GRANULARITY 1,
    INDEX by_endpoint endpoint_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_event event_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_at)
ORDER BY (received_at, endpoint_id)
SETTINGS {_DURABLE}
"""

# By month, because the time is what an agent claims: an insert into more than 100 partitions is refused, and a
# refused insert is tried again for ever. Whatever is claimed, it is within 13 months of its receipt.
_METRICS: Final = f"""
CREATE TABLE IF NOT EXISTS metrics (
    endpoint_id LowCardinality(String),
    name LowCardinality(String),
    time DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    value Float64 CODEC(Gorilla, ZSTD(1)),
    unit LowCardinality(String),
    attributes Map(LowCardinality(String), String),
    log_offset UInt64 CODEC(Delta, ZSTD(1)),
    simulated Bool,
    INDEX by_offset log_offset TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (endpoint_id, name, time)
SETTINGS {_DURABLE}
"""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = ((_EVENTS, _METRICS),)

#: Where the applied versions are noted.
VERSION_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS schema_version (version UInt32, applied_at DateTime DEFAULT now())
ENGINE = MergeTree ORDER BY version SETTINGS {_DURABLE}
"""

#: How each table's partitions are named, as ``strftime`` writes it: by the day received, by the month that is claimed.
PARTITIONS: Final = {"events": "%Y%m%d", "metrics": "%Y%m"}

#: Tables whose rows carry a ``log_offset``.
TABLES: Final = ("events", "metrics")
