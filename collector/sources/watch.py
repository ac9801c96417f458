"""Follows who logs, and tells who began, fell silent, was never heard or speaks again, as events.

It runs beside the collector's watch over itself (:class:`collector.detect.ports.SelfWatch`): what a look found is told
and written down in one transaction.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select, update

from collector.detect import clock
from collector.detect.checkpoints import load_places
from collector.detect.step import Record
from collector.detect.values import event_id, moment
from collector.documents.service import HEALTH
from collector.machine import ClockGuard, since_boot
from collector.sources.reading import read_forms, read_reports
from collector.sources.rhythm import SAMPLE, patience, state_of
from collector.sources.seen import NEW, WRITTEN, Seen, newcomer, note, seen_of
from collector.state.tables import Agency, Document, Endpoint, LogSource, LogSourceLook
from collector.state.upsert import upsert
from collector.store.errors import StoreError
from rules.engine import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from collector.detect.ports import EventStore
    from collector.detect.step import Step
    from collector.settings import Settings
    from collector.sources.reading import Forms, Report

log = logging.getLogger("vonggac.sources")

#: After a longer outage only so much is looked at.
_BACK_SECONDS: Final = 7_200.0
#: Nobody is called silent while the log is worked on with more delay than this.
_BEHIND_SECONDS: Final = 60.0
#: Of one agency, and so many new ones at one look: whoever sends from ever new addresses fills his own agency's.
MOST_SOURCES: Final = 1_000
_MOST_NEW: Final = 50
#: For how long a stranger is remembered, where there is room.
_STRANGER_SECONDS: Final = 30 * 86_400.0
_CHUNK: Final = 500
#: What a probe tells while it listens (:mod:`agent.probe.syslog`), and the source that it tells it of.
_INPUT: Final = "syslog_input"
_SOURCE: Final = "syslog"
_RETIRED: Final = "retired"
_ACTIONS: Final = {
    "heard": "heard_again",
    "silent": "silent",
    "unheard": "unheard",
    "never_heard": "never_heard",
}


@dataclass
class SourcesFound:
    """What one look found. ``until`` is None where the event store could not be asked; ``gone``: ids of strangers that
    are forgotten."""

    now: float
    until: float | None = None
    seen: list[Seen] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    agencies: dict[int, Agency] = field(default_factory=dict)


class LogSources:
    """One a process; not for several threads.

    Args:
        now, steady: the wall clock, and one that nobody sets.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], float] = time,
        steady: Callable[[], float] = since_boot,
    ) -> None:
        self._settings = settings.sources
        self._now = now
        self._steady = steady
        self._guard = ClockGuard(now, steady)
        self._next = monotonic()
        self._begun = False
        self._silence_from = float("-inf")
        #: Since when each probe that listens does, as far as was seen (steady).
        self._listening: dict[str, float] = {}

    def due(self) -> bool:
        return monotonic() >= self._next

    def look(self, session: Session, store: EventStore) -> SourcesFound:
        """Ask who logged since the last look, and judge who did not. Reads; a store that is away is asked later."""
        self._next = monotonic() + self._settings.seconds
        now, steady = self._now(), self._steady()
        found = SourcesFound(now)
        last = session.get(LogSourceLook, 1)
        since = now - _BACK_SECONDS if last is None else min(last.looked_at.timestamp(), now)
        if (
            not self._begun and last is not None and now - since > clock.OUTAGE_SECONDS
        ) or self._guard.look():
            self._silence_from = steady + clock.GRACE_SECONDS
        self._begun = True
        since = max(since, now - _BACK_SECONDS)
        worked = _worked_until(session)
        # What was received later is not in the event store yet: it is for a later look.
        until = now if worked is None else min(now, worked)
        if last is not None and last.looked_at.timestamp() > now:  # the clock was set back
            since = min(since, until)
        elif until < since:
            return found
        try:
            reports, forms = read_reports(store, since, until), read_forms(store, since, until)
        except StoreError as error:
            log.warning("sources of logs are looked at later", extra={"error": str(error)[:300]})
            return found
        found.until = until
        found.agencies = {each.id: each for each in session.scalars(select(Agency))}
        known = {(row.agency_id, row.address): seen_of(row) for row in session.scalars(select(LogSource))}
        found.gone = self._hear(known, reports, forms, now)
        if steady >= self._silence_from and now - until <= _BEHIND_SECONDS:
            self._judge(session, known, now)
        found.seen = list(known.values())
        return found

    def tell(self, step: Step, look: SourcesFound, log_offset: int) -> None:
        """One event for each device that began, fell silent or speaks again."""
        for each in look.seen:
            if each.turned and each.row["standing"] != _RETIRED:
                _tell(step, look, each, self._patience(each), log_offset)

    def write(self, session: Session, look: SourcesFound) -> None:
        """Write down what was found, in the transaction of its events."""
        if look.until is None:
            return
        # Somebody may have declared one since: then it is heard with the next look.
        there = {(row.agency_id, row.address) for row in session.scalars(select(LogSource))}
        for each in look.seen:
            row = each.row
            if each.first:
                if (row["agency_id"], row["address"]) not in there:
                    session.add(LogSource(**row))
            elif each.heard or each.turned:
                session.execute(
                    update(LogSource)
                    .where(LogSource.id == row["id"])
                    .values({name: row[name] for name in WRITTEN})
                    .execution_options(synchronize_session=False)
                )
        for at in range(0, len(look.gone), _CHUNK):
            of_them = LogSource.id.in_(look.gone[at : at + _CHUNK])
            session.execute(delete(LogSource).where(of_them, LogSource.standing == NEW))
        upsert(session, LogSourceLook, [{"id": 1, "looked_at": moment(look.until)}], ("id",))

    def done(self, look: SourcesFound) -> None:
        """Nothing is left to do."""

    def _hear(
        self,
        known: dict[tuple[int, str], Seen],
        reports: list[Report],
        forms: dict[tuple[int, str], Forms],
        now: float,
    ) -> list[int]:
        """Enter what was heard into ``known``; return the ids of those that are taken out of it."""
        strangers: list[Report] = []
        for report in sorted(reports, key=lambda each: each.times[-1]):
            seen = known.get((report.agency_id, report.address))
            if seen is None:
                strangers.append(report)
            else:
                note(seen, report, now)
        counts = Counter(agency_id for agency_id, _ in known)
        gone = self._forget(known, counts, Counter(each.agency_id for each in strangers), now)
        new = Counter[int]()
        for report in strangers:
            key, agency_id = (report.agency_id, report.address), report.agency_id
            if key not in known:
                if new[agency_id] >= _MOST_NEW or counts[agency_id] >= MOST_SOURCES:
                    continue
                new[agency_id] += 1
                counts[agency_id] += 1
                known[key] = newcomer(report, now)
            note(known[key], report, now)
        for key, sample in forms.items():
            if (seen := known.get(key)) is not None:
                kept = SAMPLE / (SAMPLE + sample.messages)
                seen.row["sampled"] = seen.row["sampled"] * kept + sample.messages
                seen.row["known"] = seen.row["known"] * kept + sample.known
                if sample.product:
                    seen.row["product"] = sample.product
                seen.heard = True
        return gone

    def _forget(
        self, known: dict[tuple[int, str], Seen], counts: Counter[int], newcomers: Counter[int], now: float
    ) -> list[int]:
        """Take out strangers that were not heard for long; where their agency's newcomers need the room, the longest
        silent of them sooner."""
        strangers = [(seen.rhythm.last_at or 0.0, key) for key, seen in known.items() if seen.is_stranger]
        gone = []
        for last, key in sorted(strangers):
            full = counts[key[0]] + newcomers[key[0]] > MOST_SOURCES
            if now - last > (self._settings.unknown_seconds if full else _STRANGER_SECONDS):
                gone.append(known.pop(key).row["id"])
                counts[key[0]] -= 1
        return gone

    def _judge(self, session: Session, known: dict[tuple[int, str], Seen], now: float) -> None:
        steady = self._steady()
        listening = _listening(session, now - self._settings.silent_seconds)
        self._listening = {each: self._listening.get(each, steady) for each in listening}
        for each in known.values():
            row = each.row
            if row["standing"] == _RETIRED or each.is_stranger:
                continue
            since = (row["decided_at"] or row["made_at"]).timestamp()
            state = state_of(each.rhythm, row["expected_seconds"], since, now, self._settings)
            if state == "silent" and row["state"] != "silent" and self._is_unheard(each, steady):
                state = "unheard"
            if state != row["state"]:
                row["state"], row["state_since"] = state, moment(now)

    def _is_unheard(self, seen: Seen, steady: float) -> bool:
        """Whether its probe does not listen, or has not for as long as the device may be silent since it did not."""
        began = self._listening.get(seen.row["probe_id"])
        return began is None or (seen.row["state"] == "unheard" and steady - began <= self._patience(seen))

    def _patience(self, seen: Seen) -> float:
        return patience(seen.rhythm, seen.row["expected_seconds"], self._settings)


