"""For how long what was so: spans of states, and the share of time that comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, or_, select

from collector.services.models import (
    ACCEPTED,
    BUSY,
    CERTIFICATE,
    CHANGED,
    CONNECTED,
    CONTENT,
    DEGRADED,
    DOWN_FOR_ALL,
    DOWN_FOR_SOME,
    FREE,
    IN_ORDER,
    INVALID,
    LAN,
    LINE,
    LOST,
    POSTURE,
    SERVICE,
    UNACCEPTED,
    UNKNOWN,
    UNREACHABLE,
    UP,
    VALID,
    WAN,
)
from collector.state.tables import AvailabilitySpan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.services.models import Verdict

#: Spans that ended are kept for two years and what a report of the second one needs.
KEPT: Final = timedelta(days=800)
Period = tuple["datetime", "datetime"]
#: Spans that a subject may begin within a day before it is held: who flaps on purpose fills neither the database nor
#: anybody's list of alerts.
MOST_A_DAY: Final = {SERVICE: 100, LAN: 100, WAN: 100, LINE: 100, CONTENT: 24, CERTIFICATE: 24, POSTURE: 24}
#: For so long then, before it may be better: what is wrong for a moment must not make a day of it.
HELD_SECONDS: Final = 600.0
_DAY: Final = timedelta(days=1)
_CONNECTIONS: Final = (CONNECTED, DEGRADED, UNKNOWN, LOST, UNREACHABLE)
#: From well to bad; what is not named is worse.
_ORDERS: Final[dict[str, tuple[str, ...]]] = {
    SERVICE: (UP, UNKNOWN, DOWN_FOR_SOME, DOWN_FOR_ALL),
    CONTENT: (ACCEPTED, UNACCEPTED, UNKNOWN, CHANGED),
    CERTIFICATE: (VALID, UNKNOWN, "30", "14", "7", "3", "1", "0", INVALID),
    POSTURE: (IN_ORDER, UNKNOWN),
    LAN: _CONNECTIONS,
    WAN: _CONNECTIONS,
    LINE: (FREE, UNKNOWN, BUSY),
}
#: What makes a closed span of a page long, and nobody looks at any more.
_SKETCHES: Final = frozenset({"text", "structure"})


@dataclass(frozen=True, slots=True)
class Share:
    """Seconds of a period in which a subject worked, did not, and in which nobody knew. Planned work counts in none."""

    good: float = 0.0
    bad: float = 0.0
    unknown: float = 0.0
    planned: float = 0.0

    @property
    def ratio(self) -> float | None:
        """Of the time that is known; ``None`` where nothing is."""
        known = self.good + self.bad
        return self.good / known if known else None


def open_spans(session: Session, kinds: Collection[str]) -> dict[tuple[str, int], AvailabilitySpan]:
    """How everything is now, by kind and subject."""
    found = session.scalars(
        select(AvailabilitySpan).where(AvailabilitySpan.ended_at.is_(None), AvailabilitySpan.kind.in_(kinds))
    )
    return {(span.kind, span.subject_id): span for span in found}


def spans_of(
    session: Session, kinds: Collection[str], since: datetime, subjects: Collection[int] | None = None
) -> dict[tuple[str, int], list[AvailabilitySpan]]:
    """All that reach behind ``since``, by kind and subject, the oldest first."""
    query = (
        select(AvailabilitySpan)
        .where(
            AvailabilitySpan.kind.in_(kinds),
            or_(AvailabilitySpan.ended_at.is_(None), AvailabilitySpan.ended_at > since),
        )
        .order_by(AvailabilitySpan.began_at, AvailabilitySpan.id)
    )
    if subjects is not None:
        query = query.where(AvailabilitySpan.subject_id.in_(sorted(subjects)))
    found: dict[tuple[str, int], list[AvailabilitySpan]] = {}
    for span in session.scalars(query):
        found.setdefault((span.kind, span.subject_id), []).append(span)
    return found


def is_same(span: AvailabilitySpan, verdict: Verdict) -> bool:
    """Whether a verdict says nothing else than the open span. A page that has changed once more is another change."""
    if span.state != verdict.state:
        return False
    changed = verdict.kind == CONTENT and verdict.state == CHANGED
    return not changed or span.detail.get("digest") == verdict.detail.get("digest")


def is_worse(kind: str, before: str, after: str) -> bool:
    """Whether a subject is worse off in the state ``after``."""
    order = _ORDERS[kind]
    ranks = [order.index(state) if state in order else len(order) for state in (before, after)]
    return ranks[1] > ranks[0]


def restless(session: Session, now: datetime) -> set[tuple[str, int]]:
    """Kinds and subjects that have begun as many spans within the last day as they may."""
    begun = func.count(AvailabilitySpan.id)
    rows = session.execute(
        select(AvailabilitySpan.kind, AvailabilitySpan.subject_id, begun)
        .where(AvailabilitySpan.kind.in_(MOST_A_DAY), AvailabilitySpan.began_at > now - _DAY)
        .group_by(AvailabilitySpan.kind, AvailabilitySpan.subject_id)
        .having(begun >= min(MOST_A_DAY.values()))
    )
    return {(kind, subject) for kind, subject, count in rows if count >= MOST_A_DAY[kind]}


def forget_subject(session: Session, kinds: Collection[str], subject_id: int) -> None:
    """Drop all that is kept of a subject that there is no more."""
    session.execute(
        delete(AvailabilitySpan).where(
            AvailabilitySpan.kind.in_(kinds), AvailabilitySpan.subject_id == subject_id
        )
    )


def write(
    session: Session, verdicts: Iterable[Verdict], now: datetime, unknown_since: datetime | None = None
) -> None:
    """Bring the spans to what was judged. ``unknown_since``: nobody looked since then, so nothing is known of the time
    until now."""
    wanted = {(verdict.kind, verdict.subject_id): verdict for verdict in verdicts}
    spans = open_spans(session, {kind for kind, _ in wanted})
    for key, verdict in wanted.items():
        span = spans.get(key)
        if span is not None:
            gap = unknown_since is not None and span.state != UNKNOWN
            if (verdict.held or is_same(span, verdict)) and not gap:
                if span.detail != verdict.detail:
                    span.detail = verdict.detail
                continue
            span.ended_at = now
            if not _SKETCHES.isdisjoint(span.detail):
                span.detail = {name: value for name, value in span.detail.items() if name not in _SKETCHES}
            if gap and unknown_since is not None:
                span.ended_at = max(span.began_at, unknown_since)
                session.add(_new(verdict, UNKNOWN, span.ended_at, now, {}))
            session.flush()  # before the next one is open
        session.add(_new(verdict, verdict.state, now, None, verdict.detail))
    session.flush()


def forget(session: Session, now: datetime) -> None:
    """Drop what ended longer ago than anybody looks back."""
    session.execute(delete(AvailabilitySpan).where(AvailabilitySpan.ended_at < now - KEPT))


def share_of(
    spans: Sequence[AvailabilitySpan], good: Collection[str], period: Period, planned: Sequence[Period] = ()
) -> Share:
    """How a period divides. States but ``unknown`` that are not ``good`` are bad; time without a span is unknown."""
    begin, end = period
    if end <= begin:
        return Share()
    breaks = _merged(planned, period)
    sums = {"good": 0.0, "bad": 0.0, "unknown": 0.0}
    told = 0.0
    for span in spans:
        part = (max(span.began_at, begin), min(span.ended_at or end, end))
        if part[1] <= part[0]:
            continue
        seconds = (part[1] - part[0]).total_seconds() - _within(part, breaks)
        told += seconds
        sums["good" if span.state in good else "unknown" if span.state == UNKNOWN else "bad"] += seconds
    left_out = _within(period, breaks)
    whole = (end - begin).total_seconds() - left_out
    return Share(sums["good"], sums["bad"], sums["unknown"] + max(0.0, whole - told), left_out)


def worst_of(spans: Sequence[AvailabilitySpan], period: Period, order: Sequence[str]) -> str:
    """The state of a period that comes first in ``order``; empty where there is none. One that lasted for no time does
    not count."""
    begin, end = period
    states = {
        span.state
        for span in spans
        if span.began_at < end and (span.ended_at is None or span.ended_at > begin)
    }
    return next((state for state in order if state in states), "")


def _new(
    verdict: Verdict, state: str, began: datetime, ended: datetime | None, detail: dict[str, Any]
) -> AvailabilitySpan:
    return AvailabilitySpan(
        kind=verdict.kind,
        subject_id=verdict.subject_id,
        state=state,
        began_at=began,
        ended_at=ended,
        detail=detail,
    )


def _merged(planned: Sequence[Period], period: Period) -> list[Period]:
    """Without overlaps, within the period."""
    found: list[Period] = []
    for begin, end in sorted(planned):
        begin, end = max(begin, period[0]), min(end, period[1])
        if end <= begin:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def _within(part: Period, breaks: Sequence[Period]) -> float:
    """Seconds of ``part`` that lie in ``breaks``."""
    return sum(max(0.0, (min(part[1], end) - max(part[0], begin)).total_seconds()) for begin, end in breaks)
