"""What the workers need of the rooms around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.detect.step import Step
    from collector.store.damage import Damage
    from collector.store.rows import EventRow, MetricRow


class EventStore(Protocol):
    """``collector.store.client.StoreClient`` fits."""

    def insert_events(self, rows: Sequence[EventRow], epochs: Mapping[int, int]) -> None: ...
    def insert_metrics(self, rows: Sequence[MetricRow], epochs: Mapping[int, int]) -> None: ...
    def rewind(self, positions: Mapping[int, int], epochs: Mapping[int, int]) -> int: ...
    def damages(self) -> list[Damage]: ...
    def note_restored(self, damage_id: str, log_offset: int, rows: int) -> None: ...
    def note_looked_through(self, damage_id: str, partitions: Iterable[int]) -> None: ...
    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, *, since: datetime | None = None
    ) -> list[dict[str, Any]]: ...


class Export(Protocol):
    """``collector.export.spool.SpoolWriter`` fits: what keeps metrics for another store. ``lost``: how many it could
    not."""

    lost: int

    def put(self, rows: Sequence[MetricRow], epochs: Mapping[int, int]) -> None: ...


class SelfWatch(Protocol):
    """``collector.watch.service.Watch`` and ``collector.services.round.Availability`` fit."""

    def due(self) -> bool: ...
    def look(self, session: Session, store: EventStore) -> Any: ...
    def tell(self, step: Step, look: Any, log_offset: int) -> None: ...
    def write(self, session: Session, look: Any) -> None: ...
    def done(self, look: Any) -> None: ...


class Pause(Protocol):
    """``threading.Event`` fits: waits, and says whether to stop."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float) -> bool: ...
