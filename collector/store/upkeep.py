"""What an event store needs done beside taking rows and answering: forgetting, archiving, and the index of texts.

One thread, at times of its own; a step that fails is tried again at the next turn. Several owners of one server may do
it at once: nothing is harmed by being done twice.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.store import schema
from collector.store.errors import StoreError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.store.archive import Archive
    from collector.store.place import Place
    from collector.store.policy import Policy
    from collector.store.writer import Writer

_EVERY_SECONDS: Final = 30.0
#: An hour is indexed when the engine had time to merge its parts into one (``min_age_to_force_merge_seconds``).
_SETTLED: Final = timedelta(minutes=15)
#: While the machine is busy the index waits, but no longer than this after the hour.
_LATEST: Final = timedelta(hours=12)

log = logging.getLogger("vonggac.store")


class Upkeep:
    """:meth:`start` runs it in a thread until :meth:`stop`; tests call :meth:`run` themselves. ``lock`` is held while
    the client is used."""

    def __init__(self, client: Any, place: Place, writer: Writer, archive: Archive | None) -> None:
        self.lock = threading.Lock()
        self._client = client
        self._place = place
        self._writer = writer
        self._archive = archive
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
        """One turn; how many hours (of metrics: months) were dropped, thinned out, archived and indexed, and how many
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
                raise StoreError(first_line(error)) from error
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
        """Delete, hour by hour, the events that are kept for a shorter time than others."""
        count = 0
        for days, condition in policy.classes():
            if days == policy.longest:
                continue
            noted = self._noted("thin")
            limit = (now - timedelta(days=days)).strftime("%Y%m%d%H")
            detail = _digest(f"{days} {condition}")
            for hour in self._writer.partitions("events"):
                if hour >= limit or detail in noted.get(hour, ""):
                    continue
                self._alter(f"DELETE IN PARTITION ID '{hour}' WHERE {condition}")
                self._note("thin", hour, f"{noted.get(hour, '')} {detail}".strip())
                count += 1
        return count

    def _move_to_archive(self, now: datetime, policy: Policy) -> int:
        if self._archive is None or not policy.archive_after:
            return 0
        limit = (now - timedelta(days=policy.archive_after)).strftime("%Y%m%d%H")
        hours = [hour for hour in self._writer.partitions("events") if hour < limit]
        for hour in hours:
            self._archive.move(hour, policy.classes())
        return len(hours)

    def _index(self, now: datetime, *, idle: bool) -> int:
        """Make the index of texts of hours that are over, the newest first. Parts that came since need it again."""
        settled, latest = ((now - each).strftime("%Y%m%d%H") for each in (_SETTLED, _LATEST))
        noted = self._noted("index")
        count = 0
        for hour in reversed(self._writer.partitions("events")):
            if hour >= settled or self._stopped.is_set():
                continue
            if not idle and hour >= latest:
                continue
            if noted.get(hour) == self._parts(hour):
                continue
            self._alter(f"MATERIALIZE INDEX {schema.TEXT_INDEX} IN PARTITION ID '{hour}'")
            self._note("index", hour, self._parts(hour))
            count += 1
            idle = idle and is_idle()
        return count

    def _alter(self, what: str) -> None:
        table = schema.stored(self._place, "events") + schema.on_cluster(self._place)
        self._client.command(f"ALTER TABLE {table} {what} SETTINGS mutations_sync = 2")

    def _parts(self, hour: str) -> str:
        names = self._client.query(
            f"SELECT DISTINCT name FROM {schema.everywhere(self._place, 'system.parts')} WHERE active"
            " AND database = currentDatabase() AND table = {table:String} AND partition_id = {hour:String}"
            " ORDER BY name",
            parameters={"table": schema.stored(self._place, "events"), "hour": hour},
        ).result_rows
        return _digest(" ".join(str(row[0]) for row in names))

    def _noted(self, task: str) -> dict[str, str]:
        rows = self._client.query(
            "SELECT partition_id, argMax(detail, noted_at) FROM notes WHERE task = {task:String} GROUP BY partition_id",
            parameters={"task": task},
        ).result_rows
        return {str(partition): str(detail) for partition, detail in rows}

    def _note(self, task: str, hour: str, detail: str) -> None:
        self._client.command(
            "INSERT INTO notes (task, partition_id, detail) VALUES ({task:String}, {hour:String}, {detail:String})",
            parameters={"task": task, "hour": hour, "detail": detail},
        )


def is_idle() -> bool:
    """Whether the machine has a core to spare."""
    return os.getloadavg()[0] < max(1, (os.cpu_count() or 1) - 1)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
