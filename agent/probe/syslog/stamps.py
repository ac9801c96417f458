"""Times as senders of syslog write them, made seconds since 1970.

The rule where something is missing. **No year**: the one that brings the time nearest to when the message came. **No
zone**: the probe's (``[messages] zone``); where the time is then off from when the message came by whole quarters of an
hour (up to 14 hours, within two minutes), the sender's clock is taken to be set to another zone, and that is made good.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

_QUARTER: Final = 900.0
_WITHIN_SECONDS: Final = 120.0
_MOST_SECONDS: Final = 14 * 3600.0
#: Times that were read already; senders write the same second many times.
_REMEMBERED: Final = 4_096
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
#: Abbreviations that mean one zone only; others are as if none were said.
_ZONES: Final = {"utc": UTC, "gmt": UTC, "z": UTC, "ict": timezone(timedelta(hours=7))}
_ISO: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?"
)
_WRITTEN: Final = re.compile(
    r"(?:(\d{4}) )?([A-Za-z]{3}) {1,2}(\d{1,2})(?: (\d{4}))? (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?: (\d{4})(?= |$))?(?: ([A-Z]{3,4})(?=:? |$|:$))?"
)
#: What a time of either form looks like, as part of a larger expression; no groups.
PATTERN: Final = (
    r"(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
    r"|(?:\d{4} )?[A-Z][a-z]{2} {1,2}\d{1,2}(?: \d{4})? \d\d:\d\d:\d\d(?:\.\d{1,9})?"
    r"(?: \d{4}(?= ))?(?: [A-Z]{3,4}(?=:))?)"
)


class Stamp(NamedTuple):
    """``parts``: year (0: none), month, day, hour, minute, second; ``offset``: seconds east of Greenwich, if said."""

    parts: tuple[int, int, int, int, int, int]
    fraction: float
    offset: float | None


class Clock:
    """Reads times with ``zone`` for those that name none (``None``: this machine's)."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._known: dict[tuple[str, int], float | None] = {}

    def seconds(self, text: str, received_at: float) -> float | None:
        """``None`` for what is no time, or none that there is."""
        key = (text, int(received_at) // 60)
        if key in self._known:
            return self._known[key]
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        found = self._known[key] = self._seconds(text, received_at)
        return found

    def _seconds(self, text: str, received_at: float) -> float | None:
        stamp = read_stamp(text)
        if stamp is None:
            return None
        try:
            if stamp.parts[0]:
                return self._of(stamp, stamp.parts[0], received_at)
            now = datetime.fromtimestamp(received_at, UTC).year
            tried = [self._tried(stamp, year, received_at) for year in (now - 1, now, now + 1)]
            found = [each for each in tried if each is not None]
            return min(found, key=lambda each: abs(each - received_at)) if found else None
        except (ValueError, OverflowError, OSError):
            return None

    def _tried(self, stamp: Stamp, year: int, received_at: float) -> float | None:
        try:
            return self._of(stamp, year, received_at)
        except ValueError:  # the 29th of February
            return None

    def _of(self, stamp: Stamp, year: int, received_at: float) -> float:
        _, month, day, hour, minute, second = stamp.parts
        # A leap second is the next second's beginning: 23:59:60 is 00:00:00.
        at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        seconds = at.timestamp() + (second - min(second, 59)) + stamp.fraction
        if stamp.offset is not None:
            return seconds - stamp.offset
        naive = at.replace(tzinfo=None)
        local = naive.astimezone() if self._zone is None else naive.replace(tzinfo=self._zone)
        offset = local.utcoffset()
        seconds -= offset.total_seconds() if offset is not None else 0.0
        off = received_at - seconds
        quarters = round(off / _QUARTER) * _QUARTER
        if quarters and abs(quarters) <= _MOST_SECONDS and abs(off - quarters) <= _WITHIN_SECONDS:
            return seconds + quarters
        return seconds


def read_stamp(text: str) -> Stamp | None:
    """The first time of either form at the beginning of ``text``."""
    found = _ISO.match(text)
    if found is not None:
        year, month, day, hour, minute, second, fraction, zone = found.groups()
        parts = (int(year), int(month), int(day), int(hour), int(minute), int(second))
        return _stamp(parts, fraction, _offset(zone))
    found = _WRITTEN.match(text)
    if found is None:
        return None
    before, name, day, between, hour, minute, second, fraction, after, zone = found.groups()
    number = _MONTHS.get(name.lower())
    if number is None:
        return None
    year = before or between or after or "0"
    parts = (int(year), number, int(day), int(hour), int(minute), int(second))
    named = None if zone is None else _ZONES.get(zone.lower())
    offset = None if named is None else named.utcoffset(None)
    return _stamp(parts, fraction, None if offset is None else offset.total_seconds())


def _stamp(parts: tuple[int, ...], fraction: str | None, offset: float | None) -> Stamp | None:
    year, month, day, hour, minute, second = parts
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour <= 23 and minute <= 59 and second <= 60):
        return None
    return Stamp(
        (year, month, day, hour, minute, second), float(f"0.{fraction}") if fraction else 0.0, offset
    )


def _offset(zone: str | None) -> float | None:
    if zone is None:
        return None
    if zone == "Z":
        return 0.0
    sign = -1 if zone[0] == "-" else 1
    return sign * (int(zone[1:3]) * 3600.0 + int(zone[-2:]) * 60.0)
