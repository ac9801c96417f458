"""Looks for those who should be heard and are not: whole agencies, and log sources that used to speak."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, func, select

from collector.detect.values import moment
from collector.identity.links import succeeded
from collector.state.tables import Agency, Assignment, Endpoint, SourceActivity
from collector.state.upsert import upsert
from collector.store.errors import StoreError
from collector.watch.readings import HOUR, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from collector.detect.ports import EventStore
    from collector.settings import Watch

#: A source that spoke in fewer different hours than this has no habit yet that it could break.
_HABIT_HOURS: Final = 24
#: A source is silent when it says nothing for so many times its longest pause so far.
_PAUSES: Final = 2.0
#: A source that has been silent for so long is gone for good, and forgotten.
_FORGOTTEN_DAYS: Final = 30
#: Longer than the watch looks back in one query: after a longer outage a source's silence is the collector's own.
_BACK_SECONDS: Final = 2 * HOUR

_SPOKEN: Final = """
SELECT agency_id, concat(product, '/', category, '/', service) AS source, count() AS events,
       toUnixTimestamp64Micro(max(received_at)) / 1e6 AS last
FROM events
WHERE received_at > fromUnixTimestamp64Micro({since:Int64}) AND received_at <= fromUnixTimestamp64Micro({until:Int64})
  AND product != 'vonggac' AND NOT simulated
GROUP BY agency_id, source
LIMIT 9000
"""

log = logging.getLogger("vonggac.watch")


def silent_agencies(session: Session, now: float) -> Iterator[Reading]:
    """Of every agency with enrolled endpoints: how long none of them was heard. ``servers`` among the fields: how many
    of them are servers, which nobody switches off in the evening."""
    last = func.max(func.coalesce(Endpoint.last_seen_at, Endpoint.enrolled_at))
    query = (
        select(
            Agency.id,
            Agency.code,
            Agency.name,
            last,
            func.count(),
            func.sum(case((Endpoint.role == "server", 1), else_=0)),
            func.sum(case((Endpoint.simulated.is_(True), 1), else_=0)),
        )
        .join(Assignment, (Assignment.agency_id == Agency.id) & Assignment.valid_to.is_(None))
        .join(Endpoint, Endpoint.id == Assignment.endpoint_id)
        .where(Endpoint.retired_at.is_(None), ~succeeded())
        .group_by(Agency.id, Agency.code, Agency.name)
    )
    for agency_id, code, name, seen, endpoints, servers, simulated in session.execute(query):
        yield Reading(
            "agency_silence",
            code,
            max(0.0, now - seen.timestamp()),
            fields={
                "agency": {"id": agency_id, "code": code, "name": name},
                "simulated": simulated == endpoints,
                "concern": {"agency": name, "endpoints": endpoints, "servers": int(servers)},
            },
        )


class Sources:
    """Follows which log sources speak. Asks the event store only for what came since the last time."""

    def __init__(self, settings: Watch) -> None:
        self._settings = settings
        self._until: float | None = None
        self._spoken: list[dict[str, Any]] = []

    def listen(self, store: EventStore, now: float) -> None:
        """Ask the event store who spoke; what it says waits for :meth:`note`. A store that is away is asked later."""
        if self._until is not None and 0 <= now - self._until < self._settings.source_seconds:
            return
        since = now - _BACK_SECONDS if self._until is None or self._until > now else self._until
        parameters = {"since": int(max(since, now - _BACK_SECONDS) * 1e6), "until": int(now * 1e6)}
        try:
            self._spoken.extend(store.query(_SPOKEN, parameters))
        except StoreError as error:
            log.warning("log sources are looked at later", extra={"error": str(error)[:300]})
        else:
            self._until = now

    def note(self, session: Session) -> None:
        """Write down what was heard. In a write transaction; call :meth:`noted` when that holds."""
        if not self._spoken:
            return
        known = {(row.agency_id, row.source): row for row in session.scalars(select(SourceActivity))}
        rows: dict[tuple[int, str], dict[str, Any]] = {}
        for each in self._spoken:
            key = (int(each["agency_id"]), str(each["source"]))
            before = rows.get(key) or _columns(known.get(key))
            rows[key] = _spoke(key, before, float(each["last"]), int(each["events"]))
        upsert(session, SourceActivity, list(rows.values()), ("agency_id", "source"))

    def noted(self) -> None:
        """The transaction of :meth:`note` holds."""
        self._spoken.clear()

    def silent(self, session: Session, now: float) -> Iterator[Reading]:
        """Of every source with a habit: how long it is silent beyond what its longest pause excuses; 0 within."""
        if self._until is None:
            return
        rows = session.execute(
            select(SourceActivity, Agency.code, Agency.name)
            .outerjoin(Agency, Agency.id == SourceActivity.agency_id)
            .where(
                SourceActivity.hours >= _HABIT_HOURS,
                SourceActivity.last_seen_at > moment(now) - timedelta(days=_FORGOTTEN_DAYS),
            )
        )
        for row, code, name in rows:
            quiet = now - row.last_seen_at.timestamp()
            excused = max(self._settings.source_silent_seconds, _PAUSES * row.longest_gap_seconds)
            fields: dict[str, Any] = {
                "concern": {
                    "source": row.source,
                    "agency": name or "",
                    "longest_pause_seconds": row.longest_gap_seconds,
                }
            }
            if row.agency_id:
                fields["agency"] = {"id": row.agency_id, "code": code or "", "name": name or ""}
            yield Reading(
                "source_silence",
                f"{code or row.agency_id} {row.source}",
                quiet if quiet > excused else 0.0,
                fields=fields,
            )


def _columns(row: SourceActivity | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {column.key: getattr(row, column.key) for column in SourceActivity.__table__.columns}


def _spoke(key: tuple[int, str], before: dict[str, Any] | None, last: float, events: int) -> dict[str, Any]:
    seen = moment(last)
    if before is None:
        return {
            "agency_id": key[0],
            "source": key[1],
            "first_seen_at": seen,
            "last_seen_at": seen,
            "hours": 1,
            "events": events,
            "longest_gap_seconds": 0.0,
        }
    gap = (seen - before["last_seen_at"]).total_seconds()
    another_hour = int(last // HOUR) != int(before["last_seen_at"].timestamp() // HOUR)
    return {
        **before,
        "last_seen_at": max(seen, before["last_seen_at"]),
        "hours": before["hours"] + int(another_hour and gap > 0),
        "events": before["events"] + events,
        "longest_gap_seconds": max(before["longest_gap_seconds"], gap),
    }
