"""What people do with alerts: list, read, acknowledge, close. Every function takes the caller's scope."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, tuple_

from collector.alerts.errors import AlertInputError, AlertNotFoundError, AlertStateError
from collector.alerts.findings import Applied, apply_findings, apply_outcomes
from collector.alerts.models import (
    CLOSE_REASONS,
    LEVELS,
    SORTS,
    STATUSES,
    AlertCounts,
    AlertDetail,
    AlertFilters,
    AlertPage,
    Outcome,
    Page,
)
from collector.state.tables import Alert, AlertEvidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from collector.state.scope import Scope

__all__ = [
    "CLOSE_REASONS",
    "LEVELS",
    "STATUSES",
    "AlertCounts",
    "AlertDetail",
    "AlertFilters",
    "AlertPage",
    "Applied",
    "Outcome",
    "Page",
    "acknowledge",
    "apply_findings",
    "apply_outcomes",
    "close",
    "count_alerts",
    "get_alert",
    "list_alerts",
]

_MAX_NOTE = 4000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RANK: ColumnElement[int] = case(
    {level: position for position, level in enumerate(LEVELS)}, value=Alert.level, else_=len(LEVELS)
)


def list_alerts(session: Session, scope: Scope, filters: AlertFilters, page: Page) -> AlertPage:
    """One page of the alerts within reach. Keyset paging: rows that arrive meanwhile move nothing.

    ``newest`` goes by number (the order of opening), ``level`` gravest first, ``updated`` by the last change.

    Raises:
        AlertInputError: an unknown sort order, a size out of bounds, a cursor of another list.
    """
    if page.sort not in SORTS:
        raise AlertInputError("sort", f"{page.sort!r} is none of {', '.join(SORTS)}")
    if not 1 <= page.size <= 500:
        raise AlertInputError("size", "1 to 500")
    query = select(Alert).where(scope.where(Alert.agency_id), *_conditions(filters))
    query = _after(query, page)
    alerts = list(session.scalars(query.limit(page.size + 1)))
    more = len(alerts) > page.size
    alerts = alerts[: page.size]
    return AlertPage(alerts, _cursor(alerts[-1], page.sort) if more else "")


def get_alert(session: Session, scope: Scope, alert_id: int) -> AlertDetail:
    """The alert with its evidence, oldest first.

    Raises:
        AlertNotFoundError: there is none, or it is out of reach.
    """
    alert = _within_reach(session, scope, alert_id)
    evidence = session.scalars(
        select(AlertEvidence)
        .where(AlertEvidence.alert_id == alert_id)
        .order_by(AlertEvidence.event_time, AlertEvidence.id)
    )
    return AlertDetail(alert, list(evidence))


def acknowledge(session: Session, scope: Scope, alert_id: int, actor: str, now: datetime) -> Alert:
    """An open alert has somebody who looks at it.

    Raises:
        AlertNotFoundError: there is none, or it is out of reach.
        AlertStateError: it is acknowledged or closed already.
    """
    alert = _within_reach(session, scope, alert_id)
    if alert.status != "open":
        raise AlertStateError(alert)
    alert.status = "acknowledged"
    alert.acknowledged_at = now
    alert.acknowledged_by = actor
    alert.updated_at = now
    session.flush()
    return alert


def close(
    session: Session, scope: Scope, alert_id: int, actor: str, reason: str, note: str, now: datetime
) -> Alert:
    """The case is done, for one of :data:`CLOSE_REASONS`. A later finding about the subject opens a new
    alert.

    Raises:
        AlertInputError: not such a reason, or a note over 4,000 characters.
        AlertNotFoundError: there is none, or it is out of reach.
        AlertStateError: it is closed already.
    """
    if reason not in CLOSE_REASONS:
        raise AlertInputError("reason", f"{reason!r} is none of {', '.join(CLOSE_REASONS)}")
    if len(note) > _MAX_NOTE:
        raise AlertInputError("note", f"at most {_MAX_NOTE} characters")
    alert = _within_reach(session, scope, alert_id)
    if alert.status == "closed":
        raise AlertStateError(alert)
    alert.status = "closed"
    alert.closed_at = now
    alert.closed_by = actor
    alert.close_reason = reason
    alert.close_note = note.strip() or None
    alert.updated_at = now
    session.flush()
    return alert


def count_alerts(session: Session, scope: Scope, *, include_simulated: bool = True) -> AlertCounts:
    """How many there are by status, and by level of those that are not closed."""
    rows = session.execute(
        select(Alert.status, Alert.level, Alert.simulated, func.count(), func.max(Alert.id))
        .where(scope.where(Alert.agency_id))
        .group_by(Alert.status, Alert.level, Alert.simulated)
    )
    by_status = dict.fromkeys(STATUSES, 0)
    by_level = dict.fromkeys(LEVELS, 0)
    newest = waiting_simulated = 0
    for status, level, simulated, number, highest in rows:
        if simulated and status != "closed":
            waiting_simulated += number
        if simulated and not include_simulated:
            continue
        by_status[status] += number
        if status != "closed":
            by_level[level] += number
        newest = max(newest, highest)
    return AlertCounts(by_status, by_level, newest, waiting_simulated)


def _within_reach(session: Session, scope: Scope, alert_id: int) -> Alert:
    alert = session.get(Alert, alert_id) if -(2**63) <= alert_id < 2**63 else None
    if alert is None or not scope.reaches(alert.agency_id):
        raise AlertNotFoundError(alert_id)
    return alert


def _conditions(filters: AlertFilters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    several: tuple[tuple[Any, Sequence[str]], ...] = (
        (Alert.status, filters.statuses),
        (Alert.level, filters.levels),
        (Alert.rule_id, filters.rule_ids),
    )
    conditions += [column.in_(wanted) for column, wanted in several if wanted]
    single: tuple[tuple[Any, object], ...] = (
        (Alert.agency_id, filters.agency_id),
        (Alert.endpoint_id, filters.endpoint_id),
        (Alert.incident_id, filters.incident_id),
        (Alert.simulated, filters.simulated),
    )
    conditions += [column == wanted for column, wanted in single if wanted is not None]
    if filters.text:
        in_subject: ColumnElement[bool] = Alert.subject.icontains(filters.text, autoescape=True)
        if filters.text_rule_ids:
            in_subject = or_(in_subject, Alert.rule_id.in_(filters.text_rule_ids))
        conditions.append(in_subject)
    if filters.since is not None:
        conditions.append(Alert.last_event_at >= filters.since)
    if filters.until is not None:
        conditions.append(Alert.first_event_at < filters.until)
    return conditions


def _after(query: Select[Alert], page: Page) -> Select[Alert]:
    position = _parse_cursor(page)
    if page.sort == "newest":
        if position is not None:
            query = query.where(Alert.id < position[1])
        return query.order_by(Alert.id.desc())
    if page.sort == "level":
        if position is not None:
            rank = position[0]
            query = query.where(or_(rank < _RANK, and_(_RANK.in_([rank]), Alert.id < position[1])))
        return query.order_by(_RANK, Alert.id.desc())
    if position is not None:
        moment = _EPOCH + position[0] * _MICROSECOND
        query = query.where(tuple_(Alert.updated_at, Alert.id) < tuple_(moment, position[1]))
    return query.order_by(Alert.updated_at.desc(), Alert.id.desc())


def _cursor(alert: Alert, sort: str) -> str:
    if sort == "level":
        value = LEVELS.index(alert.level) if alert.level in LEVELS else len(LEVELS)
    elif sort == "updated":
        value = (alert.updated_at - _EPOCH) // _MICROSECOND
    else:
        value = 0
    return f"{sort}:{value}:{alert.id}"


def _parse_cursor(page: Page) -> tuple[int, int] | None:
    if not page.cursor:
        return None
    match = re.fullmatch(r"([a-z]+):([0-9]{1,17}):([0-9]{1,18})", page.cursor, re.ASCII)
    if match is None or match[1] != page.sort:
        raise AlertInputError("cursor", "not a cursor of this list; begin again without one")
    return int(match[2]), int(match[3])
