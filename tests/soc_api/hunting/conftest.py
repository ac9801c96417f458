"""A real event store in this process, and hunts on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from collector.store.engine import Engine as Store
from collector.store.place import Embedded
from collector.store.rows import EventRow, encode, events_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

START = 1_795_000_000.0


class Stored:
    """What hunts ask (:meth:`query`), and a way to put events in."""

    def __init__(self, folder: Path, events: Path | None = None) -> None:
        self._engine: Store | None = Store(Embedded(events or folder / "events", folder / "spill"))
        self._next = 0

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, *, since: datetime | None = None
    ) -> list[dict[str, Any]]:
        assert self._engine is not None
        rows: list[dict[str, Any]] = json.loads(self._engine.query(sql, parameters or {}, since))
        return rows

    def put(
        self,
        *events: Mapping[str, Any],
        product: str = "windows",
        category: str = "process_creation",
        service: str = "",
        every_seconds: float = 1.0,
        simulated: bool = False,
        agency_id: int = 1,
    ) -> list[str]:
        """Store events, one a batch; their ids, in order."""
        rows = []
        for fields in events:
            at = START + self._next * every_seconds
            rows.append(
                EventRow(
                    event_id=f"{self._next:08d}",
                    time=at,
                    received_at=at,
                    log_offset=self._next + 1,
                    endpoint_id="endpoint-1",
                    agency_id=agency_id,
                    product=product,
                    category=category,
                    service=service,
                    simulated=simulated,
                    rules=[],
                    body=msgspec.json.encode(fields),
                )
            )
            self._next += 1
        assert self._engine is not None
        for at_row in range(0, len(rows), 5_000):
            self._engine.insert("events", encode(events_table(rows[at_row : at_row + 5_000])))
        return [row.event_id for row in rows]

    def close(self) -> None:
        """May be done twice: one process has one store open at a time."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


class Closeless:
    """The application closes its client; the store is a fixture's."""

    def __init__(self, stored: Stored) -> None:
        self.query = stored.query

    def healthy(self) -> bool:
        return True

    def close(self) -> None:
        pass
