"""The event store itself: chDB, ClickHouse's engine in this process. One process a data directory may
open it.
"""

from __future__ import annotations

import queue
import re
import shutil
import tempfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.store import schema
from collector.store.errors import QueryError, StoreError, StoreUnavailableError
from collector.store.fence import Fence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

MAX_ROWS: Final = 10_000
MAX_SECONDS: Final = 10
_MAX_MEMORY_BYTES: Final = 1 << 30
_QUERIES_AT_ONCE: Final = 2

# ``readonly = 1`` also denies table functions that reach files and the network, and changes of settings.
# It stands in the query's own clause: set on the connection it could never be taken back.
_LIMITS: Final = (
    f"SETTINGS readonly = 1, max_execution_time = {MAX_SECONDS}, timeout_before_checking_execution_speed = 0,"
    f" max_result_rows = {MAX_ROWS}, result_overflow_mode = 'throw', max_memory_usage = {_MAX_MEMORY_BYTES},"
    " query_plan_remove_redundant_sorting = 0,"  # the order is the inner query's
    " output_format_json_array_of_rows = 1, output_format_json_quote_64bit_integers = 0,"
    " date_time_output_format = 'iso'"
)
_FORMAT: Final = "SELECT formatQuerySingleLine({sql:String})"
_READS: Final = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)


