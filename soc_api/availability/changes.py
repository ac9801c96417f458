"""What people change about services: the register, what a page may look like, planned work. All of it is audited."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from collector.errors import ConflictError, NotFoundError
from collector.registry.service import get_agency
from collector.services import register, spans
from collector.services.models import CHANGED, CONTENT, UNACCEPTED
from collector.state.tables import Service, ServiceMaintenance
from soc_api.accounts import audit
from soc_api.errors import Fault, InvalidError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from soc_api.accounts.principal import Principal

MOST_TITLE: Final = 200
MOST_REASON: Final = 1_000
#: The longest that planned work may last.
MOST_PLANNED: Final = timedelta(days=14)


def save(
    session: Session,
    principal: Principal,
    name: str,
    *,
    title_vi: str,
    title_en: str,
    agency_code: str,
    importance: str,
    sla_ratio: float,
    now: datetime,
) -> Service:
    """Enter a service, or change what the register says of it.

    Raises:
        InvalidError: no name of a service, a title that is too long, no such importance, a share beyond 0 to 1.
        NotFoundError: no such agency.
    """
    if not register.is_name(name):
        raise InvalidError(Fault("name", "small letters, digits and hyphens, as in the probes' settings"))
    if max(len(title_vi), len(title_en)) > MOST_TITLE:
        raise InvalidError(Fault("title_vi", f"at most {MOST_TITLE} characters"))
    if importance not in register.IMPORTANCES:
        raise InvalidError(Fault("importance", f"one of {', '.join(register.IMPORTANCES)}"))
    if not 0 < sla_ratio <= 1:
        raise InvalidError(Fault("sla_ratio", "more than 0, at most 1"))
    agency = get_agency(session, principal.scope, agency_code) if agency_code else None
    try:
        service = register.get_service(session, name)
    except NotFoundError:
        if sum(each.decided for each in register.list_services(session)) >= register.MOST_SERVICES:
            raise InvalidError(
                Fault("name", f"there are {register.MOST_SERVICES} services that were entered already")
            ) from None
        service = Service(name=name, first_seen_at=now)
        session.add(service)
    service.title_vi, service.title_en = title_vi.strip(), title_en.strip()
    service.agency_id = None if agency is None else agency.id
    service.importance, service.sla_ratio = importance, sla_ratio
    service.decided = True
    session.flush()
    _record(
        session,
        principal,
        "service.change",
        service,
        now,
        title=service.title_vi,
        agency=agency_code,
        importance=importance,
        sla=sla_ratio,
    )
    return service


def remove(session: Session, principal: Principal, name: str, now: datetime) -> None:
    """Take out a service that only probes told of, with all that is known of it.

    Raises:
        NotFoundError: no such service.
        ConflictError: somebody entered it, or said something of it.
    """
    service = register.get_service(session, name)
    register.remove(session, service)
    _record(session, principal, "service.remove", service, now, agency=service.seen_agency_id)


def accept_content(
    session: Session, principal: Principal, name: str, *, digest: str, reason: str, now: datetime
) -> None:
    """Say that the page as it stands now is right. ``digest`` is of the page that the person saw.

    Raises:
        NotFoundError: no such service.
        InvalidError: no reason.
        ConflictError: the page is another one by now, or has not changed.
    """
    service = register.get_service(session, name)
    reason = _reason(reason)
    span = spans.open_spans(session, [CONTENT]).get((CONTENT, service.id))
    if span is None or span.state not in (CHANGED, UNACCEPTED):
        raise ConflictError("the page is as it was accepted")
    if span.detail.get("digest") != digest:
        raise ConflictError("the page has changed once more meanwhile: look at it again")
    page: dict[str, Any] = span.detail
    session.add(register.accepted_page(service.id, page, now, by=principal.username, reason=reason))
    service.decided = True
    _record(
        session,
        principal,
        "service.accept_content",
        service,
        now,
        digest=digest,
        title=page.get("title", ""),
        words=page.get("words", []),
        reason=reason,
    )


def plan(
    session: Session,
    principal: Principal,
    name: str,
    *,
    begins_at: datetime,
    ends_at: datetime,
    reason: str,
    now: datetime,
) -> ServiceMaintenance:
    """Enter planned work: it counts from when it was entered, never for what was before.

    Raises:
        NotFoundError: no such service.
        InvalidError: no reason, no period, one that is too long or has begun long ago.
    """
    service = register.get_service(session, name)
    reason = _reason(reason)
    if not begins_at < ends_at <= begins_at + MOST_PLANNED:
        raise InvalidError(Fault("ends_at", f"behind its beginning, by at most {MOST_PLANNED.days} days"))
    # Else an outage could be made to have been planned.
    if begins_at < now - timedelta(minutes=5):
        raise InvalidError(Fault("begins_at", "must not lie in the past"))
    row = ServiceMaintenance(
        service_id=service.id,
        begins_at=begins_at,
        ends_at=ends_at,
        reason=reason,
        made_at=now,
        made_by=principal.username,
    )
    service.decided = True
    session.add(row)
    session.flush()
    _record(
        session,
        principal,
        "service.plan",
        service,
        now,
        begins=begins_at.isoformat(),
        ends=ends_at.isoformat(),
        reason=reason,
    )
    return row


def end_plan(session: Session, principal: Principal, name: str, plan_id: int, now: datetime) -> None:
    """End planned work before its time, or call it off.

    Raises:
        NotFoundError: there is none of that number.
        ConflictError: it has ended.
    """
    service = register.get_service(session, name)
    row = session.get(ServiceMaintenance, plan_id)
    if row is None or row.service_id != service.id:
        raise NotFoundError(f"there is no planned work {plan_id}")
    if row.ended_at is not None or row.ends_at <= now:
        raise ConflictError("this work has ended")
    row.ended_at, row.ended_by = now, principal.username
    _record(session, principal, "service.plan_end", service, now, plan=plan_id)


def _reason(text: str) -> str:
    text = text.strip()
    if not text or len(text) > MOST_REASON:
        raise InvalidError(Fault("reason", f"say why, in at most {MOST_REASON} characters"))
    return text


def _record(
    session: Session, principal: Principal, action: str, service: Service, now: datetime, **told: object
) -> None:
    target = f"service:{service.name}"
    audit.record(session, now, principal.username, action, target, address=principal.address, **told)
