"""How often a device speaks, and when its silence is too long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collector.settings import Sources

HOUR: Final = 3600.0
#: A device that spoke in fewer different hours than this has no habit yet.
HABIT_HOURS: Final = 12
#: It is silent when it says nothing for so many times its longest pause.
PAUSES: Final = 2.0
#: A long pause counts half after so long: one bad week does not excuse silence for ever.
_HALF_SECONDS: Final = 14 * 86_400.0
#: Of the messages looked at, older ones count half after so many newer.
SAMPLE: Final = 5_000
#: A count stays there: what probes say may be any number, and databases hold 63 bits.
_MOST_MESSAGES: Final = 1 << 53


class Rhythm(Struct):
    """What is known of one device. ``last_at`` is None where it never spoke; ``rate``: messages a second lately."""

    last_at: float | None = None
    hours: int = 0
    longest_gap_seconds: float = 0.0
    messages: int = 0
    rate: float = 0.0


def spoke(rhythm: Rhythm, at: float, messages: int, seconds: float, *, own_pause: bool = True) -> None:
    """Note that ``messages`` came within ``seconds``, the last one at ``at``. What is older than known counts only.
    ``own_pause``: nothing else than the device made the pause before."""
    rhythm.messages = min(rhythm.messages + messages, _MOST_MESSAGES)
    if seconds >= 1:
        now = messages / seconds
        rhythm.rate = now if rhythm.last_at is None else 0.7 * rhythm.rate + 0.3 * now
    before = rhythm.last_at
    if before is None:
        rhythm.last_at, rhythm.hours = at, 1
        return
    if at <= before:
        return
    gap = at - before
    faded = rhythm.longest_gap_seconds * 0.5 ** (gap / _HALF_SECONDS)
    rhythm.longest_gap_seconds = max(faded, gap) if own_pause else faded
    rhythm.hours += int(at // HOUR != before // HOUR)
    rhythm.last_at = at


def patience(rhythm: Rhythm, expected_seconds: float | None, settings: Sources) -> float:
    """For how long the device may be silent, in seconds: what people set, else what it is known for."""
    if expected_seconds is not None:
        return expected_seconds
    if rhythm.hours < HABIT_HOURS:
        return settings.unknown_seconds
    return max(settings.silent_seconds, PAUSES * rhythm.longest_gap_seconds)


def state_of(
    rhythm: Rhythm, expected_seconds: float | None, since: float, now: float, settings: Sources
) -> str:
    """``heard``, ``silent``, and of a device that never spoke ``waiting`` or ``never_heard``; ``since``: when it was
    made known."""
    allowed = patience(rhythm, expected_seconds, settings)
    if rhythm.last_at is None:
        return "waiting" if now - since <= allowed else "never_heard"
    return "heard" if now - rhythm.last_at <= allowed else "silent"
