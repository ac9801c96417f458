"""Tries a rule's text on the newest events of its log source, before anybody is bothered by it. Nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from collector.store.errors import StoreError
from rules.engine import Engine, Event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any, Protocol

    from rules.catalogue import RuleInfo

    class Asks(Protocol):
        """``collector.store.client.StoreClient`` fits."""

        def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]: ...


HOURS: Final = 24
_EVENTS: Final = 5_000
_SAMPLES: Final = 5
_NAMES: Final = ("product", "category", "service")
_RECENT: Final = """
SELECT event_id, toUnixTimestamp64Micro(time) / 1e6 AS seconds, product, category, service, body
FROM events
WHERE time >= fromUnixTimestamp64Micro({since:Int64})
  AND ({product:String} = '' OR product = {product:String})
  AND ({category:String} = '' OR category = {category:String})
  AND ({service:String} = '' OR service = {service:String})
ORDER BY time DESC
LIMIT {most:UInt32}
"""


@dataclass(frozen=True, slots=True)
class Preview:
    """``events`` were looked at, the newest of ``hours``; ``samples`` are ids of the newest that matched."""

    events: int
    hours: int = HOURS
    matches: int = 0
    samples: list[str] = field(default_factory=list)


def preview(store: Asks, text: str, info: RuleInfo, now: datetime) -> Preview | None:
    """What a sound rule would have found; None for a correlation (``/hunt`` does those) and without an event store."""
    source = info.logsource
    if info.references or not source:
        return None
    since = now - timedelta(hours=HOURS)
    try:
        rows = store.query(
            _RECENT,
            {
                "since": int(since.timestamp() * 1e6),
                "most": _EVENTS,
                **{name: source.get(name, "") for name in _NAMES},
            },
        )
    except StoreError:
        return None
    engine = Engine([text])
    found = []
    for row in rows:
        event = Event(
            row["event_id"],
            float(row["seconds"]),
            row["product"],
            row["category"],
            row["service"],
            msgspec.json.decode(row["body"]),
        )
        if engine.process(event):
            found.append(event.id)
    return Preview(len(rows), HOURS, len(found), found[:_SAMPLES])
