"""What the worker needs of the rooms around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.store.rows import EventRow, MetricRow


class EventStore(Protocol):
    """``collector.store.client.StoreClient`` fits."""

    def insert_events(self, rows: Sequence[EventRow]) -> None: ...
    def insert_metrics(self, rows: Sequence[MetricRow]) -> None: ...
    def rewind(self, after_offset: int) -> int: ...
    def forget_before(self, moment: datetime) -> int: ...
    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]: ...


class Pause(Protocol):
    """``threading.Event`` fits: waits, and says whether to stop."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float) -> bool: ...
