"""Judges the backups of important systems, and tells what has changed as events.

It runs beside the collector's watch over itself (:class:`collector.detect.ports.SelfWatch`). What agents found of files
or probes heard of devices (documents of the kind ``backup``, by the system's name) is written down here, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from collector.backups.register import BACKUPS, FILE, RESTORE, SNMP, forget_old, newest, newest_by
from collector.detect.step import Record
from collector.detect.values import event_id, moment
from collector.state.scope import EVERYTHING
from collector.state.tables import Agency, Assignment, BackupRecord, BackupSystem, Document
from rules.engine import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.detect.ports import EventStore
    from collector.detect.step import Step
    from collector.settings import Settings

KIND: Final = "backup"
#: A file cannot have been made later than this after it was looked at.
_AHEAD_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Judged:
    """One system as a look finds it. ``good`` and ``restored``: the last good backup and restore test."""

    system_id: int
    name: str
    title: str
    owner: str
    agency: dict[str, Any]
    interval_seconds: float
    state: str
    restore_state: str
    before: tuple[str, str]
    good: datetime | None
    restored: datetime | None
    way: str
    note: str

    @property
    def turned(self) -> bool:
        return (self.state, self.restore_state) != self.before


@dataclass
class BackupsFound:
    """What one look found. ``files``: what agents found that is not written down yet."""

    now: float
    judged: list[Judged] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)


class Backups:
    """One a process; not for several threads. ``now``: the wall clock."""

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time) -> None:
        self._seconds = settings.sources.seconds
        self._now = now
        self._next = monotonic()

    def due(self) -> bool:
        return monotonic() >= self._next

    def look(self, session: Session, store: EventStore) -> BackupsFound:  # noqa: ARG002 - as every watch
        """Judge all systems. Reads."""
        self._next = monotonic() + self._seconds
        now = self._now()
        found = BackupsFound(now)
        systems = [
            each
            for each in session.scalars(select(BackupSystem).where(EVERYTHING.where(BackupSystem.agency_id)))
            if each.retired_at is None
        ]
        if not systems:
            return found
        ids = [each.id for each in systems]
        agencies = {each.id: each for each in session.scalars(select(Agency))}
        found.files = _new_files(session, {each.name: each for each in systems}, now)
        last = newest(session, ids, BACKUPS, good_only=False)
        good = newest(session, ids, BACKUPS, good_only=True)
        tried = newest(session, ids, (RESTORE,), good_only=False)
        restored = newest(session, ids, (RESTORE,), good_only=True)
        for row in found.files:
            record = BackupRecord(**row)
            _later(last, record)
            if record.ok:
                _later(good, record)
        for system in systems:
            agency = agencies[system.agency_id]
            found.judged.append(
                Judged(
                    system.id,
                    system.name,
                    system.title,
                    system.owner,
                    {"id": agency.id, "code": agency.code, "name": agency.name},
                    system.interval_seconds,
                    state_of(last.get(system.id), good.get(system.id), system, system.interval_seconds, now),
                    state_of(
                        tried.get(system.id), restored.get(system.id), system, system.restore_seconds, now
                    ),
                    (system.state, system.restore_state),
                    good[system.id].at if system.id in good else None,
                    restored[system.id].at if system.id in restored else None,
                    last[system.id].kind if system.id in last else "",
                    last[system.id].note if system.id in last else "",
                )
            )
        return found

    def tell(self, step: Step, look: BackupsFound, log_offset: int) -> None:
        """One event for each system whose backups or restore tests stand otherwise than told."""
        for each in look.judged:
            if not each.turned:
                continue
            made = event_id("backup", each.system_id, each.state, each.restore_state, int(look.now * 1000))
            said: dict[str, Any] = {
                "system": each.name,
                "title": each.title,
                "owner": each.owner,
                "state": each.state,
                "restore_state": each.restore_state,
                "interval_seconds": each.interval_seconds,
            }
            if each.good is not None:
                said["age_seconds"] = max(0.0, round(look.now - each.good.timestamp()))
                said["last_good"] = each.good.timestamp()
            if each.restored is not None:
                said["restore_age_seconds"] = max(0.0, round(look.now - each.restored.timestamp()))
            if each.way:
                said["way"] = each.way
            if each.note:
                said["note"] = each.note
            old = {"state": each.before[0], "restore_state": each.before[1]}
            body: dict[str, Any] = {
                "backup": said,
                "changed": [f"backup.{name}" for name, value in old.items() if value and value != said[name]],
                "previous": {"backup": {name: value for name, value in old.items() if value}},
                "agency": each.agency,
                "simulated": False,
                "event": {"id": made, "action": "backup_changed"},
            }
            event = Event(made, look.now, "vonggac", "backup", "", body)
            step.events.append(Record(event, "", each.agency["id"], False, look.now, log_offset))

    def write(self, session: Session, look: BackupsFound) -> None:
        """Write down what was found, in the transaction of its events."""
        for row in look.files:
            session.add(BackupRecord(**row))
        session.flush()
        for system_id, kind, by in {(row["system_id"], row["kind"], row["by"]) for row in look.files}:
            forget_old(session, system_id, kind, by)
        for each in look.judged:
            system = session.get(BackupSystem, each.system_id) if each.turned else None
            if system is not None:
                system.state, system.restore_state = each.state, each.restore_state
                system.state_since = moment(look.now)

    def done(self, look: BackupsFound) -> None:
        """Nothing is left to do."""


def state_of(
    last: BackupRecord | None, good: BackupRecord | None, system: BackupSystem, allowed: float, now: float
) -> str:
    """``ok``; ``failed`` where the newest failed; ``overdue`` where the last good one is too old; ``never`` where there
    was none in the time allowed since the system is watched (until then it is ``ok``)."""
    if good is None:
        if last is not None:
            return "failed"
        return "never" if now - system.made_at.timestamp() > allowed else "ok"
    if now - good.at.timestamp() > allowed:
        return "overdue"
    if last is not None and not last.ok and last.at >= good.at:
        return "failed"
    return "ok"


def _later(known: dict[int, BackupRecord], record: BackupRecord) -> None:
    there = known.get(record.system_id)
    if there is None or record.at >= there.at:
        known[record.system_id] = record


def _new_files(session: Session, systems: Mapping[str, BackupSystem], now: float) -> list[dict[str, Any]]:
    """What agents found and is not written down yet. Only agents of the system's own agency are believed, and each is
    held against what it told of itself: two that do not agree do not take turns."""
    query = (
        select(Document.item, Document.body, Document.received_at, Document.endpoint_id, Assignment.agency_id)
        .join(Assignment, (Assignment.endpoint_id == Document.endpoint_id) & Assignment.valid_to.is_(None))
        .where(Document.kind == KIND)
    )
    written = newest_by(session, [each.id for each in systems.values()], (FILE, SNMP))
    found = []
    for item, body, received_at, endpoint_id, agency_id in session.execute(query):
        system = systems.get(item)
        if system is None or system.agency_id != agency_id:
            continue
        kind = SNMP if body.get("way") == SNMP else FILE
        for at, ok in _told(kind, body, received_at.timestamp()):
            if _is_written(kind, written, (system.id, endpoint_id), at, ok=ok):
                continue
            found.append(
                {
                    "system_id": system.id,
                    "kind": kind,
                    "at": at,
                    "ok": ok,
                    "received_at": moment(now),
                    "by": endpoint_id,
                    "note": str(body.get("reason", ""))[:500],
                    "detail": {"size_bytes": body["size_bytes"]}
                    if isinstance(body.get("size_bytes"), int)
                    else {},
                }
            )
    return found


def _is_written(
    kind: str,
    written: Mapping[tuple[int, str, bool], BackupRecord],
    told: tuple[int, str],
    at: datetime,
    *,
    ok: bool,
) -> bool:
    """Whether that end, or a later one, stands in the history. A device tells the last good one and the last failure
    beside each other; of files only the newest is told, which may turn out damaged, or well again."""
    known = [written[key] for each in (True, False) if (key := (*told, each)) in written]
    if kind == SNMP:
        return any(before.at >= at for before in known if before.ok == ok)
    before = max(known, key=lambda each: (each.at, each.id), default=None)
    return before is not None and (before.at > at or (before.at == at and before.ok == ok))


def _told(kind: str, body: Mapping[str, Any], received: float) -> list[tuple[datetime, bool]]:
    """When something ended, and whether it was good. Of files the newest one, of devices the last good backup and the
    failure of the last run; of the same moment the failure counts. What is a little ahead ended when it was told."""
    if kind == SNMP:
        said = [(body.get("newest_time"), True), (body.get("failed_time"), False)]
        if said[0][0] == said[1][0]:
            del said[0]
    else:
        said = [(body.get("newest_time"), body.get("state") == "good")]
    return [
        (moment(min(float(at), received)), ok)
        for at, ok in said
        if not isinstance(at, bool) and isinstance(at, int | float) and 0 < at <= received + _AHEAD_SECONDS
    ]