class Engine:
    """Thread-safe. Inserts and deletes queue behind one another; two queries may run beside them.

    Args:
        path: the store's directory, made where it is missing.
        spill: a directory of its own for files in passing; emptied at start.

    Raises:
        StoreError: the directory is of a newer version of the program, or cannot be opened.
    """

    def __init__(self, path: Path, spill: Path) -> None:
        shutil.rmtree(spill, ignore_errors=True)
        spill.mkdir(mode=0o700, parents=True)
        before = self._temporary = tempfile.tempdir
        tempfile.tempdir = str(spill)  # the driver hands inserts over in a temporary file
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._dsn = f"chdb://{path.resolve()}"
        try:
            self._writer = clickhouse_connect.get_client(dsn=self._dsn)
            self._migrate()
        except ClickHouseError as error:
            tempfile.tempdir = before
            raise StoreError(f"the event store in {path} cannot be opened: {error}") from error
        self._fence = Fence(self._writer)
        self._write_lock = threading.Lock()
        self._readers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(_QUERIES_AT_ONCE):
            self._readers.put(clickhouse_connect.get_client(dsn=self._dsn))

    def _migrate(self) -> None:
        self._writer.command(schema.VERSION_TABLE)
        version = self._number("SELECT max(version) FROM schema_version")
        if version > len(schema.MIGRATIONS):
            raise StoreError(
                f"the event store is of schema version {version}, this program knows"
                f" {len(schema.MIGRATIONS)}: install the newer program"
            )
        for number, statements in enumerate(schema.MIGRATIONS[version:], start=version + 1):
            for statement in statements:
                self._writer.command(statement)
            self._writer.command(f"INSERT INTO schema_version (version) VALUES ({number})")  # noqa: S608 - an int

    def _number(self, sql: str) -> int:
        return int(str(self._writer.command(sql)))

    def insert(self, table: str, arrow_stream: bytes, epochs: Mapping[int, int] | None = None) -> None:
        """Append an Arrow IPC stream of the table's columns. Durable when it returns.

        ``epochs``: of the leases under which the rows were made, by partition.

        Raises:
            FencedError: a later epoch of one of these partitions has been here; nothing was written.
        """
        if table not in schema.TABLES:
            raise QueryError(f"no such table: {table}")
        with self._write_lock:
            try:
                self._fence.admit(epochs or {})
                self._writer.raw_insert(table, insert_block=arrow_stream, fmt="ArrowStream")
            except ClickHouseError as error:
                raise _as_store_error(error) from error

    def rewind(self, positions: Mapping[int, int], epochs: Mapping[int, int] | None = None) -> int:
        """Delete from all tables the rows of each partition named above its position; gone for every later query when
        it returns. From then on lower epochs than ``epochs`` are refused.

        Raises:
            FencedError: as :meth:`insert`; nothing was deleted.
        """
        if not positions:
            return 0
        beyond = " OR ".join(
            f"partition = {int(number)} AND log_offset > {int(offset)}"
            for number, offset in sorted(positions.items())
        )
        deleted = 0
        with self._write_lock:
            try:
                self._fence.admit(epochs or {})
            except ClickHouseError as error:
                raise _as_store_error(error) from error
            for table in schema.TABLES:
                # The lowest position first: the index of offsets then leaves out nearly every part.
                above = f"FROM {table} WHERE log_offset > {min(map(int, positions.values()))} AND ({beyond})"
                try:
                    count = self._number(f"SELECT count() {above}")
                    if count:
                        self._writer.command(f"DELETE {above} SETTINGS lightweight_deletes_sync = 2")
                except ClickHouseError as error:
                    raise _as_store_error(error) from error
                deleted += count
        return deleted

    def forget_before(self, moment: datetime) -> int:
        """Drop every partition that ended before ``moment``; return how many there were. Takes moments, not minutes:
        whole partitions are unlinked.
        """
        dropped = 0
        with self._write_lock:
            for table, form in schema.PARTITIONS.items():
                try:
                    found = self._writer.query(
                        "SELECT DISTINCT toUInt32(partition) FROM system.parts WHERE active"
                        " AND database = currentDatabase() AND table = {table:String}",
                        parameters={"table": table},
                    ).result_rows
                    old = [int(row[0]) for row in found if int(row[0]) < int(moment.strftime(form))]
                    for partition in sorted(old):
                        self._writer.command(f"ALTER TABLE {table} DROP PARTITION {partition}")
                except ClickHouseError as error:
                    raise _as_store_error(error) from error
                dropped += len(old)
        return dropped

    def forget_simulated(self) -> int:
        """Delete every row that came from a simulated endpoint; return how many there were."""
        deleted = 0
        with self._write_lock:
            for table in schema.TABLES:
                try:
                    count = self._number(f"SELECT count() FROM {table} WHERE simulated")  # noqa: S608 - ours
                    if count:
                        self._writer.command(
                            f"DELETE FROM {table} WHERE simulated SETTINGS lightweight_deletes_sync = 2"  # noqa: S608 - ours
                        )
                except ClickHouseError as error:
                    raise _as_store_error(error) from error
                deleted += count
        return deleted

    def freeze(self, name: str) -> None:
        """Pin the parts of all tables as they are now by hard links under ``shadow/<name>`` of the store's
        directory, for a backup to copy. Whoever asks removes that folder afterwards.
        """
        if not re.fullmatch(r"[a-z0-9]{1,32}", name):
            raise QueryError(f"not a name for a snapshot: {name[:40]!r}")
        with self._write_lock:
            for table in (*schema.TABLES, "schema_version"):
                try:
                    self._writer.command(f"ALTER TABLE {table} FREEZE WITH NAME '{name}'")
                except ClickHouseError as error:
                    raise _as_store_error(error) from error

    def query(self, sql: str, parameters: Mapping[str, Any]) -> bytes:
        """The rows of one SELECT as a JSON array of objects, within the limits.

        Raises:
            QueryError: not a SELECT, wrong, too long or too many rows.
        """
        with self._reader() as client:
            try:
                # The engine runs several statements in one text. Its own parser, given the text as a value, takes
                # one only; and what it gives back cannot leave the parentheses, where only a SELECT may stand.
                plain = client.raw_query(_FORMAT, parameters={"sql": sql}, fmt="TSVRaw").decode("utf-8")
                if not _READS.match(plain):
                    raise QueryError("only SELECT (or WITH … SELECT) is allowed here")
                limited = f"SELECT * FROM (\n{plain}\n)\n{_LIMITS}"  # noqa: S608 - see above
                reply: bytes = client.raw_query(limited, parameters=dict(parameters), fmt="JSONEachRow")
            except ClickHouseError as error:
                raise _as_query_error(error) from error
        return reply or b"[]"

    def healthy(self) -> bool:
        """Whether the tables answer."""
        try:
            return self.query("SELECT 1 FROM events LIMIT 0", {}).strip().startswith(b"[")
        except StoreError:
            return False

    def close(self) -> None:
        """Close the engine; running queries end first. Files in passing go where they went before it was opened."""
        for _ in range(_QUERIES_AT_ONCE):
            self._readers.get().close()
        with self._write_lock:
            self._writer.close()
        tempfile.tempdir = self._temporary

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        try:
            client = self._readers.get(timeout=3 * MAX_SECONDS)
        except queue.Empty:
            raise StoreUnavailableError("too many queries wait for the event store") from None
        try:
            yield client
        finally:
            self._readers.put(client)


def _as_store_error(error: ClickHouseError) -> StoreError:
    return StoreError(_first_line(error))


def _as_query_error(error: ClickHouseError) -> QueryError:
    return QueryError(_first_line(error))


def _first_line(error: ClickHouseError) -> str:
    return str(error).splitlines()[0][:1000]
