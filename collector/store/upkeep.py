"""What an event store needs done beside taking rows and answering: forgetting, archiving, and the index of texts.

One thread, at times of its own; a step that fails is tried again at the next turn. Several owners of one server may do
it at once: nothing is harmed by being done twice.
"""

from __future__ import annotations

import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.store import schema
from collector.store.errors import store_error
from collector.store.mutations import mutate
from collector.store.notes import Notes, digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.store.archive import Archive
    from collector.store.place import Place
    from collector.store.policy import Policy
    from collector.store.set_aside import SetAside
    from collector.store.writer import Writer

_EVERY_SECONDS: Final = 30.0
#: A day is indexed when the engine had time to merge its parts (``min_age_to_force_merge_seconds``).
_SETTLED: Final = timedelta(minutes=20)
#: While the machine is busy the index waits, but no longer than this after the day.
_LATEST: Final = timedelta(hours=18)

log = logging.getLogger("vonggac.store")


class Upkeep:
    """:meth:`start` runs it in a thread until :meth:`stop`; tests call :meth:`run` themselves. ``lock`` is held while
    the client is used."""

    def __init__(
        self, client: Any, place: Place, writer: Writer, archive: Archive | None, damages: SetAside
    ) -> None:
        self.lock = threading.Lock()
        self._client = client
        self._notes = Notes(client)
        self._place = place
        self._writer = writer
        self._archive = archive
        self._damages = damages
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def start(self, policy: Callable[[], Policy]) -> None:
        """``policy`` is asked at every turn, in the thread."""
        self._thread = threading.Thread(target=self._loop, args=(policy,), name="upkeep")
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a step that runs is waited for."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def run(self, now: datetime, policy: Policy, *, idle: bool) -> dict[str, int]:
        """One turn; how many days (of metrics: months) were dropped, thinned out, archived and indexed, and how many
        files were forgotten.

        Raises:
            StoreError: a step failed; those before it are done.
        """
        with self.lock:
            try:
                done = {
                    "dropped": self._writer.drop_before(now - timedelta(days=policy.longest), ("events",))
                    + self._writer.drop_before(now - timedelta(days=policy.metrics), ("metrics",)),
                    "thinned": self._thin_out(now, policy),
                    "archived": self._move_to_archive(now, policy),
                    "forgotten": self._archive.forget(now) if self._archive is not None else 0,
                    "indexed": self._index(now, idle=idle),
                }
            except ClickHouseError as error:
                raise store_error(error) from error
        if any(done.values()):
            log.info("upkeep of the event store", extra=done)
        return done

    def _loop(self, policy: Callable[[], Policy]) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            try:
                self.run(datetime.now(UTC), policy(), idle=is_idle())
            except Exception as error:
                if not self._failing:
                    log.warning("upkeep of the event store put off", extra={"error": str(error)[:300]})
                self._failing = True
            else:
                self._failing = False

    def _thin_out(self, now: datetime, policy: Policy) -> int:
        """Delete, day by day, the events that are kept for a shorter time than others."""
        count = 0
        for days, condition in policy.classes():
            if days == policy.longest:
                continue
            noted = self._notes.of("thin")
            limit = (now - timedelta(days=days)).strftime("%Y%m%d")
            detail = digest(f"{days} {condition}")
            for day in self._writer.partitions("events"):
                if day >= limit or detail in noted.get(day, ""):
                    continue
                self._alter(f"DELETE IN PARTITION ID '{day}' WHERE {condition}")
                self._notes.add("thin", [day], f"{noted.get(day, '')} {detail}".strip())
                count += 1
        return count

    def _move_to_archive(self, now: datetime, policy: Policy) -> int:
        if self._archive is None or not policy.archive_after:
            return 0
        limit = (now - timedelta(days=policy.archive_after)).strftime("%Y%m%d")
        # What is being brought back of a day goes into the table, not into the archive.
        incomplete = {each.partition for each in self._damages.look() if each.sought}
        days = [day for day in self._writer.partitions("events") if day < limit and day not in incomplete]
        for day in days:
            self._archive.move(day, policy.classes())
        return len(days)

    def _index(self, now: datetime, *, idle: bool) -> int:
        """Make the index of texts of days that are over, the newest first. Parts that came since need it again."""
        settled, latest = ((now - each).strftime("%Y%m%d") for each in (_SETTLED, _LATEST))
        noted = self._notes.of("index")
        count = 0
        for day in reversed(self._writer.partitions("events")):
            if day >= settled or self._stopped.is_set():
                continue
            if not idle and day >= latest:
                continue
            if noted.get(day) == self._parts(day):
                continue
            self._alter(f"MATERIALIZE INDEX {schema.TEXT_INDEX} IN PARTITION ID '{day}'")
            self._notes.add("index", [day], self._parts(day))
            count += 1
            idle = idle and is_idle()
        return count

    def _alter(self, what: str) -> None:
        table = schema.stored(self._place, "events") + schema.on_cluster(self._place)
        mutate(self._client, f"ALTER TABLE {table} {what} SETTINGS mutations_sync = 2")

    def _parts(self, day: str) -> str:
        """Changes where rows came or parts were merged; not where some were deleted, which leaves the index."""
        names = self._client.query(
            "SELECT DISTINCT min_block_number, max_block_number, level"
            f" FROM {schema.everywhere(self._place, 'system.parts')} WHERE active"
            " AND database = currentDatabase() AND table = {table:String} AND partition_id = {day:String}"
            " ORDER BY ALL",
            parameters={"table": schema.stored(self._place, "events"), "day": day},
        ).result_rows
        return digest(str(sorted(map(tuple, names))))


def is_idle() -> bool:
    """Whether the machine has a core to spare."""
    return os.getloadavg()[0] < max(1, (os.cpu_count() or 1) - 1)
