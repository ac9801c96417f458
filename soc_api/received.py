"""Which log sources events have arrived with, asked of the event store: what rules apply here depends on it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from collector.store.client import StoreError
from rules.importing import Received, Source
from rules.importing.sources import windows_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from collector.store.client import StoreClient

#: A source that has been quiet for longer is not one that "arrives".
DAYS: Final = 30
#: Channels stand in the events' bodies, which cost much more to read than columns.
CHANNEL_DAYS: Final = 2
_KEEP_SECONDS: Final = 600.0
_SOURCES: Final = (
    "SELECT product, category, service, count() AS events FROM events"
    " WHERE received_at >= {since:DateTime64(6, 'UTC')} GROUP BY product, category, service"
)
_CHANNELS: Final = (
    "SELECT JSONExtractString(body, 'Channel') AS channel, count() AS events FROM events"
    " WHERE received_at >= {since:DateTime64(6, 'UTC')} AND product = 'windows' GROUP BY channel"
)


def received(query: Callable[[str, Mapping[str, object]], list[dict[str, Any]]], now: datetime) -> Received:
    """What arrived within the last :data:`DAYS` days, with how many events of each.

    ``query``: of a store's client or engine. Raises what that raises.
    """
    counted: dict[Source, int] = {}
    for row in query(_SOURCES, {"since": now - timedelta(days=DAYS)}):
        source = Source.of(row)
        counted[source] = counted.get(source, 0) + int(row["events"])
    if any(source.product == "windows" for source in counted):
        for row in query(_CHANNELS, {"since": now - timedelta(days=CHANNEL_DAYS)}):
            for source in windows_source(str(row["channel"])):
                counted.setdefault(source, int(row["events"]))
    return Received(counted)


class Arrivals:
    """The same, remembered: what arrives changes slowly, and asking reads a month of events. Threads may share it."""

    def __init__(self, store: StoreClient, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._at: datetime | None = None
        self._answer: Received | None = None

    def __call__(self) -> Received | None:
        """None where the event store cannot say."""
        now = self._clock()
        with self._lock:
            if self._at is None or not 0 <= (now - self._at).total_seconds() < _KEEP_SECONDS:
                try:
                    self._answer, self._at = received(self._store.query, now), now
                except StoreError:
                    return None
            return self._answer
