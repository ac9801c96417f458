"""The event store itself: chDB (ClickHouse's engine in this process) or a ClickHouse server, behind one class."""

from __future__ import annotations

import shutil
import uuid
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.store.archive import Archive
from collector.store.damage import damaged_parts
from collector.store.errors import StoreError, first_line, store_error
from collector.store.forecast import Forecast, forecast
from collector.store.migrate import migrate
from collector.store.place import Embedded
from collector.store.reader import Limits, Reader
from collector.store.set_aside import SetAside
from collector.store.upkeep import Upkeep
from collector.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from collector.store.damage import Damage
    from collector.store.place import Place


class Engine:
    """Thread-safe. Changes queue behind one another; two queries may run beside them. One process a directory may open
    an embedded store.

    Args:
        place: where the store is.
        archive: the folder of archived days (embedded stores only); ``None``: there is none.
        limits: of queries.

    Raises:
        StoreError: the store is of a newer version of the program, or cannot be opened.
    """

    def __init__(self, place: Place, archive: Path | None = None, limits: Limits | None = None) -> None:
        self._place = place
        if isinstance(place, Embedded) and place.spill is not None:
            shutil.rmtree(place.spill, ignore_errors=True)
            place.spill.mkdir(mode=0o700, parents=True)
        try:
            client = place.connect()
            migrate(client, place)
            self._writer = Writer(client, place)
            self._keeper = place.connect()
            self.damages = SetAside(place.connect(), place)
            self.archive = (
                Archive(self._keeper, archive, self._drop_day)
                if archive is not None and place.embedded
                else None
            )
            self._reader = Reader(place, self.archive, limits or Limits())
        except ClickHouseError as error:
            kind = type(store_error(error))
            raise kind(f"the event store in {place.name} cannot be opened: {first_line(error)}") from error
        self.upkeep = Upkeep(self._keeper, place, self._writer, self.archive, self.damages)

    def insert(self, table: str, arrow_stream: bytes, epochs: Mapping[int, int] | None = None) -> None:
        """Append an Arrow IPC stream of the table's columns. Durable when it returns.

        ``epochs``: of the leases under which the rows were made, by partition.

        Raises:
            FencedError: a later epoch of one of these partitions has been here; nothing was written.
            StoreError: it failed; some of the rows may have been written (:meth:`rewind`).
        """
        self._writer.insert(table, arrow_stream, epochs)

    def rewind(self, positions: Mapping[int, int], epochs: Mapping[int, int] | None = None) -> int:
        """Delete from all tables the rows of each partition named above its position; gone for every later query when
        it returns. From then on lower epochs than ``epochs`` are refused.

        Raises:
            FencedError: as :meth:`insert`; nothing was deleted.
        """
        return self._writer.rewind(positions, epochs)

    def query(
        self, sql: str, parameters: Mapping[str, Any], since: datetime | None = None, name: str = ""
    ) -> bytes:
        """The rows of one SELECT as a JSON array of objects, within the limits.

        ``since``: where the query asks for events received at that time or later, archived ones are among ``events``
        too. ``name``: what :meth:`cancel` calls it; letters, digits and hyphens.

        Raises:
            QueryError: not a SELECT, wrong, too long, too large or too many rows; or cancelled.
        """
        name = name or uuid.uuid4().hex
        try:
            return self._reader.query(sql, parameters, since, name)
        finally:
            self._reader.forget(name)

    def cancel(self, name: str) -> bool:
        """End the query of that name, also where it still waits for its turn; whether it ran."""
        return self._reader.cancel(name)

    def forget_simulated(self) -> int:
        """Delete every row that came from a simulated endpoint; return how many there were."""
        return self._writer.delete_simulated()

    def partitions(self, table: str) -> list[str]:
        """Ids of the partitions that have rows, oldest first: of events ``20261122`` (the day, UTC), of metrics
        ``202611``.
        """
        return self._writer.partitions(table)

    def count(self, table: str, partition: str) -> int:
        """How many rows a partition has."""
        return self._writer.count(table, partition)

    def export(self, table: str, partition: str) -> Iterator[pa.RecordBatch]:
        """A partition's rows, all columns that are inserted, a slice of time after the other."""
        return self._writer.export(table, partition)

    def drop(self, table: str, partition: str) -> None:
        """Drop one partition, if it is there."""
        self._writer.drop(table, partition)

    def freeze(self, name: str) -> None:
        """Pin the parts of all tables as they are now by hard links under ``shadow/<name>`` of the store's
        directory, for a backup to copy. Whoever asks removes that folder afterwards.
        """
        self._writer.freeze(name)

    def forecast(self) -> Forecast:
        """How large the store is, how fast it grows, and how long the disk lasts."""
        damaged = self.damaged()
        with self.upkeep.lock:
            return forecast(self._keeper, self._place, self.archive, damaged)

    def damaged(self) -> int:
        """How many parts and archived files are set aside because they cannot be read, and are not made good."""
        return self.damaged_with(self.damages.look())

    def damaged_with(self, damages: Iterable[Damage]) -> int:
        """:meth:`damaged`, where the parts have been looked at already."""
        return damaged_parts(damages) + (0 if self.archive is None else self.archive.damaged)

    def healthy(self) -> bool:
        """Whether the tables answer."""
        try:
            return self.query("SELECT 1 FROM events LIMIT 0", {}).strip().startswith(b"[")
        except StoreError:
            return False

    def close(self) -> None:
        """Close the engine; running queries and changes end first."""
        self.upkeep.stop()
        self._reader.close()
        self._writer.close()
        self.damages.close()
        self._keeper.close()

    def _drop_day(self, day: str) -> None:
        self._writer.drop("events", day)
