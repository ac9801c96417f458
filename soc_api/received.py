"""Which log sources events have arrived with, asked of the event store: what rules apply here depends on it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from rules.importing import Received, Source
from rules.importing.sources import windows_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

#: A source that has been quiet for longer is not one that "arrives".
DAYS: Final = 30
#: Channels stand in the events' bodies, which cost much more to read than columns.
CHANNEL_DAYS: Final = 2
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
