"""Writes down how each rule fares, and says which have become slow or noisy.

The engine counts since its start; the table sums over all runs of the worker. A crash loses at most what was counted
since the last writing. Slow and noisy are judged by the last hour of this run.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import select, update

from collector.state.tables import RuleChange, RuleFigures, WorkerFigures
from collector.state.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from collector.rulebook.models import Book, TextFault
    from collector.settings import Detect

HOUR: Final = 3600.0
#: The hour is kept in parts of this length: thousands of rules, so few parts.
_PART_SECONDS: Final = 300.0
#: Fewer events than this in the hour say nothing of a rule's speed.
_MIN_OFFERED: Final = 1000
#: Above this share of a limit a rule that was called slow or noisy is so yet, so that it does not flutter.
_STILL: Final = 0.5
_CHUNK: Final = 500


class Counts(Protocol):
    """``rules.engine.RuleStatistics`` fits."""

    @property
    def offered(self) -> int: ...
    @property
    def candidates(self) -> int: ...
    @property
    def matches(self) -> int: ...
    @property
    def throttled(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def last_match(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Sum:
    """Counts at one moment, or the difference of two."""

    offered: int = 0
    candidates: int = 0
    matches: int = 0
    throttled: int = 0
    seconds: float = 0.0

    def plus(self, other: Sum) -> Sum:
        return Sum(
            self.offered + other.offered,
            self.candidates + other.candidates,
            self.matches + other.matches,
            self.throttled + other.throttled,
            self.seconds + other.seconds,
        )

    def since(self, before: Sum) -> Sum:
        if self.offered < before.offered or self.matches < before.matches:
            return self  # a rule that was changed counts anew
        return Sum(
            self.offered - before.offered,
            self.candidates - before.candidates,
            self.matches - before.matches,
            max(0, self.throttled - before.throttled),
            max(0.0, self.seconds - before.seconds),
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """A rule's state has changed: what the worker makes an event of."""

    rule_id: str
    title: str
    state: str
    before: str
    matches_an_hour: int
    microseconds_an_event: float
    throttled_an_hour: int
    since: float


@dataclass(slots=True)
class _Watched:
    last: Sum = field(default_factory=Sum)
    hour: deque[tuple[float, Sum]] = field(default_factory=deque)
    state: str = "ok"

    def add(self, now: float, more: Sum) -> None:
        if self.hour and now - self.hour[-1][0] < _PART_SECONDS:
            began, part = self.hour[-1]
            self.hour[-1] = (began, part.plus(more))
        else:
            self.hour.append((now, more))

    def window(self, now: float) -> Sum:
        while self.hour and self.hour[0][0] < now - HOUR:
            self.hour.popleft()
        found = Sum()
        for _, part in self.hour:
            found = found.plus(part)
        return found


