"""What people ask: which feeds there are, which vulnerabilities, on how many machines and on which, and why. Every
function that tells of machines takes the caller's scope."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import case, func, or_, select

from collector.errors import NotFoundError
from collector.identity.links import succeeded
from collector.state.scope import EVERYTHING
from collector.state.tables import (
    Agency,
    Assignment,
    Document,
    Endpoint,
    EndpointVulnerabilities,
    Vulnerability,
    VulnerabilityFeed,
    VulnerabilityTally,
)
from collector.vulnerabilities.book import Book, stamp_of
from collector.vulnerabilities.errors import VulnerabilityNotFoundError
from collector.vulnerabilities.importing import CURRENT
from collector.vulnerabilities.matching import examine, machine_of
from collector.vulnerabilities.packing import unpack_affected, unpack_tally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope
    from collector.vulnerabilities.models import Examination

#: The agency of a tally that counts all machines.
ALL: Final = 0
SORTS: Final = ("severity", "machines", "name", "published")


@dataclass(frozen=True)
class Feed:
    """A feed in use. ``old``: its newest record is older than the settings allow."""

    id: int
    name: str
    kind: str
    file: str
    newest_at: datetime | None
    imported_at: datetime
    imported_by: str
    records: int
    left_out: int
    refused: int
    faults: tuple[str, ...]
    old: bool


@dataclass(frozen=True)
class Filters:
    """``severities``: any of these, all where empty. ``fixable``: at least one machine can be helped by an update.
    ``simulated``: which machines count, ``{False}`` the real ones."""

    agency_id: int | None = None
    severities: tuple[str, ...] = ()
    fixable: bool = False
    exploited: bool = False
    text: str = ""
    simulated: frozenset[bool] = frozenset({False})


@dataclass(frozen=True)
class Found:
    """A vulnerability that ``machines`` have; on ``fixable`` of them an update ends it."""

    name: str
    summary: str
    severity: str
    score: float | None
    published_at: datetime | None
    exploited_at: datetime | None
    machines: int
    fixable: int


@dataclass(frozen=True)
class Host:
    """A machine that has a vulnerability; ``fixable``: an update ends it."""

    endpoint_id: str
    hostname: str
    agency: str
    simulated: bool
    fixable: bool
    examined_at: datetime


@dataclass(frozen=True)
class Progress:
    """``examined`` machines of ``machines`` are up to date with the feeds; of ``unknown`` of them nothing is known."""

    machines: int
    examined: int
    unknown: int


def list_feeds(session: Session, now: datetime, feed_days: int) -> list[Feed]:
    """By name."""
    limit = now - timedelta(days=feed_days)
    query = (
        select(VulnerabilityFeed).where(VulnerabilityFeed.state == CURRENT).order_by(VulnerabilityFeed.name)
    )
    return [
        Feed(
            row.id,
            row.name,
            row.kind,
            row.file,
            row.newest_at,
            row.imported_at,
            row.imported_by,
            row.records,
            row.left_out,
            row.refused,
            tuple(row.faults),
            (row.newest_at or row.imported_at) < limit,
        )
        for row in session.scalars(query)
    ]


def progress_of(session: Session, scope: Scope, simulated: Collection[bool]) -> Progress:
    feeds = session.scalars(select(VulnerabilityFeed.id).where(VulnerabilityFeed.state == CURRENT))
    stamp = stamp_of(feeds)
    query = (
        select(
            func.count(),
            func.coalesce(func.sum(case((EndpointVulnerabilities.feeds == stamp, 1), else_=0)), 0),
            func.coalesce(func.sum(case((EndpointVulnerabilities.reason != "", 1), else_=0)), 0),
        )
        .select_from(Endpoint)
        .outerjoin(EndpointVulnerabilities, EndpointVulnerabilities.endpoint_id == Endpoint.id)
        .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
        .where(
            Endpoint.retired_at.is_(None),
            ~succeeded(),
            Endpoint.simulated.in_(simulated),
            scope.where(Assignment.agency_id),
        )
    )
    machines, examined, unknown = session.execute(query).one()
    return Progress(machines, int(examined), int(unknown))


def tally_of(
    session: Session, agencies: Iterable[int], simulated: Collection[bool]
) -> dict[int, tuple[int, int]]:
    """``{number: (machines, fixable)}`` of these agencies together."""
    query = select(VulnerabilityTally.body).where(
        VulnerabilityTally.agency_id.in_(sorted(agencies)), VulnerabilityTally.simulated.in_(simulated)
    )
    total: dict[int, tuple[int, int]] = {}
    for body in session.scalars(query):
        for number, (machines, fixable) in unpack_tally(body).items():
            every, ends = total.get(number, (0, 0))
            total[number] = (every + machines, ends + fixable)
    return total


def list_vulnerabilities(
    session: Session,
    scope: Scope,
    filters: Filters,
    *,
    sort: str = "severity",
    down: bool = False,
    offset: int = 0,
    limit: int = 50,
) -> tuple[list[Found], int]:
    """One page of what machines within reach have, and how many there are in all.

    ``severity`` begins with the gravest (exploited ones before others), ``machines`` with the most, ``published`` with
    the newest; ``down`` turns it round.
    """
    tally = tally_of(session, _reached(scope, filters.agency_id), filters.simulated)
    if filters.fixable:
        tally = {number: pair for number, pair in tally.items() if pair[1]}
    query = select(
        Vulnerability.id,
        Vulnerability.rank,
        Vulnerability.score,
        Vulnerability.exploited_at,
        Vulnerability.published_at,
        Vulnerability.name,
    )
    if filters.severities:
        query = query.where(Vulnerability.severity.in_(filters.severities))
    if filters.exploited:
        query = query.where(Vulnerability.exploited_at.is_not(None))
    if filters.text:
        query = query.where(
            or_(
                Vulnerability.name.icontains(filters.text, autoescape=True),
                Vulnerability.summary.icontains(filters.text, autoescape=True),
            )
        )
    rows = [row for row in session.execute(query) if row.id in tally]
    rows.sort(key=lambda row: row.name)
    if sort == "machines":
        rows.sort(key=lambda row: -tally[row.id][0])
    elif sort == "published":
        rows.sort(key=lambda row: row.published_at.timestamp() if row.published_at else 0.0, reverse=True)
    elif sort == "severity":
        rows.sort(key=lambda row: (row.rank, row.exploited_at is None, -(row.score or 0.0)))
    if down:
        rows.reverse()
    shown = [row.id for row in rows[offset : offset + limit]]
    details = {
        row.id: row for row in session.scalars(select(Vulnerability).where(Vulnerability.id.in_(shown)))
    }
    return [_found(details[number], tally[number]) for number in shown], len(rows)


def get_vulnerability(
    session: Session, scope: Scope, name: str, filters: Filters
) -> tuple[Found, list[Host]]:
    """One vulnerability, and the machines within reach that have it, by name.

    Raises:
        VulnerabilityNotFoundError: no machine within reach has ever had it.
    """
    row = session.scalars(select(Vulnerability).where(Vulnerability.name == name)).first()
    hosts = [] if row is None else list(_hosts(session, scope, row.id, filters))
    if row is None or (not hosts and scope != EVERYTHING):
        raise VulnerabilityNotFoundError(f"no machine is known to have {name[:60]!r}")
    return _found(row, (len(hosts), sum(each.fixable for each in hosts))), hosts


def examine_endpoint(
    session: Session, scope: Scope, endpoint_id: str, *, with_fixed: bool = False
) -> tuple[Examination, EndpointVulnerabilities | None]:
    """What the endpoint has by its present documents and the present feeds, with all evidence; and what was last
    counted for it.

    Raises:
        collector.errors.NotFoundError: it is not there or out of reach.
    """
    query = (
        select(Endpoint.id)
        .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
        .where(Endpoint.id == endpoint_id, scope.where(Assignment.agency_id))
    )
    if session.scalar(query) is None:
        raise NotFoundError(f"no endpoint {endpoint_id[:60]!r}")
    documents = select(Document.kind, Document.body).where(
        Document.endpoint_id == endpoint_id, Document.kind.in_(("host", "software")), Document.item == ""
    )
    bodies = {row.kind: row.body for row in session.execute(documents)}
    book = Book()
    book.turn_to(session)
    machine = machine_of(session, book, bodies.get("host"), bodies.get("software"))
    return examine(session, book, machine, with_fixed=with_fixed), session.get(
        EndpointVulnerabilities, endpoint_id
    )


def _reached(scope: Scope, agency_id: int | None) -> set[int]:
    if agency_id is not None:
        return {agency_id} if scope.reaches(agency_id) else set()
    return {ALL} if scope.agency_ids is None else set(scope.agency_ids)


def _hosts(session: Session, scope: Scope, number: int, filters: Filters) -> Iterator[Host]:
    query = (
        select(
            Endpoint.id,
            Endpoint.hostname,
            Agency.name,
            Endpoint.simulated,
            EndpointVulnerabilities.examined_at,
            EndpointVulnerabilities.affected,
        )
        .join(EndpointVulnerabilities, EndpointVulnerabilities.endpoint_id == Endpoint.id)
        .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
        .outerjoin(Agency, Agency.id == Assignment.agency_id)
        .where(
            Endpoint.retired_at.is_(None),
            ~succeeded(),
            Endpoint.simulated.in_(filters.simulated),
            scope.where(Assignment.agency_id),
        )
        .order_by(Endpoint.hostname, Endpoint.id)
    )
    if filters.agency_id is not None:
        query = query.where(Assignment.agency_id == filters.agency_id)
    for endpoint_id, hostname, agency, simulated, examined_at, affected in session.execute(query).yield_per(
        500
    ):
        values = unpack_affected(affected)
        at = bisect_left(values, number << 1)
        if at < len(values) and values[at] >> 1 == number:
            yield Host(endpoint_id, hostname, agency or "", simulated, bool(values[at] & 1), examined_at)


def _found(row: Vulnerability, pair: tuple[int, int]) -> Found:
    return Found(
        row.name, row.summary, row.severity, row.score, row.published_at, row.exploited_at, *pair
    )  # fmt: skip
