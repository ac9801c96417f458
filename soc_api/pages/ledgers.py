"""The ledger as a page shows it: with or without simulated machines, and how many of those there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.coverage.service import count_simulated, ledger

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from collector.coverage.models import Ledger
    from soc_api.pages.visit import Visit


def shown_ledger(visit: Visit, session: Session, *, simulated: bool) -> tuple[Ledger, int]:
    """The ledger of the reader's reach, and the number of simulated machines that it counts or leaves out."""
    scope, limits = visit.principal.scope, visit.services.settings.coverage
    book = ledger(session, scope, limits, visit.now, include_simulated=simulated)
    if simulated:
        return book, sum(machine.simulated and machine.counted for machine in book.machines)
    return book, count_simulated(session, scope, limits, visit.now)
