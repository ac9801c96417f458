"""How much of agencies' leased lines is used: a probe's link names the interface of a router (``line`` of the document
``link``) that the same probe polls over SNMP, and what the line can carry; the interface's traffic is in the metrics
``network.received_bytes`` and ``network.sent_bytes`` (bytes a second, means over the probe's ``metrics_seconds``).

A line is busy when every measurement of ``availability.line_busy_seconds`` is at or above
``availability.line_busy_ratio`` of what it can carry in one direction. It is free again when the mean of such a time is
below nine tenths of that.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from collector.services.models import BUSY, FREE, LINE, UNKNOWN, Verdict
from collector.services.verdicts import text_of
from collector.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collector.detect.ports import EventStore
    from collector.services.models import Probed
    from collector.settings import Availability
    from collector.state.tables import AvailabilitySpan

log = logging.getLogger("vonggac.links")

#: The metric by direction, as the agency sees it.
METRICS: Final = {"received": "network.received_bytes", "sent": "network.sent_bytes"}
_QUERY: Final = """
SELECT endpoint_id, attributes['device'] AS device, attributes['interface'] AS interface, name,
  toUnixTimestamp64Milli(time) / 1000 AS at, value
FROM metrics
WHERE endpoint_id IN {endpoints:Array(String)} AND name IN {names:Array(String)} AND NOT simulated
  AND time > fromUnixTimestamp({since:Int64}) AND time <= fromUnixTimestamp({until:Int64})
  AND has({wanted:Array(String)}, concat(endpoint_id, '\n', attributes['device'], '\n', attributes['interface']))
