"""Records that may be one machine's: found by evidence, linked where it is safe, always undoable.

A link changes no other row. While it stands, the older record is left out of lists, counts and silence, and is shown on
the newer one's page; taking it away restores both exactly. The older record's certificate goes on working: where it
speaks again the link was wrong, or the machine is back, and is undone at once. So a forged number hides nobody who
speaks, and nobody is put out by one. What is found by itself hides a silent record only behind a newer one of the same
agency that has come by a token, or that a person has confirmed.

What finds pairs is ``comparing``, what acts on them by itself ``following``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, func, insert, or_, select, true
from sqlalchemy.orm import aliased

from collector.errors import ConflictError, NotFoundError
from collector.identity.evidence import is_other_machine
from collector.identity.matching import AUTOMATIC
from collector.state.tables import (
    Assignment,
    Endpoint,
    EndpointEvidence,
    EndpointOrigin,
    IdentityNote,
    MachineLink,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from collector.identity.evidence import Evidence
    from collector.state.scope import Scope

#: Who decided where no person did.
AUTOMATICALLY: Final = "automatic"
STATES: Final = ("proposed", "linked", "rejected", "undone")
#: Why a link was undone that nobody undid.
REPORTED_AGAIN: Final = "the older record reported again"
NEWER_RETIRED: Final = "the newer record was taken out of service"
_STRONG: Final = ("reimaged", "reenrolled", "renamed")
#: Before the numbers of simulated machines, which are compared among themselves only.
SIMULATED: Final = "simulated/"


def succeeded(endpoint: type[Endpoint] = Endpoint) -> ColumnElement[bool]:
    """Whether a link says that another record, which is in service, goes on for this one."""
    newer = aliased(Endpoint)
    return (
        select(MachineLink.id)
        .join(newer, newer.id == MachineLink.newer_id)
        .where(MachineLink.older_id == endpoint.id, MachineLink.state == "linked", newer.retired_at.is_(None))
        .correlate(endpoint)
        .exists()
    )


def counted_elsewhere(endpoint: type[Endpoint] = Endpoint) -> ColumnElement[bool]:
    """:func:`succeeded`, or all but: the evidence would link the two, and this one has not spoken since the other came.
    A machine is not two while people, or a day, decide."""
    newer = aliased(Endpoint)
    waiting = and_(
        linkable(endpoint, newer),
        or_(endpoint.last_seen_at.is_(None), endpoint.last_seen_at < newer.enrolled_at),
    )
    return (
        select(MachineLink.id)
        .join(newer, newer.id == MachineLink.newer_id)
        .where(
            MachineLink.older_id == endpoint.id,
            newer.retired_at.is_(None),
            or_(MachineLink.state == "linked", waiting),
        )
        .correlate(endpoint)
        .exists()
    )


def linkable(older: Any, newer: Any) -> ColumnElement[bool]:
    """Whether the pair of these two may be linked without anybody, once the older one has been silent for long enough:
    nothing that only a person can know stands in between."""
    return and_(
        MachineLink.state == "proposed",
        MachineLink.conflict.is_(False),
        MachineLink.score >= AUTOMATIC,
        MachineLink.kind.in_(_STRONG),
        newer.last_seen_at.is_not(None),
        newer.retired_at.is_(None),
        ~unconfirmed(newer),
        same_agency(older, newer),
    )


def unconfirmed(endpoint: Any) -> ColumnElement[bool]:
    """Whether it came with a copy of another's key, and nobody has confirmed it."""
    origin = aliased(EndpointOrigin)
    return (
        select(origin.endpoint_id)
        .where(origin.endpoint_id == endpoint.id, origin.split_at.is_not(None), origin.confirmed_at.is_(None))
        .correlate(endpoint)
        .exists()
    )


def same_agency(one: Any, other: Any) -> ColumnElement[bool]:
    """Whether both are in one agency now; what is in none is not."""
    first, second = aliased(Assignment), aliased(Assignment)
    return (
        select(first.id)
        .join(second, second.agency_id == first.agency_id)
        .where(
            first.endpoint_id == one.id,
            first.valid_to.is_(None),
            second.endpoint_id == other.id,
            second.valid_to.is_(None),
        )
        .correlate(one, other)
        .exists()
    )


def within(scope: Scope, endpoint: Any) -> ColumnElement[bool]:
    """Whether the endpoint is in one of the scope's agencies now."""
    if scope.agency_ids is None:
        return true()
    assignment = aliased(Assignment)
    return (
        select(assignment.id)
        .where(
            assignment.endpoint_id == endpoint.id,
            assignment.valid_to.is_(None),
            scope.where(assignment.agency_id),
        )
        .correlate(endpoint)
        .exists()
    )


def keep_evidence(
    session: Session, endpoint_id: str, evidence: Evidence, now: datetime, *, simulated: bool
) -> None:
    """What speaks for the endpoint's machine from now on; it is compared with the others' soon."""
    before = SIMULATED if simulated else ""
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
        found.setdefault(kind, set()).add(value.removeprefix(SIMULATED))
    return {kind: frozenset(values) for kind, values in found.items()}


