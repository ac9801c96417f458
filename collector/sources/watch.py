"""Follows who logs, and tells who began, fell silent, was never heard or speaks again, as events.

It runs beside the collector's watch over itself (:class:`collector.detect.ports.SelfWatch`): what a look found is told
and written down in one transaction.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from collector.detect import clock
from collector.detect.checkpoints import load_places
from collector.detect.step import Record
from collector.detect.values import event_id, moment
from collector.machine import ClockGuard, since_boot
from collector.sources.reading import read_forms, read_reports
from collector.sources.rhythm import SAMPLE, Rhythm, patience, spoke, state_of
from collector.state.tables import Agency, Endpoint, LogSource, LogSourceLook
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
#: Whoever sends from ever new addresses fills no table.
MOST_SOURCES: Final = 20_000
_MOST_NEW: Final = 500
_RETIRED: Final = "retired"
_ACTIONS: Final = {"heard": "heard_again", "silent": "silent", "never_heard": "never_heard"}


@dataclass
class Seen:
    """One device as a look leaves it. ``before``: the state that was told last; ``first``: it was not known."""

    row: dict[str, Any]
    rhythm: Rhythm
    before: str
    first: bool = False
    heard: bool = False

    @property
    def turned(self) -> bool:
        return self.first or (self.row["state"] != self.before and self.row["state"] != "waiting")


@dataclass
class SourcesFound:
    """What one look found. ``until`` is None where the event store could not be asked."""

    now: float
    until: float | None = None
    seen: list[Seen] = field(default_factory=list)
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
        known = {(row.agency_id, row.address): _seen(row) for row in session.scalars(select(LogSource))}
        self._hear(known, reports, forms, now)
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
                    .values({name: row[name] for name in _WRITTEN})
                    .execution_options(synchronize_session=False)
                )
        upsert(session, LogSourceLook, [{"id": 1, "looked_at": moment(look.until)}], ("id",))

    def done(self, look: SourcesFound) -> None:
        """Nothing is left to do."""

    def _hear(
        self,
        known: dict[tuple[int, str], Seen],
        reports: list[Report],
        forms: dict[tuple[int, str], Forms],
        now: float,
    ) -> None:
        new = 0
        for report in sorted(reports, key=lambda each: each.at):
            key = (report.agency_id, report.address)
            seen = known.get(key)
            if seen is None:
                if new >= _MOST_NEW or len(known) >= MOST_SOURCES:
                    continue
                new += 1
                seen = known[key] = _first(report, now)
            _note(seen, report, now)
        for key, sample in forms.items():
            if (seen := known.get(key)) is not None:
                kept = SAMPLE / (SAMPLE + sample.messages)
                seen.row["sampled"] = seen.row["sampled"] * kept + sample.messages
                seen.row["known"] = seen.row["known"] * kept + sample.known
                if sample.product:
                    seen.row["product"] = sample.product
                seen.heard = True

    def _judge(self, session: Session, known: dict[tuple[int, str], Seen], now: float) -> None:
        heard = {
            endpoint_id: last.timestamp()
            for endpoint_id, last in session.execute(select(Endpoint.id, Endpoint.last_seen_at))
            if last is not None
        }
        for each in known.values():
            row = each.row
            if row["standing"] == _RETIRED:
                continue
            since = (row["decided_at"] or row["made_at"]).timestamp()
            state = state_of(each.rhythm, row["expected_seconds"], since, now, self._settings)
            probe = heard.get(row["probe_id"])
            unheard = each.rhythm.last_at is not None and (
                probe is None or now - probe > self._settings.silent_seconds
            )
            # Of a device behind a probe that is silent itself nothing is known.
            if state == "silent" and unheard:
                continue
            if state != row["state"]:
                row["state"], row["state_since"] = state, moment(now)

    def _patience(self, seen: Seen) -> float:
        return patience(seen.rhythm, seen.row["expected_seconds"], self._settings)


_WRITTEN: Final = (
    "probe_id", "hostname", "transport", "certificate", "product", "state", "state_since", "first_seen_at",
    "last_seen_at", "hours", "longest_gap_seconds", "messages", "rate", "sampled", "known",
)  # fmt: skip


def _worked_until(session: Session) -> float | None:
    """All that was received until then is in the stores; ``None`` where that is not known."""
    received = [each.received_at for each in load_places(session).values() if each.received_at is not None]
    return min(received).timestamp() if received else None


def _seen(row: LogSource) -> Seen:
    values = {column.key: getattr(row, column.key) for column in LogSource.__table__.columns}
    last = None if row.last_seen_at is None else row.last_seen_at.timestamp()
    rhythm = Rhythm(last, row.hours, row.longest_gap_seconds, row.messages, row.rate)
    return Seen(values, rhythm, row.state)


def _first(report: Report, now: float) -> Seen:
    row: dict[str, Any] = {
        "agency_id": report.agency_id,
        "address": report.address,
        "name": "",
        "product": "",
        "standing": "new",
        "state": "waiting",
        "state_since": moment(now),
        "expected_seconds": None,
        "first_seen_at": None,
        "sampled": 0.0,
        "known": 0.0,
        "made_at": moment(now),
        "decided_at": None,
    }
    return Seen(row, Rhythm(), "waiting", first=True)


def _note(seen: Seen, report: Report, now: float) -> None:
    row, rhythm = seen.row, seen.rhythm
    spoke(rhythm, report.at, report.messages, report.seconds)
    row.update(
        probe_id=report.probe_id,
        transport=report.transport,
        certificate=report.certificate,
        hours=rhythm.hours,
        longest_gap_seconds=rhythm.longest_gap_seconds,
        messages=rhythm.messages,
        rate=rhythm.rate,
    )
    if report.hostname or "hostname" not in row:
        row["hostname"] = report.hostname
    if rhythm.last_at is not None:
        row["last_seen_at"] = moment(rhythm.last_at)
        row["first_seen_at"] = row["first_seen_at"] or moment(report.at)
    if row["state"] != "heard":
        row["state"], row["state_since"] = "heard", moment(now)
    seen.heard = True


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
