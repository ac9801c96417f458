"""A device that logs, between two looks: its row as it was, and what was heard since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from collector.detect.values import moment
from collector.sources.rhythm import HABIT_HOURS, Rhythm, spoke
from collector.state.tables import LogSource

if TYPE_CHECKING:
    from collector.sources.reading import Report

#: The standing of a device that nobody has decided on.
NEW: Final = "new"
#: What a look may change of a row.
WRITTEN: Final = (
    "probe_id", "hostname", "transport", "certificate", "product", "state", "state_since", "first_seen_at",
    "last_seen_at", "hours", "longest_gap_seconds", "messages", "rate", "sampled", "known",
)  # fmt: skip


@dataclass
class Seen:
    """One device as a look leaves it. ``before``: the state that was told last; ``first``: it was not known."""

    row: dict[str, Any]
    rhythm: Rhythm
    before: str
    first: bool = False
    heard: bool = False

    @property
    def is_stranger(self) -> bool:
        """Nobody has decided on it and it has no habit: an address that may never have been a device."""
        return self.row["standing"] == NEW and self.rhythm.hours < HABIT_HOURS

    @property
    def turned(self) -> bool:
        return self.first or (self.row["state"] != self.before and self.row["state"] != "waiting")


def seen_of(row: LogSource) -> Seen:
    """What is known of it."""
    values = {column.key: getattr(row, column.key) for column in LogSource.__table__.columns}
    last = None if row.last_seen_at is None else row.last_seen_at.timestamp()
    rhythm = Rhythm(last, row.hours, row.longest_gap_seconds, row.messages, row.rate)
    return Seen(values, rhythm, row.state)


def newcomer(report: Report, now: float) -> Seen:
    """One that was not known; its report is still to be noted."""
    row: dict[str, Any] = {
        "agency_id": report.agency_id,
        "address": report.address,
        "name": "",
        "product": "",
        "standing": NEW,
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


def note(seen: Seen, report: Report, now: float) -> None:
    """It was heard."""
    row, rhythm = seen.row, seen.rhythm
    own_pause = row["state"] != "unheard"
    spoke(rhythm, report.times[0], report.messages, report.seconds, own_pause=own_pause)
    for at in report.times[1:]:
        spoke(rhythm, at, 0, 0.0)
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
        row["first_seen_at"] = row["first_seen_at"] or moment(report.times[0])
    if row["state"] != "heard":
        row["state"], row["state_since"] = "heard", moment(now)
    seen.heard = True
