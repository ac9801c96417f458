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

# What rules ask for most often has a column of its own, in lower case as rules compare: a hunt over ten million events
# reads some of these instead of every body (docs/hunting.md has the figures). They are on disk in parts that were
# written or merged since; in older ones they are made from the body when they are read.
_HUNTED: Final = (
    "EventID", "Channel", "Provider_Name", "Image", "CommandLine", "OriginalFileName", "ParentImage",
    "ParentCommandLine", "User", "TargetFilename", "TargetObject", "Details", "ImageLoaded", "DestinationHostname",
    "DestinationIp", "DestinationPort", "Initiated", "QueryName", "PipeName", "ServiceName", "ImagePath",
    "TargetUserName", "LogonType", "IpAddress", "Product", "Description", "Company", "IntegrityLevel", "SourceImage",
    "TargetImage", "program", "type",
)  # fmt: skip
#: Of these, what has few different values.
_FEW: Final = frozenset(
    {"EventID", "Channel", "Provider_Name", "Initiated", "LogonType", "IntegrityLevel", "program", "type"}
)
_HUNTED_TYPE: Final = f"Tuple({', '.join(f'{name} String' for name in _HUNTED)})"
# Capital letters whose lower case is another one here than in Python, or an ASCII letter, or depends on the place.
_UNEVEN: Final = (
    "[\\\\x{130}\\\\x{3A3}\\\\x{1C89}\\\\x{212A}\\\\x{A7CB}-\\\\x{A7CE}\\\\x{A7D2}\\\\x{A7D4}\\\\x{A7DA}\\\\x{A7DC}"
    "\\\\x{10D50}-\\\\x{10D65}\\\\x{16EA0}-\\\\x{16EB8}]"
)
_NOT_PLAIN: Final = " OR ".join(
    f"startsWith(f_{name}, '[') OR startsWith(f_{name}, '{{')" for name in _HUNTED
)
_NO_CATEGORY: Final = (
    "startsWith(f_event_category, '[') OR startsWith(f_event_category, '{')"
    " OR position(body, '\"event.category\":') > 0 OR JSONType(body, 'event') = 'Array'"
)
_HUNT: Final = (
    "ALTER TABLE events "
    + ", ".join(
        f"ADD COLUMN IF NOT EXISTS f_{name} {'LowCardinality(String)' if name in _FEW else 'String'}"
        f" MATERIALIZED lowerUTF8(tupleElement(JSONExtract(body, '{_HUNTED_TYPE}'), '{name}')) CODEC(ZSTD(1))"
        for name in _HUNTED
    )
    # ECS's kind of event, by which a rule's way to it begins; written as one key with a dot in it, it is odd.
    + ", ADD COLUMN IF NOT EXISTS f_event_category LowCardinality(String)"
    " MATERIALIZED lowerUTF8(JSONExtract(body, 'event', 'category', 'String'))"
    # 0: every column above says all of its field; 1: one may be a list or an object; 2, 3: uneven letters in the body.
     + f", ADD COLUMN IF NOT EXISTS odd UInt8 MATERIALIZED if({_NOT_PLAIN} OR {_NO_CATEGORY}, 1, 0)"
    f" + if(isValidASCII(body), 0, 2 * match(body, '{_UNEVEN}'))",
)

# Offsets count up within one partition of the log. Rows of before are all below every checkpoint, so that it does not
# matter that partition 0 gets them.
_PARTITION: Final = (
    "ALTER TABLE events ADD COLUMN IF NOT EXISTS partition UInt8",
    "ALTER TABLE metrics ADD COLUMN IF NOT EXISTS partition UInt8",
    f"""
CREATE TABLE IF NOT EXISTS fence (partition UInt8, epoch UInt64, raised_at DateTime DEFAULT now())
ENGINE = MergeTree ORDER BY partition SETTINGS {_DURABLE}
""",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = ((_EVENTS, _METRICS), _HUNT, _PARTITION)

#: Fields of events that have a column of their own, and its name (:mod:`rules.history` asks by them).
FIELD_COLUMNS: Final = {**{name: f"f_{name}" for name in _HUNTED}, "event.category": "f_event_category"}

#: Where the applied versions are noted.
VERSION_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS schema_version (version UInt32, applied_at DateTime DEFAULT now())
ENGINE = MergeTree ORDER BY version SETTINGS {_DURABLE}
"""

#: How each table's partitions are named, as ``strftime`` writes it: by the day received, by the month that is claimed.
PARTITIONS: Final = {"events": "%Y%m%d", "metrics": "%Y%m"}

#: Tables whose rows carry a ``log_offset``.
TABLES: Final = ("events", "metrics")
