"""Moves what the event store of one machine holds into the ClickHouse server that ``[events] url`` names.

Partition by partition (events by time, metrics by month), each compared by count and digest before the next. What
was cut off is gone on with: a partition that differs is dropped and copied anew. Archived Parquet files stay where
they are: anything reads them.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from collector.errors import CollectorError
from collector.files import write_file
from collector.store import schema
from collector.store.engine import Engine
from collector.store.place import Embedded, place_of
from collector.store.reader import Limits
from collector.store.rows import encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.settings import DataDirectory, Settings
    from collector.store.place import Place

#: Tells a move that was cut off from a store that holds somebody else's events.
MARK: Final = "move.json"
_ROWS_AT_ONCE: Final = 50_000
_LIMITS: Final = Limits(seconds=3600.0, memory_bytes=2 << 30)


class EventsMoveError(CollectorError):
    """The events cannot be moved; the source is as it was."""


@dataclass(frozen=True, slots=True)
class EventsMoved:
    """``rows`` of each table, the same on both sides; ``copied`` of them now, the others before."""

    where: str
    rows: dict[str, int]
    copied: int


@dataclass(frozen=True, slots=True)
class _Held:
    """What a partition holds: two digests that do not hang on the order of rows."""

    rows: int = 0
    mixed: str = "0"
    summed: str = "0"


def move_events(
    data: DataDirectory, settings: Settings, progress: Callable[[str], None]
) -> EventsMoved | None:
    """Copy every row of the store in ``data`` into that of ``[events] url``, which must be empty or be a move's of
    this directory that was cut off; None where the settings name no other store, or there is none here. Call it
    ``soc_api.move.at_rest``.

    Raises:
        EventsMoveError: the target holds other events, or something else than was given to it.
        StoreError: a store cannot be opened, or fails.
    """
    there = place_of(settings.events, data)
    if isinstance(there, Embedded) or not data.events.exists():
        return None
    return copy_events(Embedded(data.events, data.run / "move-spill"), there, data.root / MARK, progress)


def copy_events(here: Place, there: Place, mark: Path, progress: Callable[[str], None]) -> EventsMoved:
    """As :func:`move_events`, from any store to any other. ``mark`` is there while it is under way."""
    with ExitStack() as stack:
        source = stack.enter_context(closing(Engine(here, limits=_LIMITS)))
        target = stack.enter_context(closing(Engine(there, limits=_LIMITS)))
        _begin(target, there, mark)
        rows: dict[str, int] = {}
        copied = 0
        for table in schema.TABLES:
            rows[table] = 0
            for partition in source.partitions(table):
                wanted = _held(source, table, partition)
                if _held(target, table, partition) != wanted:
                    progress(f"{table} {partition}: {wanted.rows}")
                    _copy(source, target, table, partition, wanted)
                    copied += wanted.rows
                rows[table] += wanted.rows
    mark.unlink()
    return EventsMoved(there.name, rows, copied)


def _begin(target: Engine, there: Place, mark: Path) -> None:
    text = json.dumps({"to": there.name}).encode()
    if mark.exists():
        if mark.read_bytes() == text:
            return
        raise EventsMoveError(
            f"{mark} tells of a move to another place that was cut off: finish that one, or remove the file"
        )
    if any(target.partitions(table) for table in schema.TABLES):
        raise EventsMoveError(f"{there.name} holds events already: name an empty database, or empty it")
    write_file(mark, text, 0o600)


def _copy(source: Engine, target: Engine, table: str, partition: str, wanted: _Held) -> None:
    target.drop(table, partition)
    waiting: list[pa.RecordBatch] = []
    for batch in source.export(table, partition):
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= _ROWS_AT_ONCE:
            target.insert(table, encode(pa.Table.from_batches(waiting)))
            waiting = []
    if waiting:
        target.insert(table, encode(pa.Table.from_batches(waiting)))
    if _held(target, table, partition) != wanted:
        raise EventsMoveError(
            f"{table} {partition} does not hold there what was given to it; run it again, and see the server's log"
        )


def _held(engine: Engine, table: str, partition: str) -> _Held:
    columns = ", ".join(
        f"toString({name})" if kind.startswith("Map") else name
        for name, (kind, _) in schema.COLUMNS[table].items()
    )
    sql = (
        f"SELECT count() AS rows, toString(groupBitXor(sipHash64({columns}))) AS mixed,"  # noqa: S608 - names of ours
        f" toString(sum(cityHash64({columns}))) AS summed FROM {table} WHERE _partition_id = {{partition:String}}"
    )
    found = json.loads(engine.query(sql, {"partition": partition}))
    return _Held(**found[0]) if found else _Held()
