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

#: Batches that wait for a moment are no trouble; being behind by so much, or a worker that stands still, is.
_BEHIND_SECONDS: Final = 60.0
_STALE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Pipeline:
    """``state`` is ``ok``, ``behind`` (the workers do not keep up) or ``blind`` (a store does not answer, or nobody
    works).

    ``waiting`` counts batches of the log that are not worked (None: the log is not on this machine).
    """

    state: str
    last_report: datetime | None
    worked_at: datetime | None
    log_offset: int | None
    waiting: int | None
    lag_seconds: float | None
    store_answers: bool
    dead_letters: int
    missing: int
    dropped: int


def pipeline(visit: Visit) -> Pipeline:
    found = service.pipeline(visit.services)
    with visit.services.state.read() as session:
        last_report = session.scalar(select(func.max(Endpoint.last_seen_at)))
    said = [place.updated_at for place in found.partitions if place.updated_at is not None]
    worked_at = min(said, default=None)
    still = worked_at is None or (visit.now - worked_at).total_seconds() > _STALE_SECONDS
    if not found.store_healthy or (found.waiting and worked_at is None):
        state = "blind"
    elif (found.lag_seconds or 0) > _BEHIND_SECONDS or (found.waiting and still):
        state = "behind"
    else:
        state = "ok"
    return Pipeline(
        state=state,
        last_report=last_report,
        worked_at=worked_at,
        log_offset=max((place.log_offset for place in found.partitions), default=None) if said else None,
        waiting=found.waiting,
        lag_seconds=found.lag_seconds,
        store_answers=found.store_healthy,
        dead_letters=found.dead_letters,
        missing=found.batches_missing,
        dropped=found.items_dropped,
    )
