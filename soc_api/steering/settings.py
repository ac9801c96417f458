"""Publishing settings for agents, each change with its audit entry in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from collector.documents.service import HEALTH
from collector.state.tables import Assignment, Document
from collector.steering.settings import publishing
from soc_api.accounts import audit

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from agent.steered import Steered
    from collector.state.scope import Scope
    from collector.state.tables import SettingsPublication
    from collector.steering.settings.groups import Group
    from soc_api.accounts.principal import Principal


def publish(
    session: Session,
    principal: Principal,
    group: Group,
    settings: Steered,
    *,
    based_on: int,
    comment: str,
    now: datetime,
) -> SettingsPublication:
    """See :func:`collector.steering.settings.publishing.publish`."""
    publication = publishing.publish(
        session,
        principal.scope,
        group,
        settings,
        based_on=based_on,
        comment=comment,
        by=principal.username,
        now=now,
    )
    _record(session, principal, publication, now)
    return publication


def bring_back(session: Session, principal: Principal, number: int, now: datetime) -> SettingsPublication:
    """See :func:`collector.steering.settings.publishing.bring_back`."""
    publication = publishing.bring_back(session, principal.scope, number, by=principal.username, now=now)
    _record(session, principal, publication, now)
    return publication


def known_collectors(session: Session, scope: Scope) -> list[str]:
    """The names of collectors that agents within ``scope`` have told of."""
    query = (
        select(Document.item)
        .outerjoin(
            Assignment, (Assignment.endpoint_id == Document.endpoint_id) & Assignment.valid_to.is_(None)
        )
        .where(Document.kind == HEALTH, scope.where(Assignment.agency_id))
        .distinct()
        .order_by(Document.item)
    )
    return list(session.scalars(query))


def _record(session: Session, principal: Principal, publication: SettingsPublication, now: datetime) -> None:
    audit.record(
        session,
        now,
        principal.username,
        "agent_settings.publish",
        f"{publication.group}:{publication.key}",
        address=principal.address,
        number=publication.number,
        before=publication.before,
        after=publication.after,
        reverts_to=publication.reverts_to,
        comment=publication.comment,
        machines=publication.machines,
    )
