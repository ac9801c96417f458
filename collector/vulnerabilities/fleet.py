"""Keeps what every machine has up to date, in small pieces: when its documents have changed, and when a feed has.

What is due is found by comparing times in an index, without any document's body. A piece is read and judged without
holding up anybody and written in one short transaction; one that is done again comes to the same, so that several
processes may do this at once and one that is killed loses nothing.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select

from collector.state.tables import (
    Assignment,
    Document,
    Endpoint,
    EndpointVulnerabilities,
    Vulnerability,
    VulnerabilityTally,
)
from collector.state.upsert import upsert
from collector.vulnerabilities.book import Book
from collector.vulnerabilities.matching import examine
from collector.vulnerabilities.models import AFFECTED, SEVERITIES, UNKNOWN
from collector.vulnerabilities.packing import pack_affected, pack_tally, unpack_affected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.database import StateStore
    from collector.vulnerabilities.models import Examination

#: Machines in one piece: their software is some hundred KB each.
_PIECE: Final = 25
#: Whatever the quick look says, everything is compared this often; machines change their agency, too.
_THOROUGH_SECONDS: Final = 600.0
#: Sums are made anew at the end of the work, and this often while it lasts.
_COUNT_SECONDS: Final = 60.0
_CHUNK: Final = 400


class Fleet:
    """One a process, not for several threads."""

    def __init__(
        self,
        state: StateStore,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._now = now
        self._monotonic = monotonic
        self._book = Book()
        self._due: list[str] = []
        self._seen: object = None
        self._compared = self._counted = float("-inf")
        self._uncounted = True
        #: The numbers of vulnerabilities whose row says what the present feeds say.
        self._numbers: dict[str, int] = {}
        self._numbers_of = ""

    def turn(self) -> int:
        """Do one piece; return how many machines it was. 0: all is done for now.

        Raises what the state store raises; nothing is lost by calling again.
        """
        if not self._due:
            self._look()
        piece, self._due = self._due[:_PIECE], self._due[_PIECE:]
        if piece:
            self._examine(piece)
            self._uncounted = True
        if self._uncounted and (not self._due or self._monotonic() - self._counted > _COUNT_SECONDS):
            self._count()
        return len(piece)

    @property
    def waiting(self) -> int:
        """Machines that are due and have not had their turn."""
        return len(self._due)

    def _look(self) -> None:
        moment = self._monotonic()
        with self._state.read() as session:
            self._book.turn_to(session)
            signs = (self._book.stamp, *session.execute(_SIGNS).one())
            if signs == self._seen and moment - self._compared < _THOROUGH_SECONDS:
                return
            self._due = _due(session, self._book.stamp)
        self._seen, self._compared, self._uncounted = signs, moment, True

    def _examine(self, endpoint_ids: list[str]) -> None:
        with self._state.read() as session:
            self._book.turn_to(session)
            stamp = self._book.stamp
            found = {each: _documents(session, each) for each in endpoint_ids}
            done = {
                each: examine(session, self._book, documents["host"][0], documents["software"][0])
                for each, documents in found.items()
            }
        if stamp != self._numbers_of:
            self._numbers, self._numbers_of = {}, stamp
        now = self._now()
        with self._state.write() as session:
            numbers = self._numbered(session, done.values())
            there = set(session.scalars(select(Endpoint.id).where(Endpoint.id.in_(endpoint_ids))))
            rows = [
                {
                    "endpoint_id": each,
                    "software_at": found[each]["software"][1],
                    "host_at": found[each]["host"][1],
                    "feeds": stamp,
                    "examined_at": now,
                    "reason": examination.reason,
                    "numbers": numbers_of(examination),
                    "affected": pack_affected(
                        (numbers[finding.name], finding.fixable)
                        for finding in examination.findings
                        if finding.status == AFFECTED
                    ),
                }
                for each, examination in done.items()
                if each in there
            ]
            upsert(session, EndpointVulnerabilities, rows, ("endpoint_id",))
        self._numbers = numbers

    def _numbered(self, session: Session, done: Iterable[Examination]) -> dict[str, int]:
        """The numbers of all vulnerabilities found, their rows brought to what the present feeds say."""
        new = {
            finding.name: finding
            for examination in done
            for finding in examination.findings
            if finding.status == AFFECTED and finding.name not in self._numbers
        }
        numbers = dict(self._numbers) if len(self._numbers) < 200_000 else {}
        names = sorted(new)
        for start in range(0, len(names), _CHUNK):
            some = names[start : start + _CHUNK]
            rows = [
                {
                    "name": name,
                    "summary": finding.summary,
                    "severity": finding.severity,
                    "rank": SEVERITIES.index(finding.severity),
                    "score": finding.score,
                    "published_at": finding.published_at,
                    "exploited_at": finding.exploited_at,
                }
                for name in some
                if (finding := new[name])
            ]
            upsert(session, Vulnerability, rows, ("name",))
            query = select(Vulnerability.name, Vulnerability.id).where(Vulnerability.name.in_(some))
            numbers.update((row.name, row.id) for row in session.execute(query))
        return numbers

    def _count(self) -> None:
        with self._state.read() as session:
            tallies = _tallies(session)
        now = self._now()
        rows = [
            {"agency_id": agency, "simulated": simulated, "body": body, "counted_at": now}
            for (agency, simulated), body in tallies.items()
        ]
        with self._state.write() as session:
            session.execute(delete(VulnerabilityTally))
            upsert(session, VulnerabilityTally, rows, ("agency_id", "simulated"))
        self._counted, self._uncounted = self._monotonic(), False


def numbers_of(examination: Examination) -> dict[str, Any]:
    """What a list of machines shows of one: how many are ``affected``, ``fixable``, ``exploited``, ``unknown``; …"""
    affected = [each for each in examination.findings if each.status == AFFECTED]
    doubtful = sum(each.status == UNKNOWN for each in examination.findings)
    return {
        "affected": len(affected),
        "fixable": sum(each.fixable for each in affected),
        "exploited": sum(each.exploited_at is not None for each in affected),
        "unknown": doubtful + len(examination.unknown),
        "packages": examination.packages,
        "severities": dict(Counter(each.severity for each in affected)),
        "parameters": dict(examination.parameters),
    }


_SIGNS: Final = select(
    select(func.count()).select_from(Endpoint).scalar_subquery(),
    *(
        select(column).where(Document.kind == kind).scalar_subquery()
        for kind in ("host", "software")
        for column in (func.count(), func.max(Document.changed_at))
    ),
)


def _due(session: Session, stamp: str) -> list[str]:
    """Endpoints whose result is not that of their present documents and feeds, the newest change first."""
    changed: dict[str, dict[str, datetime]] = {}
    for kind in ("software", "host"):
        query = select(Document.endpoint_id, Document.changed_at).where(Document.kind == kind)
        changed[kind] = {row.endpoint_id: row.changed_at for row in session.execute(query)}
    columns = (
        EndpointVulnerabilities.endpoint_id,
        EndpointVulnerabilities.software_at,
        EndpointVulnerabilities.host_at,
        EndpointVulnerabilities.feeds,
    )
    done = {row[0]: tuple(row[1:]) for row in session.execute(select(*columns))}
    if not stamp and not done:
        return []
    ids = session.scalars(select(Endpoint.id).where(Endpoint.retired_at.is_(None)))
    due = [
        each
        for each in ids
        if done.get(each) != (changed["software"].get(each), changed["host"].get(each), stamp)
    ]
    newest = {each: changed["software"].get(each) or changed["host"].get(each) for each in due}
    return sorted(due, key=lambda each: ((when := newest[each]) is None, -when.timestamp() if when else 0.0))


def _documents(
    session: Session, endpoint_id: str
) -> dict[str, tuple[dict[str, Any] | None, datetime | None]]:
    query = select(Document.kind, Document.body, Document.changed_at).where(
        Document.endpoint_id == endpoint_id, Document.kind.in_(("host", "software")), Document.item == ""
    )
    found = {row.kind: (row.body, row.changed_at) for row in session.execute(query)}
    return {kind: found.get(kind, (None, None)) for kind in ("host", "software")}


def _tallies(session: Session) -> dict[tuple[int, bool], bytes]:
    """How many machines have what, by agency (0: all) and whether they are simulated."""
    query = (
        select(EndpointVulnerabilities.affected, Endpoint.simulated, Assignment.agency_id)
        .join(Endpoint, Endpoint.id == EndpointVulnerabilities.endpoint_id)
        .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
        .where(Endpoint.retired_at.is_(None))
    )
    counters: dict[tuple[int, bool], Counter[int]] = defaultdict(Counter)
    for affected, simulated, agency in session.execute(query).yield_per(500):
        values = unpack_affected(affected)
        counters[0, simulated].update(values)
        if agency is not None:
            counters[agency, simulated].update(values)
    return {key: pack_tally(_paired(counter)) for key, counter in counters.items()}


def _paired(counter: Counter[int]) -> dict[int, tuple[int, int]]:
    paired: dict[int, tuple[int, int]] = {}
    for value, machines in counter.items():
        every, fixable = paired.get(value >> 1, (0, 0))
        paired[value >> 1] = (every + machines, fixable + (machines if value & 1 else 0))
    return paired
