"""Whether the way from agent to alert is open: how far the worker is, what could not be read, what never came."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from collector.log.sqlite_log import LogReader
from collector.state.tables import Checkpoint, DeadLetter, Endpoint, Stream

if TYPE_CHECKING:
    from datetime import datetime

    from soc_api.pages.visit import Visit

#: Records that wait for a moment are no trouble; more than this, or older, is.
_MOST_WAITING: Final = 2000
_STALE_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Pipeline:
    """``state`` is ``ok``, ``behind`` or ``blind`` (nobody has reported or been worked on, or a store is silent).

    ``waiting`` counts records of the log behind the worker's checkpoint (None: the log cannot be read).
    """

    state: str
    last_report: datetime | None
    worked_at: datetime | None
    log_offset: int | None
    waiting: int | None
    store_answers: bool
    dead_letters: int
    missing: int
    dropped: int


def pipeline(visit: Visit) -> Pipeline:
    with visit.services.state.read() as session:
        worked = session.execute(
            select(func.min(Checkpoint.log_offset), func.max(Checkpoint.updated_at))
        ).one()
        last_report = session.scalar(select(func.max(Endpoint.last_seen_at)))
        dead = session.scalar(select(func.count()).select_from(DeadLetter)) or 0
        missing, dropped = session.execute(
            select(func.coalesce(func.sum(Stream.missing), 0), func.coalesce(func.sum(Stream.dropped), 0))
        ).one()
    end = _log_end(visit)
    waiting = None if end is None else max(0, end - (worked[0] or 0))
    answers = visit.services.store.healthy()
    if not answers or end is None or (waiting and worked[1] is None):
        state = "blind"
    elif waiting and (waiting > _MOST_WAITING or (visit.now - worked[1]).total_seconds() > _STALE_SECONDS):
        state = "behind"
    else:
        state = "ok"
    return Pipeline(
        state=state,
        last_report=last_report,
        worked_at=worked[1],
        log_offset=worked[0],
        waiting=waiting,
        store_answers=answers,
        dead_letters=dead,
        missing=int(missing),
        dropped=int(dropped),
    )


def _log_end(visit: Visit) -> int | None:
    """The number of the log's last record; opened for this one question, as the log belongs to other processes."""
    path = visit.services.data.log
    if not path.exists():
        return None
    try:
        reader = LogReader(path)
        try:
            return reader.last_offset()
        finally:
            reader.close()
    except (sqlite3.Error, OSError):
        return None
