"""Metrics as a chart needs them: common times, one column a series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

from collector.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from collector.store.client import StoreClient

_QUERY: Final = """
SELECT name, toUnixTimestamp(toStartOfInterval(time, INTERVAL 5 MINUTE)) AS at, avg(value) AS mean
FROM metrics
WHERE endpoint_id = {endpoint:String} AND name IN {names:Array(String)}
  AND time >= fromUnixTimestamp({since:Int64})
  AND arrayAll((key, value) -> attributes[key] = value, {keys:Array(String)}, {wanted:Array(String)})
GROUP BY name, at ORDER BY at
LIMIT 9000
"""


@dataclass(frozen=True, slots=True)
class Series:
    """Metric ``name`` shown as ``label``, its values times ``factor`` in ``unit``."""

    name: str
    label: str
    unit: str
    factor: float


def series_of(
    store: StoreClient,
    endpoint_id: str,
    wanted: tuple[Series, ...],
    since: datetime,
    attributes: Mapping[str, str] | None = None,
) -> Response:
    """Means over five minutes, of what has these ``attributes``; 503 where the event store does not answer. A series
    without values is left out."""
    parameters = {
        "endpoint": endpoint_id,
        "names": [series.name for series in wanted],
        "since": int(since.timestamp()),
        "keys": list(attributes or {}),
        "wanted": list((attributes or {}).values()),
    }
    try:
        rows = store.query(_QUERY, parameters)
    except StoreError as error:
        body = {"type": "about:blank", "title": "Not available", "status": 503, "detail": str(error)}
        return Response(msgspec.json.encode(body), 503, media_type="application/problem+json")
    values = {(row["name"], int(row["at"])): float(row["mean"]) for row in rows}
    times = sorted({at for _, at in values})
    series = [
        {
            "label": each.label,
            "unit": each.unit,
            "values": [_scaled(values.get((each.name, at)), each.factor) for at in times],
        }
        for each in wanted
        if any(name == each.name for name, _ in values)
    ]
    return Response(msgspec.json.encode({"times": times, "series": series}), media_type="application/json")


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else round(value * factor, 3)
