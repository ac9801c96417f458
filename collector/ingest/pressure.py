"""How near the collector is to having no room for more: in memory, on the disk, and in what waits for the workers.

Each is a share of 0 (nothing to say) to 1 (nothing more goes in). What comes of it is decided by
:mod:`collector.ingest.admission`.
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from collector.health import sample_sum
from collector.state.base import utcnow
from collector.state.tables import ProcessHealth

if TYPE_CHECKING:
    from pathlib import Path

    from collector.ingest.limits import ByteBudget
    from collector.state.database import StateStore

#: How often disk and workers are looked at.
LOOK_SECONDS: Final = 5.0
#: Workers' signs of life older than this say nothing of now.
_FRESH: Final = timedelta(seconds=60)
#: The most that a lag counts for: chatter waits at the agents, events never do for it. They are safer on this disk
#: than in the agents' spools, which have an end.
_MOST_OF_LAG: Final = 0.79

log = logging.getLogger("vonggac.ingest")


class Shares(Struct):
    """Each 0 to 1."""

    memory: float = 0.0
    disk: float = 0.0
    lag: float = 0.0


class Pressure:
    """``memory`` is as of the call, the others as of the last :meth:`look`.

    Args:
        budget: bytes of bodies on their way to the disk.
        folder: a place on the disk in question, of which ``reserve_bytes`` must stay free.
        lag_limit_seconds: workers that far behind are a share of a half.
    """

    def __init__(
        self,
        budget: ByteBudget,
        state: StateStore,
        folder: Path,
        *,
        reserve_bytes: int,
        lag_limit_seconds: float,
    ) -> None:
        self._budget = budget
        self._state = state
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._lag_limit_seconds = lag_limit_seconds
        self._shares = Shares()

    def shares(self) -> Shares:
        self._shares.memory = self._budget.share
        return self._shares

    def look(self) -> None:
        """See to disk and workers. Blocking, a few milliseconds; what cannot be seen stays as it was."""
        try:
            disk = os.statvfs(self._folder)
        except OSError as error:
            log.warning("the disk's free space is not known", extra={"error": str(error)})
        else:
            free = disk.f_bavail * disk.f_frsize
            self._shares.disk = min(1.0, self._reserve_bytes / free) if free else 1.0
        try:
            self._shares.lag = min(_MOST_OF_LAG, 0.5 * self._lag_seconds() / self._lag_limit_seconds)
        except SQLAlchemyError as error:
            log.warning("the workers' lag is not known", extra={"error": str(error)[:300]})

    def _lag_seconds(self) -> float:
        with self._state.read() as session:
            figures = session.scalars(
                select(ProcessHealth.figures).where(
                    ProcessHealth.kind == "detect", ProcessHealth.beat_at > utcnow() - _FRESH
                )
            ).all()
        return max((sample_sum(each, "vonggac_detect_lag_seconds") or 0.0 for each in figures), default=0.0)
