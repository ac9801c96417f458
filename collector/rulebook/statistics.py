"""Writes down how each rule fares, and says which have become slow or noisy.

Every engine counts since its start; the table sums over all workers and all their runs. A crash loses at most what was
counted since the last writing. One process judges what is slow or noisy, by what the sums grew in the last hour.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import select, update

from collector.state.tables import Lease, RuleChange, RuleFigures, WorkerFigures
from collector.state.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


class Figures:
    """Adds what one process's engine counts to the table. Call :meth:`begin` once the engine is warm, then
    :meth:`take`, :meth:`write` and :meth:`written` every so often."""

    def __init__(self) -> None:
        self._last: dict[str, Sum] = {}
        self._unwritten: dict[str, tuple[Sum, float | None]] = {}

    def begin(self, counted: Mapping[str, Counts]) -> None:
        """What the engine has counted so far is not news: it was warmed up."""
        self._last = {rule_id: _sum(counts) for rule_id, counts in counted.items()}

    def take(self, counted: Mapping[str, Counts]) -> None:
        """Take in what was counted since the last time."""
        for rule_id, counts in counted.items():
            total = _sum(counts)
            more = total.since(self._last.get(rule_id, Sum()))
            self._last[rule_id] = total
            if more != Sum():
                unwritten, _ = self._unwritten.get(rule_id, (Sum(), None))
                self._unwritten[rule_id] = (unwritten.plus(more), counts.last_match)

    def write(self, session: Session, now: float) -> None:
        """Add what was taken in to the table; in a transaction that no other writer runs beside."""
        moment = datetime.fromtimestamp(now, UTC)
        stored = _stored(session, self._unwritten)
        rows = []
        for rule_id, (more, last_match) in self._unwritten.items():
            row = stored[rule_id]
            for name in _SUMMED:
                row[name] += getattr(more, name)
            matched = None if last_match is None else _moment(last_match)
            before = row["last_match_at"]
            row["last_match_at"] = max(filter(None, (before, matched)), default=None)
            rows.append({**row, "rule_id": rule_id, "updated_at": moment})
        upsert(session, RuleFigures, rows, ("rule_id",))

    def written(self) -> None:
        """The transaction of :meth:`write` holds."""
        self._unwritten.clear()


@dataclass(slots=True)
class _Watched:
    last: Sum
    state: str = "ok"
    hour: deque[tuple[float, Sum]] = field(default_factory=deque)

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


class Judge:
    """Says which rules have become slow or noisy, by how the table grows. One process does it for all workers: call
    :meth:`begin`, then :meth:`look` and :meth:`write` every so often."""

    def __init__(self, settings: Detect) -> None:
        self._settings = settings
        self._watched: dict[str, _Watched] = {}
        self._grown: dict[str, Sum] = {}
        self._turned: set[str] = set()

    def begin(self, session: Session) -> None:
        """The hour begins now; states go on from the table."""
        self._watched = {row.rule_id: _Watched(_sum_of_row(row), row.state) for row in session.execute(_SUMS)}

    def look(self, session: Session, book: Book, now: float) -> list[Turn]:
        """Take in how the sums grew since the last time; return the rules whose state has changed."""
        for row in session.execute(_SUMS):
            total = _sum_of_row(row)
            watched = self._watched.setdefault(row.rule_id, _Watched(Sum()))
            more = total.since(watched.last)
            watched.last = total
            if more != Sum():
                watched.add(now, more)
                self._grown[row.rule_id] = more
        turns = []
        for rule_id, watched in self._watched.items():
            if watched.hour or watched.state != "ok":
                turn = self._judge(rule_id, watched, book, now)
                if turn is not None:
                    turns.append(turn)
                    self._turned.add(rule_id)
        return turns

    def write(self, session: Session, refused: Mapping[str, TextFault], now: float) -> None:
        """What was judged, beside the sums. ``refused``: the rules that do not run, and why."""
        moment = datetime.fromtimestamp(now, UTC)
        rows = []
        for rule_id in sorted(self._grown.keys() | self._turned | refused.keys()):
            watched = self._watched.setdefault(rule_id, _Watched(Sum()))
            hour = watched.window(now)
            fault = refused.get(rule_id)
            rows.append(
                {
                    "rule_id": rule_id,
                    "hour_matches": hour.matches,
                    "hour_microseconds": round(_microseconds(hour), 3),
                    "state": watched.state,
                    "refused": "" if fault is None else fault.message[:500],
                    "refused_line": None if fault is None or not fault.line else fault.line,
                    "updated_at": moment,
                }
            )
        upsert(session, RuleFigures, rows, ("rule_id",))
        for rule_id in sorted(self._turned):
            turned = update(RuleFigures).where(RuleFigures.rule_id == rule_id)
            session.execute(turned.values(state_since=moment))
        clear = update(RuleFigures).where(
            RuleFigures.refused != "", RuleFigures.rule_id.not_in(list(refused))
        )
        session.execute(clear.values(refused="", refused_line=None))

    def written(self) -> None:
        """The transaction of :meth:`write` holds."""
        self._grown.clear()
        self._turned.clear()

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


def write_worker_figures(session: Session, worker: str, figures: Mapping[str, Any], now: datetime) -> None:
    row = {"worker": worker, "figures": dict(figures), "updated_at": now}
    upsert(session, WorkerFigures, [row], ("worker",))


def change_everywhere(session: Session, own: int) -> int:
    """The last change of the rules that every worker which holds a partition has taken note of; ``own``: the one that
    this process has. 0 where nobody works."""
    holders = set(
        session.scalars(select(Lease.owner).where(Lease.name.startswith("partition/"), Lease.owner != ""))
    )
    rows = session.scalars(select(WorkerFigures).where(WorkerFigures.worker.in_(holders)))
    reached = {row.worker: row.figures.get("change", 0) for row in rows}
    return min([own, *(reached.get(holder, 0) for holder in holders)]) if holders else 0


def engines(session: Session) -> tuple[dict[str, float], datetime] | None:
    """What the engines of all processes that work now say together, and the oldest time of what they said."""
    working = set(session.scalars(select(Lease.owner).where(Lease.owner != "")))
    rows = session.scalars(select(WorkerFigures).where(WorkerFigures.worker.in_(working))).all()
    if not rows:
        return None
    found: dict[str, float] = {}
    for name in sorted({name for row in rows for name in row.figures}):
        numbers = [row.figures[name] for row in rows if isinstance(row.figures.get(name), int | float)]
        together = {"rules_loaded": max, "rules_refused": max, "change": min}.get(name, sum)
        found[name] = float(together(numbers)) if numbers else 0.0
    return found, min(row.updated_at for row in rows)


def mark_applied(session: Session, change: int, refused: Mapping[str, TextFault], now: datetime) -> None:
    """Say of every change up to this number that the worker has taken note of it, or why it did not take it."""
    waiting = select(RuleChange).where(RuleChange.id <= change, RuleChange.applied_at.is_(None))
    for row in session.scalars(waiting):
        fault = refused.get(row.rule_id)
        row.applied_at = now
        if fault is not None:
            row.refused, row.refused_line = fault.message[:500], fault.line or None


_SUMMED: Final = ("offered", "candidates", "matches", "throttled", "seconds")
_SUMS: Final = select(
    RuleFigures.rule_id,
    RuleFigures.state,
    RuleFigures.offered,
    RuleFigures.candidates,
    RuleFigures.matches,
    RuleFigures.throttled,
    RuleFigures.seconds,
)


def _stored(session: Session, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    wanted = sorted(ids)
    found: dict[str, dict[str, Any]] = {
        rule_id: {**dict.fromkeys(_SUMMED, 0), "last_match_at": None} for rule_id in wanted
    }
    columns = (
        RuleFigures.rule_id,
        RuleFigures.last_match_at,
        *(getattr(RuleFigures, each) for each in _SUMMED),
    )
    for start in range(0, len(wanted), _CHUNK):
        query = select(*columns).where(RuleFigures.rule_id.in_(wanted[start : start + _CHUNK]))
        for rule_id, last_match_at, *sums in session.execute(query):
            found[rule_id] = {**dict(zip(_SUMMED, sums, strict=True)), "last_match_at": last_match_at}
    return found


def _sum_of_row(row: Any) -> Sum:
    return Sum(row.offered, row.candidates, row.matches, row.throttled, row.seconds)


def _sum(counts: Counts) -> Sum:
    return Sum(counts.offered, counts.candidates, counts.matches, counts.throttled, counts.seconds)


def _microseconds(hour: Sum) -> float:
    return hour.seconds / hour.offered * 1e6 if hour.offered else 0.0


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
