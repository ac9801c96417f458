"""What each rule has cost and given, and the bound on how often one may speak."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rules.engine.matcher import Matcher
    from rules.engine.offers import Counts
    from rules.engine.splitting import Split

_HOUR: Final = 3600.0
_HOURS_KEPT: Final = 48


class RuleStatistics(NamedTuple):
    """Since the engine was made. ``offered``: events of the rule's log source; ``candidates``: those for which its
    condition had to be looked at; ``matches``: those that it holds for; ``throttled``: findings held back;
    ``seconds``: spent on its own condition (the look-up of values is shared by all rules and is nobody's);
    ``last_match``: the time of the newest event that it held for, in seconds since the epoch."""

    offered: int = 0
    candidates: int = 0
    matches: int = 0
    throttled: int = 0
    seconds: float = 0.0
    last_match: float | None = None


class Tally:
    """Sums over matchers, some of which are gone."""

    def __init__(self) -> None:
        self._offered: Counter[str] = Counter()
        self._candidates: Counter[str] = Counter()

    def keep(self, matchers: Iterable[Matcher | Split]) -> None:
        """Take over the counts of matchers that are about to go."""
        for matcher in matchers:
            self._add(matcher)

    def forget(self, keys: Iterable[str]) -> None:
        """Count these rules anew."""
        for key in keys:
            self._offered.pop(key, None)
            self._candidates.pop(key, None)

    def read(
        self, matchers: Iterable[Matcher | Split], counts: Mapping[str, Counts], throttled: Mapping[str, int]
    ) -> dict[str, RuleStatistics]:
        """By rule."""
        total = Tally()
        total._offered.update(self._offered)
        total._candidates.update(self._candidates)
        total.keep(matchers)
        return {
            key: RuleStatistics(
                total._offered[key],
                total._candidates[key],
                each.matches,
                throttled.get(key, 0),
                each.nanoseconds / 1e9,
                None if math.isnan(each.last_match) else each.last_match,
            )
            for key, each in counts.items()
        }

    def _add(self, matcher: Matcher | Split) -> None:
        events = matcher.offered()
        if events:
            self._offered.update(dict.fromkeys(matcher.keys(), events))
            self._candidates.update(matcher.candidates())


class Throttle:
    """At most so many findings of a rule an hour (of event time, from full hour to full hour).

    Each hour counts by itself, so that events with a time far ahead use up nobody else's hour; of a rule's hours the
    last :data:`_HOURS_KEPT` that began are known.
    """

    def __init__(self) -> None:
        self._limits: dict[str, int] = {}
        self._hours: dict[str, dict[float, int]] = {}
        self.held_back: Counter[str] = Counter()

    def set(self, limits: Mapping[str, int]) -> None:
        self._limits = dict(limits)
        self._hours = {key: hours for key, hours in self._hours.items() if key in limits}

    @property
    def limits(self) -> Mapping[str, int]:
        """By rule."""
        return self._limits

    def lets(self, key: str, time: float) -> bool:
        """Whether a finding at ``time`` may be reported; one that may not is counted."""
        limit = self._limits.get(key)
        if limit is None:
            return True
        hour = time // _HOUR if math.isfinite(time) else 0.0
        hours = self._hours.setdefault(key, {})
        if hour not in hours and len(hours) >= _HOURS_KEPT:
            del hours[next(iter(hours))]
        count = hours[hour] = hours.get(hour, 0) + 1
        if count <= limit:
            return True
        self.held_back[key] += 1
        return False
