"""Counters that wrap and counters that begin anew (RFC 2578, 7.1; RFC 2863, ifCounterDiscontinuityTime)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

_WRAP32: Final = 1 << 32
_WRAP64: Final = 1 << 64
#: sysUpTime counts hundredths of a second in 32 bits: 497 days.
_TICKS: Final = 100
#: A counter that fell from above this share of its range has wrapped; from below it began anew.
_LATE: Final = 0.5
#: How far the clocks of probe and device, and what the way takes, may be apart.
_TOLERANCE_SECONDS: Final = 120.0


def increase(before: int, after: int, bits: int, most: float) -> int | None:
    """By how much a counter of 32 or 64 bits grew between two looks at one uninterrupted life of it.

    A fall is a wrap where the counter was in the upper half of its range and the growth is no more than ``most``
    (what the interface can carry in the time); else the counter began anew without saying so, and nothing is known:
    ``None``. So is a growth beyond ``most``.
    """
    grown = after - before
    if grown < 0:
        size = _WRAP32 if bits == 32 else _WRAP64
        if before < size * _LATE:
            return None
        grown += size
    return grown if 0 <= grown <= most else None


class Look(Struct, frozen=True):
    """One look at a device's clock. ``at``: when (Unix time); ``seconds``: the uptime that it told; ``began``: when it
    started, as judged then; ``restarted``: since the look before."""

    at: float
    seconds: float
    began: float
    restarted: bool = False


def look_at(before: Look | None, at: float, seconds: float) -> Look:
    """Judge an uptime by the one before. sysUpTime wraps after 497 days: that is no restart, nor is a clock that is a
    little off; so a start time stays as it was first told until there was a restart."""
    if before is None:
        return Look(at, seconds, at - seconds)
    missing = before.seconds + (at - before.at) - seconds
    # Seconds that are missing: none, or a whole turn of the counter, give or take what clocks differ.
    wrapped = abs(missing - _WRAP32 / _TICKS) <= _TOLERANCE_SECONDS
    if missing <= _TOLERANCE_SECONDS or wrapped:
        return Look(at, seconds, before.began)
    return Look(at, seconds, at - seconds, restarted=True)
