"""The event store's tables: version 3 of them, as statements for one store or for a cluster.

A cluster holds every row in ``<table>_local`` of one shard (an endpoint's all on the same), on all its replicas;
``<table>`` reaches all of them. What has to be known everywhere (``fence``, ``notes``, ``schema_version``) is on every
server of the cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collector.store.place import Place

VERSION: Final = 3

#: Tables whose rows carry a partition of the log and a ``log_offset``.
TABLES: Final = ("events", "metrics")

#: How each table's partitions are named, as ``strftime`` writes it: by the day received (UTC), by the month that is
#: claimed. By month, because the time of a metric is what an agent claims: an insert into more than 100 partitions is
#: refused, and a refused insert is tried again for ever. Whatever is claimed, it is within 13 months of its receipt.
PARTITIONS: Final = {"events": "%Y%m%d", "metrics": "%Y%m"}

# Parts are fsynced before an insert is answered: an acknowledged row survives a power cut.
_DURABLE: Final = "fsync_after_insert = 1, fsync_part_directory = 1"
# Measured (docs/scale.md): parts of one file up to a gigabyte halve the cost of an insert; merges of many parts at a
# time write each row less often.
_SETTINGS: Final = f"{_DURABLE}, min_bytes_for_wide_part = 1073741824, merge_selector_base = 10"
#: Of every four letters in a row, in lower case.
TEXT_INDEX: Final = "by_text"
# The index of texts is made once, when a day is over (collector.store.upkeep): made with every insert and merge it
# would cost several times what all the rest does.
_EVENTS_SETTINGS: Final = (
    f"{_SETTINGS}, exclude_materialize_skip_indexes_on_merge = '{TEXT_INDEX}',"
    " max_bytes_to_merge_at_max_space_in_pool = 10737418240, min_age_to_force_merge_seconds = 600,"
    " min_age_to_force_merge_on_partition_only = 1, enable_max_bytes_limit_for_min_age_to_force_merge = 1"
)

# What rules ask for most often has a column of its own, in lower case as rules compare: a hunt over ten million events
# reads some of these instead of every body (docs/hunting.md has the figures).
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
# 0: every column above says all of its field; 1: one may be a list or an object; 2, 3: uneven letters in the body.
_ODD: Final = (
    f"if({_NOT_PLAIN} OR {_NO_CATEGORY}, 1, 0) + if(isValidASCII(body), 0, 2 * match(body, '{_UNEVEN}'))"
)

#: What is made of the body, by column: its type, and how. ECS's kind of event is that by which a rule's way to it
#: begins; written as one key with a dot in it, the row is odd.
MADE: Final[dict[str, tuple[str, str]]] = {
    **{
        f"f_{name}": (
            "LowCardinality(String)" if name in _FEW else "String",
            f"lowerUTF8(tupleElement(JSONExtract(body, '{_HUNTED_TYPE}'), '{name}'))",
        )
        for name in _HUNTED
    },
    "f_event_category": (
        "LowCardinality(String)",
        "lowerUTF8(JSONExtract(body, 'event', 'category', 'String'))",
    ),
    "odd": ("UInt8", _ODD),
}

#: Fields of events that have a column of their own, and its name (:mod:`rules.history` asks by them).
FIELD_COLUMNS: Final = {**{name: f"f_{name}" for name in _HUNTED}, "event.category": "f_event_category"}

#: What rows are inserted with, by table: each column's type and codec.
COLUMNS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "events": {
        "event_id": ("String", "ZSTD(1)"),
        "time": ("DateTime64(6, 'UTC')", "Delta, ZSTD(1)"),
        "received_at": ("DateTime64(6, 'UTC')", "Delta, ZSTD(1)"),
        "log_offset": ("UInt64", "Delta, ZSTD(1)"),
        "endpoint_id": ("LowCardinality(String)", "ZSTD(1)"),
        "agency_id": ("UInt32", "ZSTD(1)"),
        "product": ("LowCardinality(String)", "ZSTD(1)"),
        "category": ("LowCardinality(String)", "ZSTD(1)"),
        "service": ("LowCardinality(String)", "ZSTD(1)"),
        "simulated": ("Bool", "ZSTD(1)"),
        "rules": ("Array(LowCardinality(String))", "ZSTD(1)"),
        "body": ("String", "ZSTD(3)"),
        "partition": ("UInt8", "ZSTD(1)"),
    },
    "metrics": {
        "endpoint_id": ("LowCardinality(String)", "ZSTD(1)"),
        "name": ("LowCardinality(String)", "ZSTD(1)"),
        "time": ("DateTime64(6, 'UTC')", "DoubleDelta, ZSTD(1)"),
        "value": ("Float64", "Gorilla, ZSTD(1)"),
        "unit": ("LowCardinality(String)", "ZSTD(1)"),
        "attributes": ("Map(LowCardinality(String), String)", "ZSTD(1)"),
        "log_offset": ("UInt64", "Delta, ZSTD(1)"),
        "simulated": ("Bool", "ZSTD(1)"),
        "partition": ("UInt8", "ZSTD(1)"),
    },
}
# An endpoint's events of an hour lie together: its newest are few reads, and alike rows compress better.
_FORMS: Final = {
    "events": (
        "PARTITION BY toYYYYMMDD(received_at)"
        f" ORDER BY (toStartOfHour(received_at), endpoint_id, received_at) SETTINGS {_EVENTS_SETTINGS}"
    ),
    "metrics": f"PARTITION BY toYYYYMM(time) ORDER BY (endpoint_id, name, time) SETTINGS {_SETTINGS}",
}
#: What every insert says, wherever it goes.
INSERT_SETTINGS: Final = (
    f"exclude_materialize_skip_indexes_on_insert = '{TEXT_INDEX}', max_partitions_per_insert_block = 0"
)
_INDEXES: Final = {
    "events": (
        "INDEX by_offset log_offset TYPE minmax GRANULARITY 1",
        "INDEX by_time time TYPE minmax GRANULARITY 1",
        f"INDEX {TEXT_INDEX} lowerUTF8(body) TYPE ngrambf_v1(4, 65536, 2, 0) GRANULARITY 1",
    ),
    "metrics": ("INDEX by_offset log_offset TYPE minmax GRANULARITY 1",),
}
_EVERYWHERE: Final = {
    "schema_version": "version UInt32, applied_at DateTime DEFAULT now()",
    # The highest epoch of each partition of the log that was here (collector.store.fence).
    "fence": "partition UInt8, epoch UInt64, raised_at DateTime DEFAULT now()",
    # What upkeep has done, so that it does nothing twice (collector.store.upkeep).
    "notes": "task LowCardinality(String), partition_id String, detail String, noted_at DateTime64(6) DEFAULT now64(6)",
}
_EVERYWHERE_ORDER: Final = {
    "schema_version": "version",
    "fence": "partition",
    "notes": "(task, partition_id)",
}


def create(place: Place) -> tuple[str, ...]:
    """The statements that make all tables where they are missing. Running them again does no harm."""
    everywhere = (
        f"CREATE TABLE IF NOT EXISTS {name}{on_cluster(place)} ({columns}) ENGINE = {_engine(place, name, shard='all')}"
        f" ORDER BY {_EVERYWHERE_ORDER[name]} SETTINGS {_DURABLE}"
        for name, columns in _EVERYWHERE.items()
    )
    statements = [*everywhere]
    for table in TABLES:
        statements.append(table_statement(place, table, stored(place, table)))
        if place.cluster:
            statements.append(
                f"CREATE TABLE IF NOT EXISTS {table}{on_cluster(place)} AS {stored(place, table)}"
                f" ENGINE = Distributed(`{place.cluster}`, currentDatabase(), {stored(place, table)},"
                " sipHash64(endpoint_id))"
            )
    return tuple(statements)


def table_statement(place: Place, table: str, name: str) -> str:
    """What makes ``table`` under ``name``."""
    columns = [f"{each} {kind} CODEC({codec})" for each, (kind, codec) in COLUMNS[table].items()]
    if table == "events":
        columns += [f"{each} {kind} MATERIALIZED {how} CODEC(ZSTD(1))" for each, (kind, how) in MADE.items()]
    inside = ", ".join([*columns, *_INDEXES[table]])
    engine = f"ENGINE = {_engine(place, name)} {_FORMS[table]}"
    return f"CREATE TABLE IF NOT EXISTS {name}{on_cluster(place)} ({inside}) {engine}"


def insert_select(table: str, guard: str) -> str:
    """The insert as a server runs it: the rows come in through ``input``, and only where ``guard`` raises nothing."""
    names = ", ".join(COLUMNS[table])
    kinds = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS[table].items()).replace("'", "\\'")
    where = f" WHERE ({guard}) = 0" if guard else ""
    return (
        f"INSERT INTO {table} ({names}) SETTINGS {INSERT_SETTINGS} SELECT {names} FROM input('{kinds}'){where}"
        " FORMAT ArrowStream"
    )


def stored(place: Place, table: str) -> str:
    """The table that holds the rows: what is altered, deleted from, and whose partitions are dropped."""
    return f"{table}_local" if place.cluster else table


def on_cluster(place: Place) -> str:
    """What a statement that makes or alters a table says behind the table's name."""
    return f" ON CLUSTER `{place.cluster}`" if place.cluster else ""


def everywhere(place: Place, table: str) -> str:
    """A ``system`` table of all servers together."""
    return f"clusterAllReplicas(`{place.cluster}`, {table})" if place.cluster else table


def _engine(place: Place, name: str, shard: str = "{shard}") -> str:
    if not place.cluster:
        return "MergeTree"
    replica = "{replica}" if shard == "{shard}" else "{shard}-{replica}"
    return f"ReplicatedMergeTree('/clickhouse/tables/{shard}/{{database}}/{name}', '{replica}')"
