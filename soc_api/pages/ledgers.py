"""The ledger as a page shows it: with or without simulated machines, and how many of those there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, or_, select

from collector.coverage.service import ledger
from collector.state.tables import Device, Endpoint

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from collector.coverage.models import Ledger
    from soc_api.pages.visit import Visit


def shown_ledger(visit: Visit, session: Session, *, simulated: bool) -> tuple[Ledger, int]:
    """The ledger of the reader's reach, and the number of simulated machines that it counts or leaves out.

    Where nothing is simulated the ledger is made once, not twice.
    """
    scope, limits = visit.principal.scope, visit.services.settings.coverage
    any_simulated = select(
        or_(exists().where(Endpoint.simulated.is_(True)), exists().where(Device.simulated.is_(True)))
    )
    if not session.scalar(any_simulated):
        return ledger(session, scope, limits, visit.now, include_simulated=simulated), 0
    whole = ledger(session, scope, limits, visit.now, include_simulated=True)
    number = sum(machine.simulated and machine.counted for machine in whole.machines)
    if simulated:
        return whole, number
    return ledger(session, scope, limits, visit.now, include_simulated=False), number
