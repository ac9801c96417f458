"""How long what is kept: by kind of data and by the security level of the system that it is about.

TCVN 14423:2026 asks for logs of one month at level 2 and three months at level 3 (LAW: see docs/scale.md); what else a
province wants stands in its settings.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.settings import Events


@dataclass(frozen=True, slots=True)
class Policy:
    """``days_of``: days that events are kept, with the agencies whose events these are; all others' are kept
    ``otherwise`` days. ``archive_after``: days after which days of events go to Parquet files; 0 for never.
    """

    otherwise: int = 92
    days_of: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    metrics: int = 92
    archive_after: int = 0

    @property
    def longest(self) -> int:
        """So many days some event is kept."""
        return max([self.otherwise, *self.days_of])

    def classes(self) -> list[tuple[int, str]]:
        """Each number of days with the SQL condition of the events that are kept so long, the shortest first."""
        named = sorted({agency for agencies in self.days_of.values() for agency in agencies})
        conditions = {
            days: f"agency_id IN ({_listed(agencies)})" for days, agencies in self.days_of.items() if agencies
        }
        rest = f"agency_id NOT IN ({_listed(named)})" if named else "1"
        same = conditions.get(self.otherwise)
        conditions[self.otherwise] = f"({rest} OR {same})" if same else rest
        return sorted(conditions.items())


def policy_of(events: Events, agencies: Mapping[str, int]) -> Policy:
    """What the settings say. ``agencies``: ids by code; a code that is not (yet) known counts for nobody."""
    days = dict(enumerate(events.level_days, start=1))
    days_of: defaultdict[int, list[int]] = defaultdict(list)
    for code, level in sorted(events.levels.items()):
        if code in agencies:
            days_of[days[level]].append(agencies[code])
    return Policy(
        otherwise=days[events.level],
        days_of={each: tuple(sorted(ids)) for each, ids in days_of.items()},
        metrics=events.metrics_days,
        archive_after=events.archive_after_days,
    )


def _listed(agencies: tuple[int, ...] | list[int]) -> str:
    return ", ".join(str(int(each)) for each in sorted(agencies))
