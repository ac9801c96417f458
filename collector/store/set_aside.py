"""What the engine set aside of the event store because it could not read it, and how far its rows were brought back.

A part that is shorter than it should be, or whose files are gone, is detached when the store is opened; the rest is
there. What the part held is still in the durable log, as long as that keeps it: workers look it through for each damage
and insert what is missing (:mod:`collector.detect.restoring`). How far they are is noted in the store itself.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.store import schema
from collector.store.damage import Damage
from collector.store.errors import store_error
from collector.store.notes import Notes, digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.store.place import Place

_RESTORED: Final = "restored"
_LOOKED: Final = "looked through"


class SetAside:
    """Thread-safe; over a client of its own. Call :meth:`close`."""

    def __init__(self, client: Any, place: Place) -> None:
        self._client = client
        self._place = place
        self._notes = Notes(client)
        self._lock = threading.Lock()

    def look(self) -> list[Damage]:
        """All there are, also those that are whole again: until somebody removes the detached parts.

        Raises:
            StoreError: the engine does not answer.
        """
        with self._lock:
            try:
                parts = self._parts()
                restored = self._notes.of(_RESTORED) if parts else {}
                looked = self._notes.of(_LOOKED) if parts else {}
            except ClickHouseError as error:
                raise store_error(error) from error
        return [
            self._damage(table, partition, held, restored, looked)
            for (table, partition), held in sorted(parts.items())
        ]

    def note_restored(self, damage_id: str, log_offset: int, rows: int) -> None:
        """That so many rows were inserted again, the first of them of ``log_offset``.

        Raises:
            StoreError: it could not be noted.
        """
        self._note(_RESTORED, [f"{damage_id}/{log_offset}"], str(rows))

    def note_looked_through(self, damage_id: str, partitions: Iterable[int]) -> None:
        """That the log has nothing more of it in these partitions. Raises as :meth:`note_restored`."""
        self._note(_LOOKED, [f"{damage_id}/{each}" for each in partitions], "")

    def close(self) -> None:
        with self._lock:
            self._client.close()

    def _parts(self) -> dict[tuple[str, str], dict[str, int | None]]:
        """How many rows each damaged part held, by table and partition."""
        found: dict[tuple[str, str], dict[str, int | None]] = defaultdict(dict)
        rows = self._client.query(
            f"SELECT table, partition_id, name, path FROM {schema.everywhere(self._place, 'system.detached_parts')}"
            " WHERE database = currentDatabase() AND startsWith(reason, 'broken')"
        ).result_rows
        for stored, partition, name, path in rows:
            held = _rows(Path(str(path))) if self._place.embedded else None
            found[str(stored).removesuffix("_local"), str(partition or "")][str(name)] = held
        return found

    def _damage(
        self,
        table: str,
        partition: str,
        parts: dict[str, int | None],
        restored: dict[str, str],
        looked: dict[str, str],
    ) -> Damage:
        of = f"{table}-{partition}-"
        own = f"{of}{digest(' '.join(sorted(parts)))}"
        known = [rows for rows in parts.values() if rows is not None]
        return Damage(
            own,
            table,
            partition,
            sorted(parts),
            sum(known) if len(known) == len(parts) else None,
            sum(int(count) for subject, count in restored.items() if subject.startswith(of)),
            sorted(int(subject.split("/")[1]) for subject in looked if subject.startswith(f"{own}/")),
        )

    def _note(self, task: str, subjects: list[str], detail: str) -> None:
        with self._lock:
            try:
                self._notes.add(task, subjects, detail)
            except ClickHouseError as error:
                raise store_error(error) from error


def _rows(part: Path) -> int | None:
    """How many rows a part holds, as it says in a file of its own; ``None`` where that is damaged too."""
    try:
        return int((part / "count.txt").read_bytes()[:32])
    except (OSError, ValueError):
        return None
