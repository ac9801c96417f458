"""The register of services: what they are called, whose they are, what they promise, when work on them is planned."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from collector.errors import NotFoundError
from collector.state.tables import Service, ServiceContent, ServiceMaintenance

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.orm import Session

MOST_SERVICES: Final = 300
IMPORTANCES: Final = ("high", "medium", "low")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def is_name(name: str) -> bool:
    """Whether a probe's item can be a service's name (:data:`agent.probe.services.settings.Name`)."""
    return _NAME.fullmatch(name) is not None


def add_seen(session: Session, names: Iterable[str], now: datetime) -> None:
    """Enter services that probes tell of and nobody has entered yet."""
    there = set(session.scalars(select(Service.name)))
    session.add_all(Service(name=name, first_seen_at=now) for name in names if name not in there)
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
