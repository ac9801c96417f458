"""Everything that may hold an agent back, in the order in which it is asked, and what the operator sees of it."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from collector.ingest.admission import Admission
from collector.ingest.pressure import LOOK_SECONDS, Pressure
from collector.ingest.problems import RefusalError
from collector.ingest.quota import WRITE_SECONDS, Quotas, write_refused

if TYPE_CHECKING:
    from agent.messages import Importance
    from collector.ingest.limits import ByteBudget
    from collector.metrics import IngestMetrics
    from collector.settings import DataDirectory, Ingest
    from collector.state.database import StateStore


class Gate:
    """Quotas, then admission. :meth:`look_around` must run beside, on the same loop."""

    def __init__(
        self,
        settings: Ingest,
        data: DataDirectory,
        state: StateStore,
        metrics: IngestMetrics,
        budget: ByteBudget,
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._pressure = Pressure(
            budget,
            state,
            data.root,
            reserve_bytes=settings.reserve_bytes,
            lag_limit_seconds=settings.lag_limit_seconds,
        )
        self._quotas = Quotas(monotonic, requests=settings.quota_requests, size=settings.quota_bytes)
        self._admission = Admission(
            monotonic,
            self._pressure.shares,
            returns_per_second=settings.returns_per_second,
            held_back=self._count,
        )
        for share in ("memory", "disk", "lag"):
            metrics.pressure.labels(share).set(0)

    def enter(self, endpoint_id: str, importance: Importance, size: int | None) -> None:
        """Return where a request of ``size`` bytes (None: not known yet) may come in.

        Raises:
            RefusalError: 429 or 503, with a Retry-After.
        """
        self._admission.enter(endpoint_id, importance)
        try:
            self._quotas.spend(endpoint_id, size or 0)
        except RefusalError:
            self._count("quota", importance)
            raise

    def weigh(self, endpoint_id: str, size: int) -> None:
        """Count a body whose size was not known when it was let in; the ones after it bear the excess."""
        self._quotas.add(endpoint_id, size)

    async def look_around(self) -> None:
        """See to disk and workers, and write down who was over its quota, until cancelled."""
        written = monotonic()
        while True:
            await asyncio.to_thread(self._pressure.look)
            shares = self._pressure.shares()
            for name in ("memory", "disk", "lag"):
                self._metrics.pressure.labels(name).set(getattr(shares, name))
            if monotonic() >= written + WRITE_SECONDS:
                written = monotonic()
                refused = self._quotas.take_refused()
                if not await asyncio.to_thread(write_refused, self._state, refused):
                    self._quotas.keep_refused(refused)
            await asyncio.sleep(LOOK_SECONDS)

    def _count(self, reason: str, importance: Importance) -> None:
        self._metrics.held_back.labels(reason, importance.word).inc()
