"""What is asked of a hunt and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from collector.state.scope import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.state.scope import Scope

#: The longest time back, and the one where nothing is said.
LONGEST: Final = timedelta(days=366)
USUAL: Final = timedelta(days=30)
#: Found events that one hunt shows at most.
MOST_FOUND: Final = 1_000


@dataclass(frozen=True, slots=True)
class Question:
    """``since`` and ``until`` bound when the collector received an event (the first inside, the second not), which is
    when the live engine saw it. ``limit``: how many of the newest found events to give; 0 is a preview.
    """

    since: datetime
    until: datetime
    limit: int = 100
    simulated: bool = False
    scope: Scope = EVERYTHING
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """An event that the rule matches, or that completed the correlation (for this ``group``, with ``events`` in all
    as evidence)."""

    event_id: str
    time: datetime
    received_at: datetime
    endpoint_id: str
    agency_id: int
    product: str
    category: str
    service: str
    fields: Mapping[str, Any]
    group: Mapping[str, str] = field(default_factory=dict)
    events: int = 1


@dataclass(frozen=True, slots=True)
class Day:
    """Hits among the events that were received on one day (Indochina time), written ``2026-11-21``."""

    day: str
    hits: int


@dataclass(frozen=True, slots=True)
class Answer:
    """``days`` holds every day of the time looked at, oldest first, also those without a hit.

    ``complete`` is False where the hunt was stopped: ``stopped`` says why (``time``, ``rows``, ``cancelled``), and
    ``covered_since``/``covered_until`` what was looked at. ``method``: ``sql`` (SQL alone told), ``checked`` (SQL, and
    the engine for the ``checked`` events of which SQL could not be sure), ``correlated`` (``checked`` events that the
    correlation's rules may match went through the engine).
    """

    rule_id: str
    title: Mapping[str, str]
    since: datetime
    until: datetime
    days: list[Day]
    found: list[Found]
    hits: int
    complete: bool
    stopped: str
    covered_since: datetime
    covered_until: datetime
    method: str
    checked: int
    seconds: float


def utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
