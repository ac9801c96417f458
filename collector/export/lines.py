"""Points as InfluxDB's line protocol.

One measurement, ``vonggac``; the metric's name is the field (``host.cpu_used_ratio`` → ``host_cpu_used_ratio``), so
that VictoriaMetrics calls the series ``vonggac_host_cpu_used_ratio``. Tags: ``endpoint`` (its id), ``host``, ``agency``
(its code), ``simulated`` where it is, and the metric's own attributes.
https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from collector.state.tables import Agency, Assignment, Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.export.spool import SpooledPoint
    from collector.state.database import StateStore

MEASUREMENT: Final = "vonggac"
#: Names of an endpoint and its agency are read anew after this.
_KEPT_SECONDS: Final = 300.0
_CHUNK: Final = 500
_NOT_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")
#: What would end a line, or escape what follows; and what nobody can read.
_UNSOUND: Final = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
_ESCAPED: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_OWN_TAGS: Final = frozenset({"endpoint", "host", "agency", "simulated"})
_MAX_TAG: Final = 200


@dataclass(frozen=True, slots=True)
class Labels:
    """What people call an endpoint; empty where it is no longer known."""

    hostname: str = ""
    agency: str = ""


class LabelBook:
    """Endpoints' names, asked of the state store in one query for all that are missing."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._known: dict[str, Labels] = {}
        self._until = 0.0

    def of(self, endpoint_ids: Iterable[str]) -> dict[str, Labels]:
        """By endpoint id, every one asked for."""
        wanted = set(endpoint_ids)
        if monotonic() >= self._until:
            self._known.clear()
            self._until = monotonic() + _KEPT_SECONDS
        missing = sorted(wanted - self._known.keys())
        if missing:
            with self._state.read() as session:
                for start in range(0, len(missing), _CHUNK):
                    query = _QUERY.where(Endpoint.id.in_(missing[start : start + _CHUNK]))
                    for endpoint_id, hostname, agency in session.execute(query):
                        self._known[endpoint_id] = Labels(hostname, agency or "")
            for endpoint_id in missing:
                self._known.setdefault(endpoint_id, Labels())
        return {endpoint_id: self._known[endpoint_id] for endpoint_id in wanted}


_QUERY = (
    select(Endpoint.id, Endpoint.hostname, Agency.code)
    .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
    .outerjoin(Agency, Agency.id == Assignment.agency_id)
)


def line(point: SpooledPoint, labels: Labels) -> str | None:
    """The line of one point, with nanoseconds; None for what the protocol cannot say (NaN, infinities, no name)."""
    field = _NOT_NAME.sub("_", point.name)
    if not math.isfinite(point.value) or not field.strip("_"):
        return None
    tags = {"agency": labels.agency, "endpoint": point.endpoint_id, "host": labels.hostname}
    if point.simulated:
        tags["simulated"] = "1"
    for key, value in point.attributes.items():
        name = _NOT_NAME.sub("_", key)[:_MAX_TAG]
        tags[f"attribute_{name}" if name in _OWN_TAGS or not name.strip("_") else name] = value
    said = "".join(f",{key}={sound}" for key in sorted(tags) if (sound := _value(tags[key])))
    return f"{MEASUREMENT}{said} {field[:_MAX_TAG]}={point.value!r} {point.time_us * 1000}"


def _value(text: str) -> str:
    return _UNSOUND.sub("_", text[:_MAX_TAG]).strip().translate(_ESCAPED)
