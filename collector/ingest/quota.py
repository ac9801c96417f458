"""What one endpoint may send in a while, so that a broken or hostile one costs the others nothing."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from collector.ingest import problems
from collector.state.base import utcnow
from collector.state.tables import Endpoint, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.state.database import StateStore

_REMEMBERED: Final = 50_000
#: How often what was held back is written down.
WRITE_SECONDS: Final = 10.0

log = logging.getLogger("vonggac.ingest")


class _Used:
    """How much of the two allowances was used, as of ``at``; it runs out by itself, a whole one in a minute."""

    __slots__ = ("at", "requests", "size")

    def __init__(self, at: float) -> None:
        self.at = at
        self.requests = 0.0
        self.size = 0.0


class Quotas:
    """``requests`` and ``size`` (bytes of bodies) a minute for each endpoint; a minute's worth may come at once.

    ``clock`` is monotonic, in seconds. For one event loop.
    """

    def __init__(
        self, clock: Callable[[], float], *, requests: int, size: int, remembered: int = _REMEMBERED
    ) -> None:
        self._clock = clock
        self._requests = requests
        self._size = size
        self._remembered = remembered
        self._used: OrderedDict[str, _Used] = OrderedDict()
        self._refused: dict[str, list[int]] = {}

    def spend(self, endpoint_id: str, size: int) -> None:
        """Count a request with a body of ``size`` bytes.

        Raises:
            RefusalError: 429, with the seconds until it may come. Nothing was counted, so waiting that long is enough.
        """
        used = self._now_used(endpoint_id)
        over = max((used.requests + 1) / self._requests, (used.size + size) / self._size) - 1
        if over > 1e-9:
            told = self._refused.setdefault(endpoint_id, [0, 0])
            told[0] += 1
            told[1] += size
            raise problems.too_many(
                "quota",
                f"an endpoint may send {self._requests} batches and {self._size} bytes a minute",
                math.ceil(over * 60),
            )
        used.requests += 1
        used.size += size

    def add(self, endpoint_id: str, size: int) -> None:
        """Count bytes of a request that was counted without them."""
        self._now_used(endpoint_id).size += size

    def _now_used(self, endpoint_id: str) -> _Used:
        now = self._clock()
        used = self._used.get(endpoint_id)
        if used is None:
            used = self._used[endpoint_id] = _Used(now)
            if len(self._used) > self._remembered:
                self._used.popitem(last=False)
            return used
        self._used.move_to_end(endpoint_id)
        minutes = (now - used.at) / 60
        used.requests = max(0.0, used.requests - minutes * self._requests)
        used.size = max(0.0, used.size - minutes * self._size)
        used.at = now
        return used

    def take_refused(self) -> dict[str, list[int]]:
        """Refusals and bytes refused by endpoint since the last call."""
        refused, self._refused = self._refused, {}
        return refused

    def keep_refused(self, refused: dict[str, list[int]]) -> None:
        """Give back what :meth:`take_refused` gave and nobody could write down."""
        for endpoint_id, (times, size) in refused.items():
            told = self._refused.setdefault(endpoint_id, [0, 0])
            told[0] += times
            told[1] += size


def write_refused(state: StateStore, refused: dict[str, list[int]]) -> bool:
    """Add to what is known of who was held back; false where the state store does not take it now. Blocking."""
    if not refused:
        return True
    now = utcnow()
    try:
        with state.write() as session:
            known = set(session.scalars(select(Endpoint.id).where(Endpoint.id.in_(refused))))
            rows: dict[str, Any] = {
                row.endpoint_id: row
                for row in session.scalars(select(Throttled).where(Throttled.endpoint_id.in_(known)))
            }
            for endpoint_id in sorted(known):
                times, size = refused[endpoint_id]
                row = rows.get(endpoint_id)
                if row is None:
                    row = Throttled(endpoint_id=endpoint_id, refusals=0, refused_bytes=0, first_at=now)
                    session.add(row)
                row.refusals += times
                row.refused_bytes += size
                row.last_at = now
    except SQLAlchemyError as error:
        log.warning("who is over the quota cannot be written down", extra={"error": str(error)[:300]})
        return False
    return True
