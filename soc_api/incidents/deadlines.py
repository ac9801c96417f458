"""The clocks that the law sets on an incident, read from ``deadlines.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Deadline:
    """A rule: due ``hours`` after detection, for incidents detected from ``in_force`` on."""

    key: str
    hours: int
    in_force: date
    source: str


@dataclass(frozen=True, slots=True)
class Clock:
    """A deadline of one incident. ``overdue`` only while the incident has not been resolved."""

    key: str
    due_at: datetime
    overdue: bool
    source: str


@cache
def deadlines() -> tuple[Deadline, ...]:
    raw = tomllib.loads(files(__package__).joinpath("deadlines.toml").read_text(encoding="utf-8"))
    return tuple(Deadline(row["key"], row["hours"], row["from"], row["source"]) for row in raw["deadline"])


def clocks(detected_at: datetime, resolved_at: datetime | None, now: datetime) -> list[Clock]:
    """Those in force on the day of detection, the nearest first."""
    found = [
        Clock(rule.key, due, resolved_at is None and now > due, rule.source)
        for rule in deadlines()
        if rule.in_force <= detected_at.astimezone(UTC).date()
        for due in (detected_at + timedelta(hours=rule.hours),)
    ]
    return sorted(found, key=lambda clock: clock.due_at)
