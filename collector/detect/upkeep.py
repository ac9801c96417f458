"""What ``correlate`` does beside its steps, for all: trimming the log, settling who has which settings, forgetting."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from collector.detect.checkpoints import load_places
from collector.detect.values import moment
from collector.devices.keeping import crowded, forget, make_room, refresh
from collector.documents.service import trim_history
from collector.identity.comparing import compare_new, uncompared
from collector.identity.following import anything_due, follow_pairs
from collector.log.errors import LogError
from collector.steering.settings.settling import settle, unsettled

if TYPE_CHECKING:
    from collector.log.interface import LogReader
    from collector.settings import Settings
    from collector.state.database import StateStore

log = logging.getLogger("vonggac.correlate")

_TRIM_SECONDS = 600.0
_DAILY_SECONDS = 86_400.0
_MACHINES_SECONDS = 10.0
_SETTLE_SECONDS = 30.0
#: Devices and addresses that nobody saw for so long are no longer known; back again, they are new.
_DEVICE_DAYS = 400


class Upkeep:
    """Each duty at its own interval, by the clock that it is given. A busy store puts a duty off."""

    def __init__(self, state: StateStore, reader: LogReader, settings: Settings) -> None:
        self._state = state
        self._reader = reader
        self._settings = settings
        self._done: dict[str, float] = {}

    def run(self, now: float) -> None:
        try:
            if self._due("machines", now, _MACHINES_SECONDS):
                self._compare_machines(now)
            if self._due("trim", now, _TRIM_SECONDS):
                self._trim_log(now)
                self._make_room(now)
            if self._due("settle", now, _SETTLE_SECONDS):
                self._settle(now)
            if self._due("daily", now, _DAILY_SECONDS):
                self._forget(now)
        except (OperationalError, LogError) as error:
            log.warning("upkeep put off", extra={"error": str(error)[:300]})

    def _due(self, duty: str, now: float, every: float) -> bool:
        last = self._done.get(duty)
        if last is not None and 0 <= now - last < every:
            return False
        self._done[duty] = now
        return True

    def _compare_machines(self, now: float) -> None:
        hours = self._settings.coverage.link_after_hours
        at, link_after = moment(now), timedelta(hours=hours) if hours else None
        with self._state.read() as session:
            if not uncompared(session) and not anything_due(session, at, link_after):
                return
        with self._state.write() as session:
            compare_new(session, at)
            follow_pairs(session, at, link_after)

    def _trim_log(self, now: float) -> None:
        keep = now - self._settings.detect.log_keep_hours * 3600
        with self._state.read() as session:
            worked = {each: place.log_offset for each, place in load_places(session).items()}
        removed = self._reader.trim(worked, keep)
        if removed:
            log.info("log trimmed", extra={"removed_rows": removed})

    def _make_room(self, now: float) -> None:
        with self._state.read() as session:
            full = crowded(session).keys()
        if not full:
            return
        with self._state.write() as session:
            refresh(session, moment(now), timedelta(days=1), full)
            forgotten = make_room(session, moment(now))
        log.warning("an agency has hardly any room for devices", extra={"forgotten": forgotten})

    def _settle(self, now: float) -> None:
        with self._state.read() as session:
            due = unsettled(session)
        if due:
            with self._state.write() as session:
                changed = settle(session, moment(now))
            log.info("machines came to other groups of settings", extra={"changed": changed})

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
