"""How far the log is worked, partition by partition; and how far ``correlate`` has come in what it counts itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from collector.partitions import ALL
from collector.state.tables import Checkpoint
from collector.state.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

#: The checkpoint of a log that was read by one worker: it holds for every partition without one of its own.
UNDIVIDED: Final = "detect"
#: Counts the steps of ``correlate``; and the one that the snapshot of its memory is of.
CORRELATE: Final = "correlate"
REMEMBERED: Final = "correlate/remembered"


@dataclass(frozen=True, slots=True)
class Place:
    """Everything of a partition up to ``log_offset`` is in the stores, and everything received until
    ``received_at`` (None where that is not known). ``updated_at``: when somebody last said so."""

    log_offset: int = 0
    received_at: datetime | None = None
    updated_at: datetime | None = None


def name_of(partition: int) -> str:
    """The name of a partition's checkpoint, and of its lease."""
    return f"partition/{partition:02}"


NAMES: Final = {name_of(partition): partition for partition in ALL}


def load_places(session: Session, partitions: Iterable[int] = ALL) -> dict[int, Place]:
    wanted = {name_of(partition): partition for partition in partitions}
    rows = {
        row.worker: Place(row.log_offset, row.received_at, row.updated_at)
        for row in session.scalars(select(Checkpoint).where(Checkpoint.worker.in_([*wanted, UNDIVIDED])))
    }
    undivided = rows.get(UNDIVIDED, Place())
    return {partition: rows.get(name, undivided) for name, partition in wanted.items()}


def save_places(session: Session, positions: Mapping[int, int], received_at: datetime, now: datetime) -> None:
    """``received_at`` holds for all of these partitions."""
    rows = [
        {"worker": name_of(partition), "log_offset": offset, "received_at": received_at, "updated_at": now}
        for partition, offset in sorted(positions.items())
    ]
    upsert(session, Checkpoint, rows, ("worker",))


def load_count(session: Session, name: str) -> int:
    found = session.get(Checkpoint, name)
    return 0 if found is None else found.log_offset


def save_count(session: Session, name: str, count: int, now: datetime) -> None:
    row = {"worker": name, "log_offset": count, "received_at": None, "updated_at": now}
    upsert(session, Checkpoint, [row], ("worker",))