def _worked_until(session: Session) -> float | None:
    """All that was received until then is in the stores; ``None`` where that is not known."""
    received = [each.received_at for each in load_places(session).values() if each.received_at is not None]
    return min(received).timestamp() if received else None


def _listening(session: Session, fresh_from: float) -> set[str]:
    """Endpoints that were heard since, whose part ``syslog`` is switched on and does not fail."""
    found = session.scalars(
        select(Document.endpoint_id)
        .join(Endpoint, Endpoint.id == Document.endpoint_id)
        .where(Document.kind == _INPUT, Endpoint.last_seen_at >= moment(fresh_from))
    )
    health = session.execute(
        select(Document.endpoint_id, Document.body).where(Document.kind == HEALTH, Document.item == _SOURCE)
    )
    return set(found) - {endpoint_id for endpoint_id, body in health if body.get("ok") is False}


def _tell(step: Step, look: SourcesFound, seen: Seen, allowed: float, log_offset: int) -> None:
    row, last = seen.row, seen.rhythm.last_at
    state, since = str(row["state"]), int(row["state_since"].timestamp() * 1000)
    made = event_id("log_source", row["agency_id"], row["address"], state, since)
    said: dict[str, Any] = {
        "address": row["address"],
        "name": row["name"] or row["hostname"] or row["address"],
        "hostname": row["hostname"],
        "product": row["product"],
        "standing": row["standing"],
        "state": state,
        "expected_seconds": round(allowed, 3),
    }
    if last is not None:
        said["last_seen"] = last
        said["seconds"] = max(0.0, round(look.now - last, 3))
    action = (
        "first_heard" if seen.first or (seen.before == "waiting" and state == "heard") else _ACTIONS[state]
    )
    body: dict[str, Any] = {
        "log_source": said,
        "observer": {"ip": row["address"]},
        "changed": ["log_source.state"],
        "previous": {"log_source": {"state": seen.before}},
        "simulated": False,
        "event": {"id": made, "action": action},
    }
    agency = look.agencies.get(row["agency_id"])
    if agency is not None:
        body["agency"] = {"id": agency.id, "code": agency.code, "name": agency.name}
    event = Event(made, look.now, "vonggac", "log_source", "", body)
    step.events.append(Record(event, "", row["agency_id"], False, look.now, log_offset))
