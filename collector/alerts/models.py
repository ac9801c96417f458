"""The words in which alerts are asked for and answered."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - dataclass fields that the API introspects
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - the same
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.state.tables import Alert, AlertEvidence
    from rules.engine import Event, Finding

STATUSES = ("open", "acknowledged", "closed")
#: Sigma's levels, gravest first.
LEVELS = ("critical", "high", "medium", "low", "informational")
CLOSE_REASONS = ("true_positive_fixed", "true_positive_accepted", "false_positive", "benign", "duplicate")
SORTS = ("newest", "level", "updated")

#: Of an alert's events the first ones and the newest are kept, this many of each.
EVIDENCE_KEPT = 10


class RuleLike(Protocol):
    """What alerting needs to know of a rule (``rules.catalogue.RuleInfo`` fits)."""

    @property
    def level(self) -> str: ...
    @property
    def subject(self) -> Sequence[str]: ...
    @property
    def clears(self) -> bool: ...


class CatalogueLike(Protocol):
    """``rules.catalogue.Catalogue`` fits."""

    def get(self, rule_id: str) -> RuleLike | None: ...


@dataclass(frozen=True)
class Outcome:
    """What the engine said of one event: what it found, and the ids of the rules that were offered the
    event.
    """

    event: Event
    findings: Sequence[Finding] = ()
    offered: Sequence[str] = ()


@dataclass(frozen=True)
class AlertFilters:
    """All that are given must hold. ``text`` is looked for in the subject, without regard to case.

    ``rule_ids`` serves a search by rule title, which only the caller's catalogue knows. ``simulated``: None
    for both, True or False for just those.
    """

    statuses: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    agency_id: int | None = None
    rule_ids: tuple[str, ...] = ()
    endpoint_id: str | None = None
    incident_id: int | None = None
    text: str = ""
    text_rule_ids: tuple[str, ...] = ()
    simulated: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Page:
    """``cursor`` is what the last answer called ``next_cursor``; empty for the first page. ``size`` 1 to
    500.
    """

    size: int = 50
    cursor: str = ""
    sort: str = "newest"


@dataclass(frozen=True)
class AlertPage:
    """``next_cursor`` is empty on the last page."""

    alerts: list[Alert]
    next_cursor: str


@dataclass(frozen=True)
class AlertDetail:
    """An alert with the events kept of it, oldest first. ``count`` above their number means some are not
    kept.
    """

    alert: Alert
    evidence: list[AlertEvidence]


@dataclass(frozen=True)
class AlertCounts:
    """``by_status`` counts all; ``by_level`` only what is not closed; ``newest_id`` is 0 where there is
    none. ``simulated`` are the simulated ones that are not closed, whether the others count them or not.
    """

    by_status: Mapping[str, int] = field(default_factory=dict)
    by_level: Mapping[str, int] = field(default_factory=dict)
    newest_id: int = 0
    simulated: int = 0
