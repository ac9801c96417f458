"""What is known of endpoints, within a scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from collector.errors import NotFoundError
from collector.identity.links import succeeded
from collector.state.tables import (
    Agency,
    Assignment,
    Certificate,
    Document,
    DocumentChange,
    Endpoint,
    Stream,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from collector.state.scope import Scope


@dataclass(frozen=True, slots=True)
class PlacedEndpoint:
    """An endpoint and the agency that it belongs to today (None: to none)."""

    endpoint: Endpoint
    agency: Agency | None


@dataclass(frozen=True, slots=True)
class Filters:
    """``text`` is part of a host name or a whole id; None leaves a filter out. Retired ones, and those that
    another record goes on for, only when asked for."""

    agency_id: int | None = None
    text: str | None = None
    role: str | None = None
    simulated: bool | None = None
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of the list (by host name, then id) begins."""

    hostname: str
    endpoint_id: str


def list_endpoints(
    session: Session, scope: Scope, filters: Filters, *, after: Position | None = None, limit: int = 50
) -> list[PlacedEndpoint]:
    query = _placed(scope).order_by(Endpoint.hostname, Endpoint.id).limit(limit)
    query = query.where(
        or_(Endpoint.retired_at.is_not(None), succeeded())
        if filters.retired
        else and_(Endpoint.retired_at.is_(None), ~succeeded())
    )
    if filters.agency_id is not None:
        query = query.where(Assignment.agency_id == filters.agency_id)
    if filters.text:
        query = query.where(
            or_(
                Endpoint.hostname.icontains(filters.text, autoescape=True),
                Endpoint.id == filters.text.casefold(),
            )
        )
    if filters.role is not None:
        query = query.where(Endpoint.role == filters.role)
    if filters.simulated is not None:
        query = query.where(Endpoint.simulated == filters.simulated)
    if after is not None:
        query = query.where(
            or_(
                Endpoint.hostname > after.hostname,
                and_(Endpoint.hostname == after.hostname, Endpoint.id > after.endpoint_id),
            )
        )
    return [PlacedEndpoint(endpoint, agency) for endpoint, agency in session.execute(query)]


def get_endpoint(session: Session, scope: Scope, endpoint_id: str) -> PlacedEndpoint:
    row = session.execute(_placed(scope).where(Endpoint.id == endpoint_id)).first()
    if row is None:
        raise NotFoundError(f"there is no endpoint {endpoint_id}")
    return PlacedEndpoint(row[0], row[1])


def documents_of(session: Session, endpoint_id: str) -> Sequence[Document]:
    """The newest status documents, by kind and item. The caller has checked the scope by
    :func:`get_endpoint`."""
    query = select(Document).where(Document.endpoint_id == endpoint_id).order_by(Document.kind, Document.item)
    return session.scalars(query).all()


def history_of(
    session: Session,
    scope: Scope,
    endpoint_id: str,
    *,
    kind: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Sequence[DocumentChange]:
    """How documents changed, the newest first, from below id ``before``. An officer sees only what changed while
    the endpoint was his agency's: its neighbours of before are another agency's network."""
    query = select(DocumentChange).where(DocumentChange.endpoint_id == endpoint_id)
    if scope.agency_ids is not None:
        at = DocumentChange.changed_at
        within = select(Assignment.id).where(
            Assignment.endpoint_id == endpoint_id,
            scope.where(Assignment.agency_id),
            Assignment.valid_from <= at,
            or_(Assignment.valid_to.is_(None), at < Assignment.valid_to),
        )
        query = query.where(within.exists())
    if kind is not None:
        query = query.where(DocumentChange.kind == kind)
    if before is not None:
        query = query.where(DocumentChange.id < before)
    return session.scalars(query.order_by(DocumentChange.id.desc()).limit(limit)).all()


def certificates_of(session: Session, endpoint_id: str) -> Sequence[Certificate]:
    query = select(Certificate).where(Certificate.endpoint_id == endpoint_id)
    return session.scalars(query.order_by(Certificate.not_before.desc())).all()


def streams_of(session: Session, endpoint_id: str) -> Sequence[Stream]:
    query = select(Stream).where(Stream.endpoint_id == endpoint_id)
    return session.scalars(query.order_by(Stream.updated_at.desc())).all()


def throttled_of(session: Session, endpoint_id: str) -> Throttled | None:
    """How often it was over its quota on the agents' port; None: never."""
    return session.get(Throttled, endpoint_id)


def _placed(scope: Scope) -> Select[Endpoint, Agency]:
    return (
        select(Endpoint, Agency)
        .outerjoin(Assignment, and_(Assignment.endpoint_id == Endpoint.id, Assignment.valid_to.is_(None)))
        .outerjoin(Agency, Agency.id == Assignment.agency_id)
        .where(scope.where(Assignment.agency_id))
    )
