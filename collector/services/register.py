"""The register of services: what they are called, whose they are, what they promise, when work on them is planned."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from collector.errors import ConflictError, NotFoundError
from collector.services import spans
from collector.services.models import CERTIFICATE, CONTENT, POSTURE, SERVICE
from collector.state.tables import Service, ServiceContent, ServiceMaintenance

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

#: Services that people have entered, or said something of.
MOST_SERVICES: Final = 300
#: Beside them those that only probes tell of: of all agencies, and of those that one agency's probes told of first.
MOST_UNDECIDED: Final = 200
MOST_UNDECIDED_EACH: Final = 40
#: Kinds of verdicts on services.
KINDS: Final = (SERVICE, CONTENT, CERTIFICATE, POSTURE)
IMPORTANCES: Final = ("high", "medium", "low")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def is_name(name: str) -> bool:
    """Whether a probe's item can be a service's name (:data:`agent.probe.services.settings.Name`)."""
    return _NAME.fullmatch(name) is not None


def newcomers(services: Iterable[Service], told: Mapping[str, Collection[int]]) -> list[tuple[str, int]]:
    """Which of the names that probes tell of (with the agencies that do) are entered now, and whose they count as: no
    agency's probes fill the register. What most agencies tell of comes first."""
    known, room, whose = set(), MOST_UNDECIDED, dict[int, int]()
    for service in services:
        known.add(service.name)
        if not service.decided:
            room -= 1
            whose[service.seen_agency_id] = whose.get(service.seen_agency_id, 0) + 1
    found: list[tuple[str, int]] = []
    for name, agencies in sorted(told.items(), key=lambda each: (-len(each[1]), each[0])):
        if len(found) >= room:
            break
        if name in known or not is_name(name):
            continue
        agency = min(agencies, key=lambda each: (whose.get(each, 0), each))
        if whose.get(agency, 0) < MOST_UNDECIDED_EACH:
            whose[agency] = whose.get(agency, 0) + 1
            found.append((name, agency))
    return found


def add_seen(session: Session, names: Iterable[tuple[str, int]], now: datetime) -> None:
    """Enter services that probes tell of (:func:`newcomers`) and nobody has entered yet."""
    there = set(session.scalars(select(Service.name)))
    session.add_all(
        Service(name=name, seen_agency_id=agency, first_seen_at=now)
        for name, agency in names
        if name not in there
    )
    session.flush()


def remove(session: Session, service: Service) -> None:
    """Take a service out with all that is known of it. A probe that still tells of it enters it again.

    Raises:
        ConflictError: somebody entered it, or said something of it.
    """
    if service.decided:
        raise ConflictError(
            "somebody has entered this service: only what probes alone told of can be removed"
        )
    spans.forget_subject(session, KINDS, service.id)
    session.delete(service)
    session.flush()


def list_services(session: Session) -> list[Service]:
    """By importance, then by name."""
    found = session.scalars(select(Service)).all()
    return sorted(found, key=lambda each: (IMPORTANCES.index(each.importance), each.name))


def get_service(session: Session, name: str) -> Service:
    """Raise :class:`NotFoundError` where there is none."""
    found = session.scalar(select(Service).where(Service.name == name))
    if found is None:
        raise NotFoundError(f"there is no service {name[:80]!r}")
    return found


def maintenance_of(session: Session, service_id: int) -> list[ServiceMaintenance]:
    """The latest first."""
    query = select(ServiceMaintenance).where(ServiceMaintenance.service_id == service_id)
    return list(
        session.scalars(query.order_by(ServiceMaintenance.begins_at.desc(), ServiceMaintenance.id.desc()))
    )


def period_of(planned: ServiceMaintenance) -> tuple[datetime, datetime]:
    """When it really lasted; of one that was called off, no time at all."""
    end = planned.ends_at if planned.ended_at is None else min(planned.ends_at, planned.ended_at)
    return planned.begins_at, max(planned.begins_at, end)


def planned_now(session: Session, now: datetime) -> set[int]:
    """Services on which planned work goes on."""
    query = select(ServiceMaintenance.service_id).where(
        ServiceMaintenance.begins_at <= now,
        ServiceMaintenance.ends_at > now,
        ServiceMaintenance.ended_at.is_(None),
    )
    return set(session.scalars(query))


def accepted_page(
    service_id: int, page: dict[str, Any], now: datetime, *, by: str, reason: str
) -> ServiceContent:
    """A page (:func:`collector.services.verdicts.page_of`) as one that is right."""
    return ServiceContent(
        service_id=service_id,
        digest=page["digest"],
        text=page["text"],
        structure=page["structure"],
        hosts=list(page["hosts"]),
        title=page["title"],
        excerpt=page["excerpt"],
        accepted_at=now,
        accepted_by=by,
        reason=reason,
    )