def link_by_hand(session: Session, scope: Scope, link_id: int, who: str, now: datetime) -> MachineLink:
    """
    Raises:
        NotFoundError: no such pair within the scope.
        ConflictError: it is linked already, the older record has reported since the newer one enrolled, or the newer
            one is out of service or a copy that nobody has confirmed.
    """
    link, older, newer = _whole(session, scope, link_id)
    if link.state == "linked":
        raise ConflictError("the two are linked already")
    if newer.retired_at is not None:
        raise ConflictError("the newer record is out of service: nothing goes on for the older one")
    if session.scalar(select(unconfirmed(Endpoint)).where(Endpoint.id == newer.id)):
        raise ConflictError(
            "the newer record came with a copied key: confirm that it is a machine of ours first"
        )
    if reports(older, newer):
        raise ConflictError(
            "both report: these are two machines, or one key is held twice; what reports is not left out"
        )
    decide(session, link, "linked", who, now, "")
    note(session, "linked", link, older, newer, now)
    return link


def undo(session: Session, scope: Scope, link_id: int, who: str, reason: str, now: datetime) -> MachineLink:
    """Both records stand as before the link; it is not made again by itself. Who reaches the older record may do it.

    Raises:
        NotFoundError: no such pair within the scope.
        ConflictError: they are not linked.
    """
    pair = get_pair(session, scope, link_id)
    link, older, newer = pair.link, pair.older, pair.newer
    if link.state != "linked":
        raise ConflictError("the two are not linked")
    decide(session, link, "undone", who, now, reason)
    note(session, "unlinked", link, older, newer, now)
    return link


def reject(session: Session, scope: Scope, link_id: int, who: str, reason: str, now: datetime) -> MachineLink:
    """They are two machines, and are not proposed again.

    Raises:
        NotFoundError: no such pair within the scope.
        ConflictError: it is decided already.
    """
    link, _, _ = _whole(session, scope, link_id)
    if link.state != "proposed":
        raise ConflictError("this is decided already")
    decide(session, link, "rejected", who, now, reason)
    return link


@dataclass(frozen=True)
class Pair:
    """``reached``: whether the newer record is within the asker's scope too; where it is not, its name and id are not
    for him."""

    link: MachineLink
    older: Endpoint
    newer: Endpoint
    reached: bool

    @property
    def both_report(self) -> bool:
        """Whether the older one has reported since the newer one came."""
        return reports(self.older, self.newer)


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
    """The newest first, and how many there are. Only where both machines are within the scope, or where the older one
    is and stands or stood behind the other: its own people see why it is gone."""
    query = _seen(scope).where(MachineLink.state.in_(states))
    if endpoint_id is not None:
        query = query.where(or_(MachineLink.older_id == endpoint_id, MachineLink.newer_id == endpoint_id))
    elif not simulated:
        query = query.where(NEWER.simulated.is_(False))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    found = session.execute(query.order_by(MachineLink.id.desc()).offset(offset).limit(limit))
    return [Pair(*row) for row in found], total


def get_pair(session: Session, scope: Scope, link_id: int) -> Pair:
    """
    Raises:
        NotFoundError: no such pair that the scope sees (:func:`list_pairs`).
    """
    row = session.execute(_seen(scope).where(MachineLink.id == link_id)).first()
    if row is None:
        raise NotFoundError(f"there is no pair {link_id}")
    return Pair(*row)


def _whole(session: Session, scope: Scope, link_id: int) -> tuple[MachineLink, Endpoint, Endpoint]:
    pair = get_pair(session, scope, link_id)
    if not pair.reached:
        raise NotFoundError(f"there is no pair {link_id}")
    return pair.link, pair.older, pair.newer


OLDER, NEWER = aliased(Endpoint), aliased(Endpoint)


def pairs() -> Select[MachineLink, Endpoint, Endpoint]:
    """All of them, with both their records as :data:`OLDER` and :data:`NEWER`."""
    return (
        select(MachineLink, OLDER, NEWER)
        .join(OLDER, OLDER.id == MachineLink.older_id)
        .join(NEWER, NEWER.id == MachineLink.newer_id)
    )


def _seen(scope: Scope) -> Any:
    newer = within(scope, NEWER)
    decided = MachineLink.state.in_(("linked", "undone"))
    return pairs().add_columns(newer).where(within(scope, OLDER), or_(newer, decided))


def reports(older: Endpoint, newer: Endpoint) -> bool:
    """Whether the older one has reported since the newer one came."""
    return older.last_seen_at is not None and older.last_seen_at > newer.enrolled_at


def decide(session: Session, link: MachineLink, state: str, who: str, now: datetime, reason: str) -> None:
    """Note what became of the pair, and by whom."""
    link.state, link.decided_by, link.decided_at, link.reason = state, who, now, reason[:200]
    session.flush()


def note(
    session: Session, action: str, link: MachineLink, older: Endpoint, newer: Endpoint, now: datetime
) -> None:
    """Have it told of the record that it changes something for, and of both where one comes to stand behind the other
    or no longer does. The other's name and id only within one agency."""
    near = session.scalar(
        pairs().with_only_columns(same_agency(OLDER, NEWER)).where(MachineLink.id == link.id)
    )
    told = {"returned": (older,), "same_evidence": (newer,)}.get(action, (newer, older))
    for endpoint in told:
        other = older if endpoint is newer else newer
        body = {
            "kind": link.kind,
            "score": link.score,
            "same": link.evidence.get("same", []),
            "automatic": link.decided_by == AUTOMATICALLY,
        }
        if near:
            body |= {"other_id": other.id, "other_name": other.hostname}
        session.add(IdentityNote(endpoint_id=endpoint.id, action=action, body=body, made_at=now))