class Figures:
    """One a worker. Call :meth:`begin` once the engine is warm, then :meth:`take`, :meth:`write` and :meth:`written`
    every so often."""

    def __init__(self, settings: Detect) -> None:
        self._settings = settings
        self._watched: dict[str, _Watched] = {}
        self._unwritten: dict[str, tuple[Sum, float | None]] = {}

    def begin(self, session: Session, counted: Mapping[str, Counts]) -> None:
        """What the engine has counted so far is not news (it was warmed up); states go on from the table."""
        for rule_id, counts in counted.items():
            self._watched[rule_id] = _Watched(_sum(counts))
        for rule_id, state in session.execute(select(RuleFigures.rule_id, RuleFigures.state)):
            self._watched.setdefault(rule_id, _Watched()).state = state

    def take(self, counted: Mapping[str, Counts], book: Book, now: float) -> list[Turn]:
        """Take in what was counted since the last time; return the rules whose state has changed."""
        for rule_id, counts in counted.items():
            watched = self._watched.setdefault(rule_id, _Watched())
            total = _sum(counts)
            more = total.since(watched.last)
            watched.last = total
            if more != Sum():
                watched.add(now, more)
                unwritten, _ = self._unwritten.get(rule_id, (Sum(), None))
                self._unwritten[rule_id] = (unwritten.plus(more), counts.last_match)
        turns = []
        for rule_id, watched in self._watched.items():
            if watched.hour or watched.state != "ok":
                turn = self._judge(rule_id, watched, book, now)
                if turn is not None:
                    turns.append(turn)
                    self._unwritten.setdefault(rule_id, (Sum(), None))
        return turns

    def write(self, session: Session, refused: Mapping[str, TextFault], now: float) -> None:
        """Add what was taken in to the table. ``refused``: the rules that do not run, and why."""
        rows = self._stored(session, self._unwritten.keys() | refused.keys())
        self._put(session, rows, refused, now)

    def written(self) -> None:
        """The transaction of :meth:`write` holds."""
        self._unwritten.clear()

    def _judge(self, rule_id: str, watched: _Watched, book: Book, now: float) -> Turn | None:
        hour = watched.window(now)
        entry = book.get(rule_id)
        reported = 0 if entry is not None and entry.info.internal else hour.matches - hour.throttled
        pace = _microseconds(hour)
        before = watched.state
        slow = self._settings.slow_rule_microseconds * (_STILL if before == "slow" else 1)
        noisy = self._settings.noisy_rule_findings * (_STILL if before == "noisy" else 1)
        watched.state = (
            "slow" if hour.offered >= _MIN_OFFERED and pace > slow else "noisy" if reported > noisy else "ok"
        )
        if watched.state == before:
            return None
        title = rule_id if entry is None else entry.info.title["en"] or rule_id
        return Turn(rule_id, title, watched.state, before, reported, round(pace, 3), hour.throttled, now)

    def _stored(self, session: Session, ids: Any) -> dict[str, dict[str, Any]]:
        wanted = sorted(ids)
        found: dict[str, dict[str, Any]] = {rule_id: dict(_EMPTY) for rule_id in wanted}
        for start in range(0, len(wanted), _CHUNK):
            query = select(RuleFigures).where(RuleFigures.rule_id.in_(wanted[start : start + _CHUNK]))
            for row in session.scalars(query):
                found[row.rule_id] = {name: getattr(row, name) for name in _EMPTY}
        return found

    def _put(
        self,
        session: Session,
        rows: Mapping[str, dict[str, Any]],
        refused: Mapping[str, TextFault],
        now: float,
    ) -> None:
        moment = datetime.fromtimestamp(now, UTC)
        for rule_id, row in rows.items():
            watched = self._watched.setdefault(rule_id, _Watched())
            more, last_match = self._unwritten.get(rule_id, (Sum(), None))
            for name in ("offered", "candidates", "matches", "throttled", "seconds"):
                row[name] += getattr(more, name)
            if last_match is not None:
                row["last_match_at"] = _moment(last_match)
            hour = watched.window(now)
            fault = refused.get(rule_id)
            if row["state"] != watched.state:
                row["state_since"] = moment
            row.update(
                rule_id=rule_id,
                hour_matches=hour.matches,
                hour_microseconds=round(_microseconds(hour), 3),
                state=watched.state,
                refused="" if fault is None else fault.message[:500],
                refused_line=None if fault is None or not fault.line else fault.line,
                updated_at=moment,
            )
        upsert(session, RuleFigures, list(rows.values()), ("rule_id",))
        clear = update(RuleFigures).where(
            RuleFigures.refused != "", RuleFigures.rule_id.not_in(list(refused))
        )
        session.execute(clear.values(refused="", refused_line=None))


def write_worker_figures(session: Session, worker: str, figures: Mapping[str, Any], now: datetime) -> None:
    row = {"worker": worker, "figures": dict(figures), "updated_at": now}
    upsert(session, WorkerFigures, [row], ("worker",))


def mark_applied(session: Session, change: int, refused: Mapping[str, TextFault], now: datetime) -> None:
    """Say of every change up to this number that the worker has taken note of it, or why it did not take it."""
    waiting = select(RuleChange).where(RuleChange.id <= change, RuleChange.applied_at.is_(None))
    for row in session.scalars(waiting):
        fault = refused.get(row.rule_id)
        row.applied_at = now
        if fault is not None:
            row.refused, row.refused_line = fault.message[:500], fault.line or None


_EMPTY: Final[dict[str, Any]] = {
    "offered": 0,
    "candidates": 0,
    "matches": 0,
    "throttled": 0,
    "seconds": 0.0,
    "last_match_at": None,
    "state": "ok",
    "state_since": None,
}


def _sum(counts: Counts) -> Sum:
    return Sum(counts.offered, counts.candidates, counts.matches, counts.throttled, counts.seconds)


def _microseconds(hour: Sum) -> float:
    return hour.seconds / hour.offered * 1e6 if hour.offered else 0.0


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
