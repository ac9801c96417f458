"""An event's own time, read only when somebody asks."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rules.engine.fields import MISSING, lookup, number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: ``audit(1364481363.243:24287)``, and the bare ``1364481363.243:24287`` that laurel writes.
_AUDIT: Final = re.compile(r"(?:audit\()?([0-9]{9,12}\.[0-9]{3}):[0-9]+")
#: Beyond this a number counts finer units than seconds: milli-, micro-, nanoseconds.
_SECONDS_LIMIT: Final = 1e11


def seconds_of(value: object) -> float:
    """Seconds since the epoch, UTC: of ISO 8601 text (no offset means UTC), a number of seconds, milli-, micro- or
    nanoseconds, or an audit record's number. ``nan`` for anything else."""
    if not isinstance(value, str):
        return _scaled(value)
    text = value[:64]
    try:
        if text.replace(
            ".", "", 1
        ).isdecimal():  # first: Python reads 13 digits as a date without dashes, too
            return _scaled(text)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        audit = _AUDIT.match(text)
        return float(audit[1]) if audit else math.nan


def _scaled(value: object) -> float:
    number = number_of(value)
    if number is None:
        return math.nan
    seconds = float(number)
    for _ in range(3):
        if abs(seconds) < _SECONDS_LIMIT:
            return seconds
        seconds /= 1000
    return seconds if abs(seconds) < _SECONDS_LIMIT else math.nan


def time_in(fields: Mapping[str, Any], names: Iterable[str]) -> object:
    """The value of the first of ``names`` that the event has, for :func:`seconds_of`."""
    for name in names:
        value = lookup(fields, name)
        if value is not MISSING and value is not None:
            return value
    return None
