"""Making and working incidents. Every change is in the audit log, which is also the case's history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from collector.errors import ConflictError, NotFoundError
from collector.state.tables import Alert, AuditEntry, Incident, IncidentNote, User
from soc_api.accounts import audit
from soc_api.accounts.permissions import PERMISSIONS, Permission, Role
from soc_api.errors import Fault, InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope
    from soc_api.accounts.principal import Principal

#: From which status to which; a closed case can be taken up again, never rewritten.
TRANSITIONS: Final[dict[str, tuple[str, ...]]] = {
    "open": ("in_progress", "closed"),
    "in_progress": ("resolved", "closed"),
    "resolved": ("closed", "in_progress"),
    "closed": ("in_progress",),
}
CLOSE_REASONS: Final = ("fixed", "risk_accepted", "false_positive", "duplicate")
LEVELS: Final = ("informational", "low", "medium", "high", "critical")
MOST_ALERTS: Final = 200
#: What the state store's integers hold.
LARGEST_ID: Final = 2**63 - 1


def create(
    session: Session, principal: Principal, title: str, alert_ids: Sequence[int], now: datetime
) -> Incident:
    """A case of one or more alerts. Its level is their highest, its clock starts at their earliest event,
    and it belongs to their agency where they share one.

    Raises:
        NotFoundError: an alert that the principal does not reach.
        ConflictError: an alert that belongs to another incident.
        InvalidError: no title, no alerts, or too many.
    """
    wanted = sorted(set(alert_ids))
    title = _text(title, "title", 200)
    if not 1 <= len(wanted) <= MOST_ALERTS:
        raise InvalidError(Fault("alerts", f"from 1 to {MOST_ALERTS} alerts"))
    alerts = _alerts(session, principal.scope, wanted)
    agencies = {alert.agency_id for alert in alerts}
    incident = Incident(
        title=title,
        status="open",
        level=max((alert.level for alert in alerts), key=_rank),
        agency_id=agencies.pop() if len(agencies) == 1 else None,
        simulated=all(alert.simulated for alert in alerts),
        detected_at=min(alert.first_event_at for alert in alerts),
        opened_at=now,
        opened_by=principal.username,
    )
    session.add(incident)
    session.flush()
    for alert in alerts:
        alert.incident_id = incident.id
        alert.updated_at = now
    _record(session, principal, incident, "create", now, alerts=wanted)
    return incident


def add_alerts(
    session: Session, principal: Principal, incident_id: int, alert_ids: Sequence[int], now: datetime
) -> Incident:
    """Join further alerts to a case that is not closed; its clock may move back, never forward."""
    incident = get(session, principal.scope, incident_id)
    if incident.status == "closed":
        raise ConflictError(f"incident {incident_id} is closed: take it up again first")
    wanted = sorted(set(alert_ids))
    if not 1 <= len(wanted) <= MOST_ALERTS:
        raise InvalidError(Fault("alerts", f"from 1 to {MOST_ALERTS} alerts"))
    for alert in _alerts(session, principal.scope, wanted, already=incident.id):
        alert.incident_id = incident.id
        alert.updated_at = now
        incident.detected_at = min(incident.detected_at, alert.first_event_at)
        incident.level = max(incident.level, alert.level, key=_rank)
        incident.simulated = incident.simulated and alert.simulated
        if alert.agency_id != incident.agency_id:
            incident.agency_id = None
    _record(session, principal, incident, "add_alerts", now, alerts=wanted)
    return incident


def get(session: Session, scope: Scope, incident_id: int) -> Incident:
    found = None
    if 0 < incident_id <= LARGEST_ID:
        found = session.scalar(
            select(Incident).where(Incident.id == incident_id, scope.where(Incident.agency_id))
        )
    if found is None:
        raise NotFoundError(f"there is no incident {incident_id}")
    return found


def list_incidents(
    session: Session,
    scope: Scope,
    *,
    statuses: Sequence[str] = (),
    simulated: bool | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Sequence[Incident]:
    """The newest first, from below id ``before``; ``statuses`` empty and ``simulated`` None mean all."""
    query = select(Incident).where(scope.where(Incident.agency_id)).order_by(Incident.id.desc()).limit(limit)
    if statuses:
        query = query.where(Incident.status.in_(statuses))
    if simulated is not None:
        query = query.where(Incident.simulated.is_(simulated))
    if before is not None:
        query = query.where(Incident.id < before)
    return session.scalars(query).all()


def count_simulated(session: Session, scope: Scope, statuses: Sequence[str] = ()) -> int:
    """How many cases of simulated alerts alone are within reach; ``statuses`` empty means all."""
    query = select(func.count()).select_from(Incident)
    query = query.where(scope.where(Incident.agency_id), Incident.simulated.is_(True))
    if statuses:
        query = query.where(Incident.status.in_(statuses))
    return session.scalar(query) or 0


def alerts_of(session: Session, scope: Scope, incident: Incident) -> Sequence[Alert]:
    """The case's alerts that the scope reaches, the earliest first."""
    query = select(Alert).where(Alert.incident_id == incident.id, scope.where(Alert.agency_id))
    return session.scalars(query.order_by(Alert.first_event_at, Alert.id)).all()


