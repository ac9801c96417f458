"""What the watch last said of each subject, and what it has to say anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select, tuple_

from collector.detect.values import moment
from collector.state.tables import WatchState
from collector.state.upsert import upsert
from collector.watch.concerns import CONCERNS
from collector.watch.readings import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from sqlalchemy.orm import Session

#: The row whose ``looked_at`` tells that the watch lives.
PULSE: Final = "pulse"
OK, TROUBLE = "ok", "trouble"
#: Values that passed no mark are written down this often.
_REFRESH: Final = timedelta(seconds=60)
_CHUNK: Final = 200


@dataclass(frozen=True, slots=True)
class Turn:
    """A subject has passed a mark of a concern, one way or the other: what an event is made of."""

    reading: Reading
    mark: float
    before: float
    since: float


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found: what to tell, and the rows to write. ``gone``: subjects that are no more."""

    now: float
    turns: Sequence[Turn]
    rows: Sequence[dict[str, Any]]
    gone: Sequence[tuple[str, str]]


def read_states(session: Session) -> dict[tuple[str, str], WatchState]:
    """By concern and subject."""
    rows = session.scalars(select(WatchState).where(WatchState.concern != PULSE))
    return {(row.concern, row.subject): row for row in rows}


def judge(
    readings: Iterable[Reading],
    states: dict[tuple[str, str], WatchState],
    asked: AbstractSet[str],
    now: float,
) -> Look:
    """Compare with what was said last.

    ``asked``: the concerns that this look asked for. A subject of theirs that it did not find is no more; whatever
    was wrong with it has passed.
    """
    at = moment(now)
    turns: list[Turn] = []
    rows: list[dict[str, Any]] = []
    found: set[tuple[str, str]] = set()
    gone: list[tuple[str, str]] = []
    for reading in readings:
        concern = CONCERNS[reading.concern]
        key = (reading.concern, reading.subject)
        found.add(key)
        row = states.get(key)
        before = 0 if row is None else int(row.detail.get("severity", 0))
        severity = concern.severity(reading.value, before)
        since = at if row is None or severity != before else row.since
        if severity != before:
            turns.append(Turn(reading, concern.mark(severity), concern.mark(before), now))
        if not severity and not concern.every:
            if row is not None:
                gone.append(key)
            continue
        if row is not None and severity == before and timedelta(0) <= at - row.looked_at < _REFRESH:
            continue
        detail = {
            **reading.detail,
            "severity": severity,
            "mark": concern.mark(severity),
            "fields": reading.fields,
        }
        rows.append(
            {
                "concern": reading.concern,
                "subject": reading.subject,
                "state": TROUBLE if severity else OK,
                "since": since,
                "looked_at": at,
                "value": reading.value,
                "detail": detail,
            }
        )
    for (name, subject), row in states.items():
        if name in asked and (name, subject) not in found:
            gone.append((name, subject))
            if row.detail.get("severity") and name in CONCERNS:
                turns.append(_passed(row, now))
    return Look(now, turns, rows, gone)


def write(session: Session, look: Look) -> None:
    """Write down what was found, and that the watch lives. In the transaction that the turns' events belong to."""
    at = moment(look.now)
    pulse = {
        "concern": PULSE,
        "subject": "",
        "state": OK,
        "since": at,
        "looked_at": at,
        "value": None,
        "detail": {},
    }
    upsert(session, WatchState, [*look.rows, pulse], ("concern", "subject"))
    for start in range(0, len(look.gone), _CHUNK):
        part = look.gone[start : start + _CHUNK]
        session.execute(delete(WatchState).where(tuple_(WatchState.concern, WatchState.subject).in_(part)))


def _passed(row: WatchState, now: float) -> Turn:
    concern = CONCERNS[row.concern]
    well = concern.marks[0] * 1.25 if concern.falling else 0.0
    fields = row.detail.get("fields", {})
    return Turn(Reading(row.concern, row.subject, well, fields=fields), 0.0, row.detail.get("mark", 0.0), now)