ORDER BY time DESC
LIMIT 40 BY endpoint_id, device, interface, name
LIMIT 200000
"""
#: Lines of one agency, and of all.
_MOST_EACH: Final = 16
_MOST: Final = 2_000
#: A line carries something between 1 kbit/s and 10 Tbit/s.
_SLOWEST, _FASTEST = 1e3, 1e13
#: How often the measurements are read.
_READ_SECONDS: Final = 60.0
#: A clock may be ahead by this much.
_AHEAD_SECONDS: Final = 60.0
_FREE_FROM: Final = 0.9
Key = tuple[str, str, str]
Samples = dict[str, list[tuple[float, float]]]


class Line(Struct, frozen=True):
    """A link that names its line. ``received_bits`` and ``sent_bits``: what it can carry, bits a second."""

    agency_id: int
    endpoint_id: str
    name: str
    device: str
    interface: str
    received_bits: float
    sent_bits: float
    fresh: bool

    @property
    def key(self) -> Key:
        return self.endpoint_id, self.device, self.interface

    def ratios(self, direction: str, samples: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        """``(when, share of what it can carry)``."""
        most = self.received_bits if direction == "received" else self.sent_bits
        return [(at, 8 * value / most) for at, value in samples]


class Lines:
    """Remembers measurements between looks."""

    def __init__(self, settings: Availability) -> None:
        self._settings = settings
        self._samples: dict[Key, Samples] = {}
        self._asked: set[Key] = set()
        self._read_at = float("-inf")

    def verdicts(
        self,
        links: Iterable[Probed],
        opened: Mapping[tuple[str, int], AvailabilitySpan],
        store: EventStore,
        now: float,
    ) -> list[Verdict]:
        """One an agency that has, or had, a line. None where the event store does not answer: all stays as it was."""
        lines: dict[int, list[Line]] = {}
        for each in line_of(links):
            of_agency = lines.setdefault(each.agency_id, [])
            if len(of_agency) < _MOST_EACH:
                of_agency.append(each)
        if not self._read([each for of_agency in lines.values() for each in of_agency][:_MOST], store, now):
            return []
        for kind, agency_id in opened:
            if kind == LINE:
                lines.setdefault(agency_id, [])
        return [
            self._verdict(agency_id, of_agency, opened.get((LINE, agency_id)), now)
            for agency_id, of_agency in sorted(lines.items())
        ]

    def _read(self, lines: Sequence[Line], store: EventStore, now: float) -> bool:
        wanted = {each.key for each in lines}
        if not wanted or (wanted <= self._asked and 0 <= now - self._read_at < _READ_SECONDS):
            return True
        try:
            rows = store.query(
                _QUERY,
                {
                    "endpoints": sorted({key[0] for key in wanted}),
                    "names": sorted(METRICS.values()),
                    "since": int(now - 2 * self._settings.line_busy_seconds),
                    "until": int(now + _AHEAD_SECONDS),
                    "wanted": sorted("\n".join(key) for key in wanted),
                },
            )
        except StoreError as error:
            log.warning("the use of lines cannot be read", extra={"reason": str(error)})
            return False
        directions = {metric: direction for direction, metric in METRICS.items()}
        found: dict[Key, Samples] = {}
        for row in reversed(rows):
            value = float(row["value"])
            if 0 <= value < _FASTEST:
                of_line = found.setdefault((row["endpoint_id"], row["device"], row["interface"]), {})
                of_line.setdefault(directions[row["name"]], []).append((float(row["at"]), value))
        self._samples, self._asked, self._read_at = found, wanted, now
        return True

    def _verdict(
        self, agency_id: int, lines: Sequence[Line], span: AvailabilitySpan | None, now: float
    ) -> Verdict:
        before = set(span.detail.get("busy", [])) if span is not None and span.state == BUSY else set()
        told = [self._told(each, now, was_busy=each.name in before) for each in lines]
        busy = [each for each in told if each["state"] == BUSY]
        known = [each for each in told if each["state"] != UNKNOWN]
        state = BUSY if busy else FREE if known else UNKNOWN
        fields: dict[str, Any] = {
            "busy": sorted({each["name"] for each in busy}),
            "lines_count": len(told),
        }
        worst = max(
            busy or known, key=lambda each: max(each["received_ratio"], each["sent_ratio"]), default=None
        )
        if worst is not None:
            direction = "received" if worst["received_ratio"] >= worst["sent_ratio"] else "sent"
            fields |= {
                "line": worst["name"],
                "device": worst["device"],
                "interface": worst["interface"],
                "direction": direction,
                "used_ratio": worst[f"{direction}_ratio"],
                "capacity_bits": worst[f"{direction}_bits"],
            }
        return Verdict(LINE, agency_id, state, fields, {**fields, "lines": told})

    def _told(self, line: Line, now: float, *, was_busy: bool) -> dict[str, Any]:
        long = self._settings.line_busy_seconds
        said: dict[str, Any] = {
            "name": line.name,
            "endpoint_id": line.endpoint_id,
            "device": line.device,
            "interface": line.interface,
            "received_bits": line.received_bits,
            "sent_bits": line.sent_bits,
            "received_ratio": 0.0,
            "sent_ratio": 0.0,
            "at": 0.0,
            "state": UNKNOWN,
        }
        samples = self._samples.get(line.key, {}) if line.fresh else {}
        for direction in METRICS:
            found = line.ratios(direction, samples.get(direction, ()))
            lately = [each for each in found if now - long < each[0]]
            if not lately:
                continue
            said[f"{direction}_ratio"] = round(lately[-1][1], 4)
            said["at"] = max(said["at"], lately[-1][0])
            ratios = [ratio for _, ratio in lately]
            full = len(ratios) > 1 and now - lately[0][0] >= long / 2
            busy = full and min(ratios) >= self._settings.line_busy_ratio
            still = was_busy and sum(ratios) / len(ratios) >= _FREE_FROM * self._settings.line_busy_ratio
            if busy or still:
                said["state"] = BUSY
            elif said["state"] == UNKNOWN:
                said["state"] = FREE
        return said


def line_of(links: Iterable[Probed]) -> list[Line]:
    """The links that name a line; what makes no sense is passed over."""
    found = []
    for each in links:
        said = each.body.get("line")
        if not isinstance(said, dict):
            continue
        device, interface = (text_of(said.get(name), 64) for name in ("device", "interface"))
        bits = [_bits(said.get(name)) for name in ("received_bits", "sent_bits")]
        if device and interface and all(bits):
            found.append(
                Line(
                    each.agency_id,
                    each.endpoint_id,
                    text_of(each.item, 64),
                    device,
                    interface,
                    bits[0],
                    bits[1],
                    each.fresh,
                )
            )
    return found


def _bits(value: object) -> float:
    """0 for what is no line's."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _SLOWEST <= value <= _FASTEST:
        return 0.0
    return float(value)
