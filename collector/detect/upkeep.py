"""What the worker does beside its steps: signs of life, the log's trimming, and forgetting."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from collector.detect.commit import save_checkpoint
from collector.detect.values import moment
from collector.devices.service import forget, refresh
from collector.documents.service import trim_history
from collector.log.errors import LogError
from collector.store.errors import StoreError

if TYPE_CHECKING:
    from collector.detect.ports import EventStore, LogSource
    from collector.settings import Settings
    from collector.state.database import StateStore

log = logging.getLogger("vonggac.detect")

_ALIVE_SECONDS = 60.0
_TRIM_SECONDS = 600.0
_DAILY_SECONDS = 86_400.0
_EVENTS_SECONDS = 3600.0
#: Devices and addresses that nobody saw for so long are no longer known; back again, they are new.
_DEVICE_DAYS = 400


class Upkeep:
    """Each duty at its own interval, by the clock that the worker is given. A busy store puts a duty off."""

    def __init__(self, state: StateStore, reader: LogSource, store: EventStore, settings: Settings) -> None:
        self._state = state
        self._reader = reader
        self._store = store
        self._settings = settings
        self._done: dict[str, float] = {}

    def run(self, now: float, checkpoint: int) -> None:
        try:
            if self._due("alive", now, _ALIVE_SECONDS):
                with self._state.write() as session:
                    save_checkpoint(session, checkpoint, moment(now))
            if self._due("trim", now, _TRIM_SECONDS):
                self._trim_log(now, checkpoint)
            if self._due("daily", now, _DAILY_SECONDS):
                self._forget(now)
            if self._due("events", now, _EVENTS_SECONDS):
                self._forget_events(now)
        except (OperationalError, LogError, StoreError) as error:
            log.warning("upkeep put off", extra={"error": str(error)[:300]})

    def _due(self, duty: str, now: float, every: float) -> bool:
        last = self._done.get(duty)
        if last is not None and 0 <= now - last < every:
            return False
        self._done[duty] = now
        return True

    def _trim_log(self, now: float, checkpoint: int) -> None:
        keep = now - self._settings.detect.log_keep_hours * 3600
        before = trim_point(self._reader, checkpoint, keep)
        removed = self._reader.trim(before) if before > 0 else 0
        if removed:
            log.info("log trimmed", extra={"removed_rows": removed, "before_offset": before})

    def _forget(self, now: float) -> None:
        with self._state.write() as session:
            refreshed = refresh(session, moment(now), timedelta(days=1))
            forgotten = forget(session, moment(now), timedelta(days=_DEVICE_DAYS))
            trimmed = trim_history(session)
        counts = {
            "devices_still_there": refreshed,
            "devices_forgotten": forgotten,
            "history_trimmed": trimmed,
        }
        log.info("daily upkeep", extra=counts)

    def _forget_events(self, now: float) -> None:
        oldest = moment(now) - timedelta(days=self._settings.detect.events_keep_days)
        dropped = self._store.forget_before(oldest)
        if dropped:
            log.info("old events dropped", extra={"partitions": dropped, "before": oldest.isoformat()})


def trim_point(reader: LogSource, checkpoint: int, received_before: float) -> int:
    """The offset below which every row is done with (at most ``checkpoint``) and received before that time.

    Rows are in the order in which they were received, so halving finds it with a few reads.
    """
    first = reader.read(0, 1)
    if not first or first[0].received_at >= received_before:
        return 0
    low, high = first[0].offset, checkpoint + 1
    while low + 1 < high:
        middle = (low + high) // 2
        row = reader.read(middle - 1, 1)
        if row and row[0].offset < high and row[0].received_at < received_before:
            low = row[0].offset
        else:
            high = middle
    return min(low + 1, checkpoint)
