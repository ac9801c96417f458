"""Finds records that may be one machine's, by what is new of their evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, or_, select, update

from collector.identity.links import SIMULATED, evidence_kept, succeeded
from collector.identity.matching import match
from collector.state.tables import Assignment, Endpoint, EndpointEvidence, EndpointOrigin, MachineLink

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.identity.matching import Match

#: What more endpoints have than this is a maker's or an image's number, not a machine's.
COMMON: Final = 8
#: With no more others one endpoint waits to be decided on: who says other numbers every day fills no list.
PAIRS: Final = 16
_AT_ONCE: Final = 200


def uncompared(session: Session) -> bool:
    """Whether :func:`compare_new` has something to do."""
    new = select(EndpointOrigin.endpoint_id).where(EndpointOrigin.compared_at.is_(None)).limit(1)
    return session.scalar(new) is not None


def compare_new(session: Session, now: datetime) -> int:
    """Compare endpoints whose evidence is new with the others, at most 200; return how many. One that has many numbers
    in common with thousands costs no more than any other: what is common is not looked up further."""
    query = (
        select(Endpoint)
        .join(EndpointOrigin, EndpointOrigin.endpoint_id == Endpoint.id)
        .where(EndpointOrigin.compared_at.is_(None))
        .order_by(EndpointOrigin.evidence_at)
        .limit(_AT_ONCE)
    )
    found = session.scalars(query).all()
    for endpoint in found:
        if endpoint.retired_at is None:
            _compare(session, endpoint, now)
    session.execute(
        update(EndpointOrigin)
        .where(EndpointOrigin.endpoint_id.in_([each.id for each in found]))
        .values(compared_at=now)
    )
    return len(found)


def _compare(session: Session, endpoint: Endpoint, now: datetime) -> None:
    evidence = evidence_kept(session, endpoint.id)
    usual: dict[str, set[str]] = {}
    ids: set[str] = set()
    for kind, values in evidence.items():
        for value in values:
            having = _having(session, kind, value, simulated=endpoint.simulated)
            if len(having) <= COMMON:
                usual.setdefault(kind, set()).add(value)
                ids.update(having)
    ids.update(_namesakes(session, endpoint))
    before = _undecided(session, endpoint.id)
    ids.update(before)
    ids.discard(endpoint.id)
    room = PAIRS - len(before)
    mine = {kind: frozenset(values) for kind, values in usual.items()}
    for other in session.scalars(
        select(Endpoint).where(Endpoint.id.in_(ids), Endpoint.retired_at.is_(None), ~succeeded())
    ).all():
        if other.simulated != endpoint.simulated:
            continue
        older, newer = sorted((other, endpoint), key=lambda each: (each.enrolled_at, each.id))
        # What many have says nothing for, but what differs from it still speaks against.
        theirs = evidence_kept(session, other.id)
        weighed = {
            kind: values & mine[kind] or values if kind in mine else values
            for kind, values in theirs.items()
            if kind in mine
        }
        same_name = other.hostname.casefold() == endpoint.hostname.casefold()
        found = match(weighed, mine, same_name=same_name)
        if room > 0 or found is None or other.id in before:
            room -= _propose(session, older, newer, found, now)


def _undecided(session: Session, endpoint_id: str) -> set[str]:
    """Whom the endpoint waits with to be decided on."""
    query = select(MachineLink.older_id, MachineLink.newer_id).where(
        or_(MachineLink.older_id == endpoint_id, MachineLink.newer_id == endpoint_id),
        MachineLink.state == "proposed",
    )
    return {each for pair in session.execute(query) for each in pair} - {endpoint_id}


def _propose(session: Session, older: Endpoint, newer: Endpoint, found: Match | None, now: datetime) -> int:
    """Note what was found; return how many pairs are new."""
    link = session.scalar(
        select(MachineLink).where(MachineLink.older_id == older.id, MachineLink.newer_id == newer.id)
    )
    if found is None:
        if link is not None and link.state == "proposed":
            session.delete(link)
        return 0
    if found.kind != "disk_moved" and _root(session, newer.id) == _root(session, older.id):
        return 0  # copies of one key are told as that
    new = link is None
    if link is None:
        link = MachineLink(
            older_id=older.id, newer_id=newer.id, state="proposed", conflict=False, made_at=now
        )
        session.add(link)
    elif link.state != "proposed":
        return 0
    link.kind, link.score, link.evidence = found.kind, found.score, found.as_json()
    session.flush()
    return int(new)


def _root(session: Session, endpoint_id: str) -> str:
    """The endpoint whose key all began with that came of one another's. A copy is newer than what it was copied from,
    so this ends."""
    source: str | None = endpoint_id
    while source is not None:
        endpoint_id = source
        source = session.scalar(
            select(EndpointOrigin.split_from).where(EndpointOrigin.endpoint_id == endpoint_id)
        )
    return endpoint_id


def _having(session: Session, kind: str, value: str, *, simulated: bool) -> list[str]:
    stored = SIMULATED + value if simulated else value
    query = select(EndpointEvidence.endpoint_id).where(
        EndpointEvidence.kind == kind, EndpointEvidence.value == stored
    )
    return list(session.scalars(query.limit(COMMON + 1)))


def _namesakes(session: Session, endpoint: Endpoint) -> Iterable[str]:
    """Of the same agency and the same name, unless many have it (``localhost``)."""
    agency = (
        select(Assignment.agency_id)
        .where(Assignment.endpoint_id == endpoint.id, Assignment.valid_to.is_(None))
        .scalar_subquery()
    )
    query = (
        select(Endpoint.id)
        .join(Assignment, and_(Assignment.endpoint_id == Endpoint.id, Assignment.valid_to.is_(None)))
        .where(
            Endpoint.hostname == endpoint.hostname,
            Endpoint.id != endpoint.id,
            Endpoint.retired_at.is_(None),
            Assignment.agency_id == agency,
        )
        .limit(3)
    )
    found = list(session.scalars(query))
    return found if len(found) < 3 else []
