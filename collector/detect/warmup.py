"""Gives a fresh engine the memory that the last one had: recent events, from the store, without their findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rules.engine import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.detect.ports import EventStore
    from rules.engine import Engine

#: Correlations keep no more than this anyway.
MAX_EVENTS = 200_000
_PAGE = 2_000

_FROM = """
SELECT event_id, log_offset, toUnixTimestamp64Micro(time) / 1e6 AS seconds, product, category, service, body
FROM events
WHERE received_at >= fromUnixTimestamp64Micro({since:Int64})
  AND log_offset >= {floor:UInt64}
  AND (log_offset, event_id) > ({offset:UInt64}, {id:String})
ORDER BY log_offset, event_id
LIMIT {page:UInt32}
"""
_FLOOR = """
SELECT log_offset FROM events
WHERE received_at >= fromUnixTimestamp64Micro({since:Int64})
ORDER BY log_offset DESC LIMIT 1 OFFSET {most:UInt32}
"""


def warm_up(engine: Engine, store: EventStore, now: float) -> int:
    """Show the engine the events of its longest timespan (received since then), at most the newest 200,000.

    Raises:
        collector.store.errors.StoreError: the store cannot be read.
    """
    if engine.longest_timespan_seconds <= 0:
        return 0
    since = int((now - engine.longest_timespan_seconds) * 1_000_000)
    count = 0
    for event in recent_events(store, since):
        engine.process(event)
        count += 1
    return count


def recent_events(store: EventStore, since_microseconds: int) -> Iterator[Event]:
    """Events received since then, in the order in which the worker saw them (within a batch: by id)."""
    most = {"since": since_microseconds, "most": MAX_EVENTS}
    floor = store.query(_FLOOR, most)
    position: tuple[int, str] = (0, "")
    while True:
        page = store.query(
            _FROM,
            {
                "since": since_microseconds,
                "floor": int(floor[0]["log_offset"]) if floor else 0,
                "offset": position[0],
                "id": position[1],
                "page": _PAGE,
            },
        )
        batch: list[tuple[int, Event]] = []
        for row in page:
            event = Event(
                row["event_id"],
                float(row["seconds"]),
                row["product"],
                row["category"],
                row["service"],
                msgspec.json.decode(row["body"]),
            )
            batch.append((int(row["log_offset"]), event))
        batch.sort(key=lambda pair: (pair[0], pair[1].time))
        yield from (event for _, event in batch)
        if len(page) < _PAGE:
            return
        position = (int(page[-1]["log_offset"]), page[-1]["event_id"])
