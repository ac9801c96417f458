"""What the coverage report says: the ledger's figures, what they leave out, and what they are held against.

No sentences and no layout: every format is made from this one class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.coverage.models import percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.coverage.models import AgencyCoverage, Ledger
    from collector.settings import Coverage


@dataclass(frozen=True)
class Target:
    """A statement of a plan by its own wording; ``source`` (the document) in each language."""

    id: str
    quote: str
    source: Mapping[str, str]


@dataclass(frozen=True)
class CoverageReport:
    """``scope_name`` and ``scope_code`` are of the one agency, empty for all that the reader may see.

    ``limits`` are the settings that decided the states. ``retired`` and ``simulated_left_out``
    count machines that
    are in neither numerator nor denominator; network equipment is in the ledger's own list.
    """

    ledger: Ledger
    scope_name: str
    scope_code: str
    limits: Coverage
    retired: int
    simulated_left_out: int
    target: Target

    @property
    def agencies(self) -> list[AgencyCoverage]:
        """The registry's agencies, without the line of machines that belong to none."""
        return [agency for agency in self.ledger.agencies if agency.agency_id is not None]

    @property
    def simulated_counted(self) -> int:
        return sum(machine.simulated and machine.counted for machine in self.ledger.machines)

    @property
    def agencies_complete(self) -> int:
        """Agencies that know of at least one machine and have every known one protected."""
        return sum(0 < agency.known == agency.counts.protected for agency in self.agencies)

    @property
    def agencies_without_machines(self) -> int:
        return sum(agency.known == 0 for agency in self.agencies)

    @property
    def agencies_without_officials(self) -> int:
        return sum(agency.officials is None for agency in self.agencies)

    @property
    def known_where_declared(self) -> int:
        """Known machines of just those agencies that declared their officials: what may be
        compared with them."""
        return sum(agency.known for agency in self.agencies if agency.officials is not None)

    @property
    def known_of_declared_percent(self) -> float | None:
        declared = self.ledger.total.declared
        return None if declared is None else percent(self.known_where_declared, declared)

    @property
    def beyond_national_limit(self) -> int:
        """Counted machines with signatures older than the national limit, whatever their state
        (15 days, ADR 8)."""
        return self._older_than(self.limits.national_signature_days)

    @property
    def beyond_local_limit(self) -> int:
        return self._older_than(self.limits.local_signature_days)

    def _older_than(self, days: int) -> int:
        ages = (machine.age_days for machine in self.ledger.machines if machine.counted)
        return sum(age is not None and age > days for age in ages)