def notes_of(session: Session, incident: Incident) -> Sequence[IncidentNote]:
    query = select(IncidentNote).where(IncidentNote.incident_id == incident.id)
    return session.scalars(query.order_by(IncidentNote.id)).all()


def history_of(session: Session, incident: Incident) -> Sequence[AuditEntry]:
    """What was done to the case, the oldest first."""
    query = select(AuditEntry).where(
        AuditEntry.target == _target(incident), AuditEntry.action.startswith("incident.")
    )
    return session.scalars(query.order_by(AuditEntry.id)).all()


def add_note(
    session: Session, principal: Principal, incident_id: int, text: str, now: datetime
) -> IncidentNote:
    incident = get(session, principal.scope, incident_id)
    note = IncidentNote(
        incident_id=incident.id,
        written_at=now,
        written_by=principal.username,
        text=_text(text, "text", 10_000),
    )
    session.add(note)
    session.flush()
    _record(session, principal, incident, "note", now, note=note.id)
    return note


def change_status(
    session: Session,
    principal: Principal,
    incident_id: int,
    status: str,
    now: datetime,
    *,
    reason: str | None = None,
) -> Incident:
    """Move the case along ``TRANSITIONS``; closing needs one of ``CLOSE_REASONS``.

    Raises:
        ConflictError: that step is not allowed from where the case stands.
    """
    incident = get(session, principal.scope, incident_id)
    before = incident.status
    if status not in TRANSITIONS:
        raise InvalidError(Fault("status", f"one of {', '.join(TRANSITIONS)}"))
    if status not in TRANSITIONS[before]:
        allowed = ", ".join(TRANSITIONS[before])
        raise ConflictError(
            f"incident {incident_id} is {before}: from there it can become {allowed}, not {status}"
        )
    if status == "closed" and reason not in CLOSE_REASONS:
        raise InvalidError(Fault("reason", f"one of {', '.join(CLOSE_REASONS)}"))
    incident.status = status
    if status == "in_progress":
        incident.resolved_at = incident.closed_at = incident.close_reason = None
    else:
        incident.resolved_at = incident.resolved_at or now
    if status == "closed":
        incident.closed_at, incident.close_reason = now, reason
    _record(session, principal, incident, "status", now, before=before, after=status, reason=reason)
    return incident


def assign(
    session: Session, principal: Principal, incident_id: int, username: str | None, now: datetime
) -> Incident:
    """Give the case to a user who may work incidents, or (None) to nobody."""
    incident = get(session, principal.scope, incident_id)
    if username is not None and username not in {user.username for user in assignable(session)}:
        raise InvalidError(Fault("assigned_to", "no such user, or one who may not work incidents"))
    before, incident.assigned_to = incident.assigned_to, username
    _record(session, principal, incident, "assign", now, before=before, after=username)
    return incident


def assignable(session: Session) -> list[User]:
    """Users to whom a case can be given."""
    roles = [role.value for role in Role if Permission.INCIDENTS_WORK in PERMISSIONS[role]]
    query = select(User).where(User.role.in_(roles), User.disabled_at.is_(None)).order_by(User.username)
    return list(session.scalars(query))


def _alerts(
    session: Session, scope: Scope, wanted: Sequence[int], already: int | None = None
) -> Sequence[Alert]:
    within = [alert_id for alert_id in wanted if 0 < alert_id <= LARGEST_ID]
    query = select(Alert).where(Alert.id.in_(within), scope.where(Alert.agency_id)).order_by(Alert.id)
    alerts = session.scalars(query).all()
    missing = set(wanted) - {alert.id for alert in alerts}
    if missing:
        raise NotFoundError(f"there is no alert {min(missing)}")
    taken = [alert for alert in alerts if alert.incident_id not in {None, already}]
    if taken:
        raise ConflictError(f"alert {taken[0].id} already belongs to incident {taken[0].incident_id}")
    return alerts


def _text(text: str, where: str, longest: int) -> str:
    text = text.strip()
    if not text:
        raise InvalidError(Fault(where, "must not be empty"))
    if len(text) > longest:
        raise InvalidError(Fault(where, f"at most {longest} characters"))
    return text


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else -1


def _target(incident: Incident) -> str:
    return f"incident:{incident.id}"


def _record(
    session: Session, principal: Principal, incident: Incident, verb: str, now: datetime, **detail: object
) -> None:
    audit.record(
        session,
        now,
        principal.username,
        f"incident.{verb}",
        _target(incident),
        address=principal.address,
        **detail,
    )
