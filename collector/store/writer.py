"""Everything that changes the rows of an event store."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.store import schema
from collector.store.errors import FencedError, QueryError, StoreError, first_line, store_error
from collector.store.fence import REFUSED, Fence, guard
from collector.store.mutations import mutate
from collector.store.rows import decode_any, encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.store.place import Place

#: Inserts that wait are put together up to this.
_TOGETHER_BYTES: Final = 128 << 20
#: After an insert of several together failed, each is made alone for so long: one may be what the store refuses.
_APART_SECONDS: Final = 30.0
#: Into so many slices a partition is cut when it is read out, by five minutes or by the day of the month.
_SLICES: Final = {
    "events": ("intDiv(toUnixTimestamp(received_at) % 86400, 300)", range(288)),
    "metrics": ("toDayOfMonth(time)", range(1, 32)),
}


@dataclass
class _Waiting:
    stream: bytes
    epochs: Mapping[int, int]
    done: bool = False
    error: StoreError | None = None


class Writer:
    """Thread-safe: changes queue behind one another, and inserts that wait are made together, because every insert
    costs the engine some 30 ms of CPU beside what its rows cost. Call :meth:`close`.
    """

    def __init__(self, client: Any, place: Place) -> None:
        self._client = client
        self._place = place
        self._fence = Fence(client, place)
        self._lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queues: dict[str, list[_Waiting]] = {table: [] for table in schema.TABLES}
        self._apart_until = 0.0

    def insert(self, table: str, stream: bytes, epochs: Mapping[int, int] | None = None) -> None:
        """See :meth:`collector.store.engine.Engine.insert`."""
        if table not in schema.TABLES:
            raise QueryError(f"no such table: {table}")
        mine = _Waiting(stream, epochs or {})
        with self._queue_lock:
            self._queues[table].append(mine)
        with self._lock:
            while not mine.done:
                self._insert_waiting(table)
        if mine.error is not None:
            raise mine.error

    def rewind(self, positions: Mapping[int, int], epochs: Mapping[int, int] | None = None) -> int:
        """See :meth:`collector.store.engine.Engine.rewind`."""
        beyond = " OR ".join(
            f"partition = {int(number)} AND log_offset > {int(offset)}"
            for number, offset in sorted(positions.items())
        )
        with self._lock:
            try:
                if self._fence.admit(epochs or {}):
                    self._fence.settle()
                if not positions:
                    return 0
                # The lowest position first: the index of offsets then leaves out nearly every part.
                where = f"log_offset > {min(map(int, positions.values()))} AND ({beyond})"
                return sum(self._delete(table, where) for table in schema.TABLES)
            except ClickHouseError as error:
                raise store_error(error) from error

    def delete_simulated(self) -> int:
        """See :meth:`collector.store.engine.Engine.forget_simulated`."""
        with self._lock:
            try:
                return sum(self._delete(table, "simulated") for table in schema.TABLES)
            except ClickHouseError as error:
                raise store_error(error) from error

    def drop_before(self, moment: datetime, tables: Sequence[str] = schema.TABLES) -> int:
        """Drop every partition that ended before ``moment``; how many."""
        dropped = 0
        for table in tables:
            limit = int(moment.strftime(schema.PARTITIONS[table]))
            for partition in self.partitions(table):
                if int(partition) < limit:
                    self.drop(table, partition)
                    dropped += 1
        return dropped

    def drop(self, table: str, partition: str) -> None:
        """Drop one partition, if it is there."""
        self._command(f"ALTER TABLE {self._stored(table)} DROP PARTITION ID '{_checked(partition)}'")

    def partitions(self, table: str) -> list[str]:
        """Ids of the partitions that have rows, oldest first."""
        rows = self._ask(f"SELECT DISTINCT _partition_id FROM {table}")
        return sorted(str(row[0]) for row in rows)

    def count(self, table: str, partition: str) -> int:
        """How many rows a partition has."""
        where = f"_partition_id = '{_checked(partition)}'"
        return int(self._ask(f"SELECT count() FROM {table} WHERE {where}")[0][0])

    def export(self, table: str, partition: str) -> Iterator[pa.RecordBatch]:
        """See :meth:`collector.store.engine.Engine.export`."""
        names = ", ".join(schema.COLUMNS[table])
        by, slices = _SLICES[table]
        for number in slices:
            sql = (
                f"SELECT {names} FROM {table} WHERE _partition_id = '{_checked(partition)}' AND {by} = {number}"
                " ORDER BY endpoint_id, time SETTINGS output_format_arrow_string_as_string = 1,"
                " output_format_arrow_low_cardinality_as_dictionary = 0"
            )
            try:
                stream = self._client.raw_query(sql, fmt="ArrowStream")
            except ClickHouseError as error:
                raise store_error(error) from error
            yield from (batch for batch in decode_any(stream, table).to_batches() if batch.num_rows)

    def freeze(self, name: str) -> None:
        """See :meth:`collector.store.engine.Engine.freeze`."""
        if not re.fullmatch(r"[a-z0-9]{1,32}", name):
            raise QueryError(f"not a name for a snapshot: {name[:40]!r}")
        if not self._place.embedded:
            raise QueryError(
                "the events are on a ClickHouse server: back them up there (BACKUP DATABASE … TO …)"
            )
        with self._lock:
            for table in (*schema.TABLES, "schema_version", "notes"):
                self._command(f"ALTER TABLE {table} FREEZE WITH NAME '{name}'")

    def close(self) -> None:
        """Wait for the change that runs, then close the client."""
        with self._lock:
            self._client.close()

    def _insert_waiting(self, table: str) -> None:
        with self._queue_lock:
            queue = self._queues[table]
            size = taken = 0
            for each in queue:
                if taken and (
                    size + len(each.stream) > _TOGETHER_BYTES or time.monotonic() < self._apart_until
                ):
                    break
                size += len(each.stream)
                taken += 1
            group, self._queues[table] = queue[:taken], queue[taken:]
        admitted = [each for each in group if self._admits(each)]
        error = self._append(table, admitted) if admitted else None
        if error is not None and len(admitted) > 1:
            self._apart_until = time.monotonic() + _APART_SECONDS
        for each in group:
            each.error = each.error or error
            each.done = True

    def _admits(self, waiting: _Waiting) -> bool:
        try:
            self._fence.admit(waiting.epochs)
        except FencedError as error:
            waiting.error = error
        except ClickHouseError as error:
            waiting.error = store_error(error)
        return waiting.error is None

    def _append(self, table: str, group: Sequence[_Waiting]) -> StoreError | None:
        epochs = {number: epoch for each in group for number, epoch in each.epochs.items()}
        try:
            stream = group[0].stream if len(group) == 1 else _together([each.stream for each in group])
            self._place.append(self._client, table, stream, guard(epochs))
        except pa.ArrowInvalid as error:
            return StoreError(f"not rows of {table}: {error}")
        except (ClickHouseError, OSError) as error:
            return FencedError(first_line(error)) if REFUSED in str(error) else store_error(error)
        return None

    def _delete(self, table: str, where: str) -> int:
        """Gone for every later query when it returns. Only partitions that have such rows are touched."""
        found = self._ask(f"SELECT _partition_id, count() FROM {table} WHERE {where} GROUP BY 1")
        for partition, _ in found:
            mutate(
                self._client,
                f"DELETE FROM {self._stored(table)} IN PARTITION ID '{partition}' WHERE {where}"
                " SETTINGS lightweight_deletes_sync = 2",
            )
        return sum(int(count) for _, count in found)

    def _stored(self, table: str) -> str:
        return schema.stored(self._place, table) + schema.on_cluster(self._place)

    def _ask(self, sql: str) -> Sequence[Sequence[Any]]:
        try:
            rows: Sequence[Sequence[Any]] = self._client.query(sql).result_rows
        except ClickHouseError as error:
            raise store_error(error) from error
        return rows

    def _command(self, sql: str) -> None:
        try:
            self._client.command(sql)
        except ClickHouseError as error:
            raise store_error(error) from error


def _checked(partition: str) -> str:
    if not re.fullmatch(r"[0-9]{1,12}", partition):
        raise QueryError(f"not the id of a partition: {partition[:40]!r}")
    return partition


def _together(streams: Sequence[bytes]) -> bytes:
    return encode(pa.concat_tables([pa.ipc.open_stream(stream).read_all() for stream in streams]))
