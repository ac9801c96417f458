"""An endpoint's events, from the event store: a bounded window, paged by time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from soc_api.errors import Fault, InvalidError

if TYPE_CHECKING:
    from collector.state.scope import Scope
    from collector.store.client import StoreClient

#: The widest window of one query, and the one where nothing is said.
WIDEST: Final = timedelta(days=31)
USUAL: Final = timedelta(days=1)
#: An event is received after it happened, but for a clock that is wrong: so far wrong is still found.
_CLOCK_TOLERANCE: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_QUERY: Final = """
SELECT event_id, toUnixTimestamp64Micro(time) AS time_us, toUnixTimestamp64Micro(received_at) AS received_us,
       product, category, service, rules, body
FROM events
WHERE endpoint_id = {endpoint:String}
  AND received_at >= fromUnixTimestamp64Micro({received_us:Int64}, 'UTC')
  AND time >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
  AND (toUnixTimestamp64Micro(time), event_id) < ({until_us:Int64}, {until_id:String})
  AND ({every_agency:Bool} OR agency_id IN {agencies:Array(UInt32)})
  AND ({category:String} = '' OR category = {category:String})
ORDER BY time_us DESC, event_id DESC
LIMIT {rows:UInt32}
"""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    id: str
    time: datetime
    received_at: datetime
    product: str
    category: str
    service: str
    rules: list[str]
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Before:
    """Events strictly before this one, in (time, id) order."""

    time_us: int
    event_id: str = ""


def events_of(
    store: StoreClient,
    scope: Scope,
    endpoint_id: str,
    *,
    since: datetime | None = None,
    before: Before | datetime,
    category: str = "",
    limit: int = 50,
) -> list[StoredEvent]:
    """The newest first. An officer sees only what happened while the endpoint was his agency's.

    Raises:
        InvalidError: a window wider than ``WIDEST``.
        collector.store.errors.StoreError: the store does not answer.
    """
    last = before if isinstance(before, Before) else Before(_microseconds(before))
    since_us = last.time_us - _span(USUAL) if since is None else _microseconds(since)
    if last.time_us - since_us > _span(WIDEST):
        raise InvalidError(Fault("query.since", f"at most {WIDEST.days} days in one query"))
    rows = store.query(
        _QUERY,
        {
            "endpoint": endpoint_id,
            "received_us": max(since_us - _span(_CLOCK_TOLERANCE), 0),
            "since_us": max(since_us, 0),
            "until_us": max(last.time_us, 0),
            "until_id": last.event_id,
            "every_agency": scope.agency_ids is None,
            "agencies": sorted(scope.agency_ids or ()),
            "category": category,
            "rows": limit,
        },
        since=_EPOCH + timedelta(microseconds=max(since_us - _span(_CLOCK_TOLERANCE), 0)),
    )
    return [_event(row) for row in rows]


def position_of(event: StoredEvent) -> Before:
    return Before(_microseconds(event.time), event.id)


def _event(row: dict[str, Any]) -> StoredEvent:
    return StoredEvent(
        id=row["event_id"],
        time=_time(row["time_us"]),
        received_at=_time(row["received_us"]),
        product=row["product"],
        category=row["category"],
        service=row["service"],
        rules=list(row["rules"]),
        fields=json.loads(row["body"]),
    )


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def _span(delta: timedelta) -> int:
    return delta // timedelta(microseconds=1)
