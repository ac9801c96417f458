"""Records that may be one machine's: found by evidence, linked where it is safe, always undoable.

A link changes no other row. While it stands, the older record is left out of lists, counts and silence, and is shown on
the newer one's page; taking it away restores both exactly. The older record's certificate goes on working: where it
speaks again the link was wrong, or the machine is back, and is undone at once. So a forged number hides nobody who
speaks, and nobody is put out by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from collector.errors import ConflictError, NotFoundError
from collector.identity.evidence import is_other_machine
from collector.identity.matching import AUTOMATIC, match
from collector.state.tables import (
    Assignment,
    Endpoint,
    EndpointEvidence,
    EndpointOrigin,
    IdentityNote,
    MachineLink,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from collector.identity.evidence import Evidence
    from collector.identity.matching import Match
    from collector.state.scope import Scope

#: What more endpoints have than this is a maker's or an image's number, not a machine's.
COMMON: Final = 8
#: Who decided where no person did.
AUTOMATICALLY: Final = "automatic"
STATES: Final = ("proposed", "linked", "rejected", "undone")
#: Why a link was undone that nobody undid.
REPORTED_AGAIN: Final = "the older record reported again"
_STRONG: Final = ("reimaged", "reenrolled", "renamed")
#: What people are shown only as long as the older one is silent.
_WEAK: Final = ("disk_moved", "replaced", "parts_shared")
_AT_ONCE: Final = 200
_SIMULATED: Final = "simulated/"


def succeeded(endpoint: type[Endpoint] = Endpoint) -> ColumnElement[bool]:
    """Whether a link says that another record goes on for this one."""
    return exists().where(MachineLink.older_id == endpoint.id, MachineLink.state == "linked")


def counted_elsewhere(endpoint: type[Endpoint] = Endpoint) -> ColumnElement[bool]:
    """:func:`succeeded`, or all but: the evidence would link the two, and this one has not spoken since the other came.
    A machine is not two while people, or a day, decide."""
    newer = aliased(Endpoint)
    waiting = and_(
        MachineLink.state == "proposed",
        MachineLink.score >= AUTOMATIC,
        MachineLink.kind.in_(_STRONG),
        newer.last_seen_at.is_not(None),
        or_(endpoint.last_seen_at.is_(None), endpoint.last_seen_at < newer.enrolled_at),
    )
    return (
        select(MachineLink.id)
        .join(newer, newer.id == MachineLink.newer_id)
        .where(MachineLink.older_id == endpoint.id, or_(MachineLink.state == "linked", waiting))
        .correlate(endpoint)
        .exists()
    )


def keep_evidence(
    session: Session, endpoint_id: str, evidence: Evidence, now: datetime, *, simulated: bool
) -> None:
    """What speaks for the endpoint's machine from now on; it is compared with the others' soon."""
    before = _SIMULATED if simulated else ""
    rows = [
        {"endpoint_id": endpoint_id, "kind": kind, "value": before + value}
        for kind, values in sorted(evidence.items())
        for value in sorted(values)
    ]
    session.execute(delete(EndpointEvidence).where(EndpointEvidence.endpoint_id == endpoint_id))
    if rows:
        session.execute(insert(EndpointEvidence), rows)
    origin = session.get(EndpointOrigin, endpoint_id)
    if origin is None:
        session.add(EndpointOrigin(endpoint_id=endpoint_id, evidence_at=now, cause=""))
    else:
        origin.evidence_at, origin.compared_at = now, None
    session.flush()


def renew_evidence(
    session: Session, endpoint_id: str, said: Evidence, now: datetime, *, simulated: bool
) -> None:
    """As :func:`keep_evidence`, with what was known before of kinds that are not said now, unless that was another
    machine: agents of different versions say more or less. Nothing is done where nothing is new."""
    before = evidence_kept(session, endpoint_id)
    evidence = dict(said) if is_other_machine(before, said) else {**before, **said}
    if evidence != before:
        keep_evidence(session, endpoint_id, evidence, now, simulated=simulated)


def evidence_kept(session: Session, endpoint_id: str) -> Evidence:
    found: dict[str, set[str]] = {}
    query = select(EndpointEvidence.kind, EndpointEvidence.value).where(
        EndpointEvidence.endpoint_id == endpoint_id
    )
    for kind, value in session.execute(query):
        found.setdefault(kind, set()).add(value.removeprefix(_SIMULATED))
    return {kind: frozenset(values) for kind, values in found.items()}


def news(session: Session) -> bool:
    """Whether :func:`compare_new` or :func:`follow_pairs` may have something to do."""
    new = select(EndpointOrigin.endpoint_id).where(EndpointOrigin.compared_at.is_(None)).limit(1)
    return session.scalar(new) is not None or session.execute(_to_follow().limit(1)).first() is not None


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


def follow_pairs(session: Session, now: datetime, link_after: timedelta | None) -> None:
    """Act on what has happened since: who speaks, who does not. ``link_after``: how long the older record must have
    been silent to be linked without anybody; ``None``: never."""
    for link, older, newer in session.execute(_to_follow()).all():
        if link.state == "linked":
            _decide(session, link, "undone", AUTOMATICALLY, now, REPORTED_AGAIN)
            _note(session, older.id, "returned", link, older, newer, now)
        elif not _reports(older, newer):
            if link_after is not None and _may_link(link, older, newer, now, link_after):
                _decide(session, link, "linked", AUTOMATICALLY, now, "")
                _note(session, newer.id, "linked", link, older, newer, now)
        elif link.kind in _WEAK:
            session.delete(link)
        elif not link.conflict:
            link.conflict = True
            _note(session, newer.id, "same_evidence", link, older, newer, now)
    session.flush()


def link_by_hand(session: Session, scope: Scope, link_id: int, who: str, now: datetime) -> MachineLink:
    """
    Raises:
        NotFoundError: no such pair within the scope.
        ConflictError: it is linked already, or the older record has reported since the newer one enrolled.
    """
    link, older, newer = get_pair(session, scope, link_id)
    if link.state == "linked":
        raise ConflictError("the two are linked already")
    if _reports(older, newer):
        raise ConflictError(
            "both report: these are two machines, or one key is held twice; what reports is not left out"
        )
    _decide(session, link, "linked", who, now, "")
    _note(session, newer.id, "linked", link, older, newer, now)
    return link


def undo(session: Session, scope: Scope, link_id: int, who: str, reason: str, now: datetime) -> MachineLink:
    """Both records stand as before the link; it is not made again by itself.

    Raises:
        NotFoundError: no such pair within the scope.
        ConflictError: they are not linked.
    """
    link, older, newer = get_pair(session, scope, link_id)
    if link.state != "linked":
        raise ConflictError("the two are not linked")
    _decide(session, link, "undone", who, now, reason)
    _note(session, newer.id, "unlinked", link, older, newer, now)
    return link


def reject(session: Session, scope: Scope, link_id: int, who: str, reason: str, now: datetime) -> MachineLink:
    """They are two machines, and are not proposed again.

    Raises:
        NotFoundError: no such pair within the scope.
        ConflictError: it is decided already.
    """
    link, _, _ = get_pair(session, scope, link_id)
    if link.state != "proposed":
        raise ConflictError("this is decided already")
    _decide(session, link, "rejected", who, now, reason)
    return link


@dataclass(frozen=True)
class Pair:
    link: MachineLink
    older: Endpoint
    newer: Endpoint

    @property
    def both_report(self) -> bool:
        """Whether the older one has reported since the newer one came."""
        return _reports(self.older, self.newer)


def list_pairs(
    session: Session,
    scope: Scope,
    *,
    states: Sequence[str] = STATES,
    simulated: bool = False,
    endpoint_id: str | None = None,
    offset: int = 0,
    limit: int = 50,
) -> tuple[list[Pair], int]:
    """The newest first, and how many there are. Only where both machines are within the scope."""
    query = _within(_pairs(), scope).where(MachineLink.state.in_(states))
    if endpoint_id is not None:
        query = query.where(or_(MachineLink.older_id == endpoint_id, MachineLink.newer_id == endpoint_id))
    elif not simulated:
        query = query.where(_NEWER.simulated.is_(False))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    found = session.execute(query.order_by(MachineLink.id.desc()).offset(offset).limit(limit))
    return [Pair(*row) for row in found], total


def get_pair(session: Session, scope: Scope, link_id: int) -> tuple[MachineLink, Endpoint, Endpoint]:
    row = session.execute(_within(_pairs(), scope).where(MachineLink.id == link_id)).first()
    if row is None:
        raise NotFoundError(f"there is no pair {link_id}")
    return row[0], row[1], row[2]


_OLDER, _NEWER = aliased(Endpoint), aliased(Endpoint)


def _pairs() -> Any:
    return (
        select(MachineLink, _OLDER, _NEWER)
        .join(_OLDER, _OLDER.id == MachineLink.older_id)
        .join(_NEWER, _NEWER.id == MachineLink.newer_id)
    )


def _within(query: Any, scope: Scope) -> Any:
    for each in (_OLDER, _NEWER):
        if scope.agency_ids is None:
            break
        inside = exists().where(
            Assignment.endpoint_id == each.id,
            Assignment.valid_to.is_(None),
            scope.where(Assignment.agency_id),
        )
        query = query.where(inside)
    return query


def _reports(older: Endpoint, newer: Endpoint) -> bool:
    """Whether the older one has reported since the newer one came."""
    return older.last_seen_at is not None and older.last_seen_at > newer.enrolled_at


def _to_follow() -> Any:
    """Pairs that are not decided, and links whose older record reports again."""
    again = and_(MachineLink.state == "linked", _OLDER.last_seen_at > MachineLink.decided_at)
    return _pairs().where(or_(MachineLink.state == "proposed", again))


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
    ids.discard(endpoint.id)
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
        _propose(session, older, newer, found, now)


def _propose(session: Session, older: Endpoint, newer: Endpoint, found: Match | None, now: datetime) -> None:
    link = session.scalar(
        select(MachineLink).where(MachineLink.older_id == older.id, MachineLink.newer_id == newer.id)
    )
    if found is None:
        if link is not None and link.state == "proposed":
            session.delete(link)
        return
    origin = session.get(EndpointOrigin, newer.id)
    if origin is not None and origin.split_from == older.id and found.kind != "disk_moved":
        return  # a copy of a key is told as that
    if link is None:
        link = MachineLink(
            older_id=older.id, newer_id=newer.id, state="proposed", conflict=False, made_at=now
        )
        session.add(link)
    elif link.state != "proposed":
        return
    link.kind, link.score, link.evidence = found.kind, found.score, found.as_json()
    session.flush()


def _having(session: Session, kind: str, value: str, *, simulated: bool) -> list[str]:
    stored = _SIMULATED + value if simulated else value
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


def _may_link(
    link: MachineLink, older: Endpoint, newer: Endpoint, now: datetime, link_after: timedelta
) -> bool:
    quiet_since = max(older.last_seen_at or older.enrolled_at, newer.enrolled_at)
    return (
        link.score >= AUTOMATIC
        and link.kind in _STRONG
        and not link.conflict
        and newer.last_seen_at is not None
        and newer.retired_at is None
        and older.retired_at is None
        and now - quiet_since >= link_after
    )


def _decide(session: Session, link: MachineLink, state: str, who: str, now: datetime, reason: str) -> None:
    link.state, link.decided_by, link.decided_at, link.reason = state, who, now, reason[:200]
    session.flush()


def _note(
    session: Session,
    endpoint_id: str,
    action: str,
    link: MachineLink,
    older: Endpoint,
    newer: Endpoint,
    now: datetime,
) -> None:
    other = older if endpoint_id == newer.id else newer
    body = {
        "kind": link.kind,
        "score": link.score,
        "same": link.evidence.get("same", []),
        "other_id": other.id,
        "other_name": other.hostname,
        "automatic": link.decided_by == AUTOMATICALLY,
    }
    session.add(IdentityNote(endpoint_id=endpoint_id, action=action, body=body, made_at=now))
