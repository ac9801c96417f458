"""Whether the way from agent to alert is open: how far the worker is, what could not be read, what never came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from collector.state.tables import Endpoint
from soc_api.system import service

if TYPE_CHECKING:
    from datetime import datetime

    from soc_api.pages.visit import Visit

#: Batches that wait for a moment are no trouble; more than this, or a worker that stands still, is.
_MOST_WAITING: Final = 2000
_STALE_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Pipeline:
    """``state`` is ``ok``, ``behind`` (the worker does not keep up) or ``blind`` (a store does not answer, or nobody
    works).

    ``waiting`` counts batches of the log behind the worker's checkpoint (None: the log is not on this machine).
    """

    state: str
    last_report: datetime | None
    worked_at: datetime | None
    log_offset: int | None
    waiting: int | None
    store_answers: bool
    dead_letters: int
    missing: int
    dropped: int


def pipeline(visit: Visit) -> Pipeline:
    found = service.pipeline(visit.services)
    with visit.services.state.read() as session:
        last_report = session.scalar(select(func.max(Endpoint.last_seen_at)))
    slowest = min(found.checkpoints, key=lambda each: each.log_offset, default=None)
    waiting = slowest.behind if slowest else found.log_last_offset
    still = slowest is None or (visit.now - slowest.updated_at).total_seconds() > _STALE_SECONDS
    if not found.store_healthy or (waiting and slowest is None):
        state = "blind"
    elif waiting and (waiting > _MOST_WAITING or still):
        state = "behind"
    else:
        state = "ok"
    return Pipeline(
        state=state,
        last_report=last_report,
        worked_at=slowest.updated_at if slowest else None,
        log_offset=slowest.log_offset if slowest else None,
        waiting=waiting,
        store_answers=found.store_healthy,
        dead_letters=found.dead_letters,
        missing=found.batches_missing,
        dropped=found.items_dropped,
    )
