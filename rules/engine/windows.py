"""Windows events with their time read at once; :class:`rules.logsources.WindowsReader` is what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.engine.events import Event
from rules.logsources import WindowsReader, seconds_of

if TYPE_CHECKING:
    from rules.engine.routing import Sources
    from rules.logsources import Pipeline


class WindowsEvents:
    """Reads Windows events; ``read`` is safe on any JSON value."""

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        self._reader = WindowsReader(pipeline)

    def read(self, record: object, event_id: str) -> tuple[Event, Sources] | None:
        """The event and its log sources, or ``None`` where ``record`` has no channel or no event id."""
        found = self._reader.read(record)
        if found is None:
            return None
        time = seconds_of(found.time) if isinstance(found.time, str) else float("nan")
        return Event(event_id, time, found.sources.product, "", "", found.fields), found.sources
