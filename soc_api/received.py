"""Which log sources events have arrived with, asked of the event store: what rules apply here depends on it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final

from collector.store.client import StoreError
from rules.importing import Received, Source
from rules.importing.sources import OWN_PRODUCT, Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from collector.store.client import StoreClient
    from rules.logsources import Pipeline

#: A source that has been quiet for longer is not one that "arrives".
DAYS: Final = 30
#: Of how many sources events are looked at; a log source comes from outside.
_SAMPLED_SOURCES: Final = 100
#: Events are looked at of this time only: bodies cost far more to read than columns.
_SAMPLED_DAYS: Final = 2
_KEEP_SECONDS: Final = 600.0
_SOURCES: Final = (
    "SELECT product, category, service, count() AS events FROM events"
    " WHERE received_at >= {since:DateTime64(6, 'UTC')} AND NOT simulated GROUP BY product, category, service"
)
_BODIES: Final = (
    "SELECT body AS sample FROM events WHERE received_at >= {since:DateTime64(6, 'UTC')} AND NOT simulated"
    " AND product = {product:String}"
    " AND category = {category:String} AND service = {service:String}"
    " ORDER BY received_at DESC LIMIT 200"
)
_WINDOWS: Final = (
    "SELECT any(body) AS sample FROM events WHERE received_at >= {since:DateTime64(6, 'UTC')} AND NOT simulated"
    " AND product = 'windows' GROUP BY JSONExtractString(body, 'Channel'), JSONExtractRaw(body, 'EventID') LIMIT 5000"
)


def received(
    query: Callable[[str, Mapping[str, object]], list[dict[str, Any]]],
    now: datetime,
    pipelines: Sequence[Pipeline] | None = None,
) -> Received:
    """What arrived within the last :data:`DAYS` days, with how many events of each, and what pipelines find in a
    sample of it. What simulated machines send does not count.

    ``query``: of a store's client or engine. Raises what that raises. ``pipelines``: those that the worker reads events
    by (``None``: the shipped ones).
    """
    since = {"since": _plain(now - timedelta(days=DAYS))}
    counted: dict[Source, int] = {}
    rows = sorted(query(_SOURCES, since), key=lambda row: -int(row["events"]))
    for row in rows:
        source = Source.of(row)
        counted[source] = counted.get(source, 0) + int(row["events"])
    sampler = Sampler(pipelines)
    found: set[Source] = set()
    lately = {"since": _plain(now - timedelta(days=_SAMPLED_DAYS))}
    open_ = [row for row in rows if row["product"] != OWN_PRODUCT]  # our own events say all that they are
    for row in open_[:_SAMPLED_SOURCES]:
        named = {name: row[name] for name in Source._fields}
        for event in query(_BODIES, {**lately, **named}):
            found |= sampler.sources_of(Source(**named), _fields(event))
    if any(source.product == "windows" for source in counted):
        for row in query(_WINDOWS, lately):
            found |= sampler.sources_of(Source("windows"), _fields(row))
    return Received({**dict.fromkeys(found, 0), **counted}, pipelines)


def _plain(moment: datetime) -> str:
    """As the event store reads a time in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        fields = json.loads(row.get("sample", "{}"))
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


class Arrivals:
    """The same, remembered: what arrives changes slowly, and asking reads a month of events. Threads may share it."""

    def __init__(
        self, store: StoreClient, clock: Callable[[], datetime], pipelines: Sequence[Pipeline] | None = None
    ) -> None:
        self._pipelines = pipelines
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
                    self._answer = received(self._store.query, now, self._pipelines)
                    self._at = now
                except StoreError:
                    return None
            return self._answer
