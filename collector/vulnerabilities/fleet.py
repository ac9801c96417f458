"""Keeps what every machine has up to date, in small pieces: when its documents have changed, and when a feed has.

What is due is found by comparing times in an index, without any document's body. A piece is read and judged without
holding up anybody and written in one short transaction; one that is done again comes to the same, so that several
processes may do this at once and one that is killed loses nothing.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError

from collector.identity.links import succeeded
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
from collector.vulnerabilities.exploited import tell
from collector.vulnerabilities.matching import machine_of, summarise
from collector.vulnerabilities.models import SEVERITIES
from collector.vulnerabilities.packing import pack_affected, pack_tally, unpack_affected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.database import StateStore
    from collector.vulnerabilities.book import Known
    from collector.vulnerabilities.matching import Summary

log = logging.getLogger("vonggac.vulnerabilities")

#: Machines in one piece: their software is some hundred KB each.
_PIECE: Final = 25
#: A piece ends earlier when it has taken so long: between two pieces the process gives its sign of life.
_PIECE_SECONDS: Final = 2.0
#: A machine that cannot be matched is tried again when its documents or the feeds have changed, or after so long.
_ASIDE_SECONDS: Final = 3600.0
#: Whatever the quick look says, everything is compared this often; machines change their agency, too.
_THOROUGH_SECONDS: Final = 600.0
#: Making the sums anew may take up this share of the time: where there are few machines it is done at once, where
#: there are many it waits.
_COUNT_SHARE: Final = 0.05
_CHUNK: Final = 300
#: Names of which the numbers in the state store are remembered.
_MOST_IDS: Final = 300_000
_KINDS: Final = ("host", "software")
#: Machines that belong to no agency, while counting.
_NOBODYS: Final = -1
#: When ``software`` and ``host`` changed, and the feeds: what a result depends on.
_Signs = tuple["datetime | None", "datetime | None", str]


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
        self._compared = self._next_count = float("-inf")
        self._uncounted = True
        #: The ids of vulnerabilities whose row says what the feeds ``_ids_of`` say.
        self._ids: dict[str, int] = {}
        self._ids_of = ""
        #: What machines that could not be matched depended on, and until when that stands.
        self._aside: dict[str, tuple[_Signs, float]] = {}

    def turn(self) -> int:
        """Do one piece; return how many machines it was. 0: all is done for now.

        Raises what the state store raises; nothing is lost by calling again. A machine that anything else goes wrong
        with is set aside and logged, and the others go on.
        """
        if not self._due:
            self._look()
        piece, self._due = self._due[:_PIECE], self._due[_PIECE:]
        done = 0
        if piece:
            try:
                done = self._examine(piece)
            except BaseException:
                # What was read for these must be read again with them.
                self._due, self._book = piece + self._due, Book()
                raise
            self._due = piece[done:] + self._due
            self._uncounted = True
        if self._uncounted and self._monotonic() >= self._next_count:
            self._count()
        return done

    @property
    def waiting(self) -> int:
        """Machines that are due and have not had their turn."""
        return len(self._due)

    @property
    def aside(self) -> int:
        """Machines that could not be matched."""
        return len(self._aside)

    def _look(self) -> None:
        moment = self._monotonic()
        with self._state.read() as session:
            self._book.turn_to(session)
            signs = (self._book.stamp, *session.execute(_SIGNS).one())
            if signs == self._seen and moment - self._compared < _THOROUGH_SECONDS:
                return
            due = _due(session, self._book.stamp)
        self._aside = {
            each: (signs_then, until)
            for each, (signs_then, until) in self._aside.items()
            if moment < until and due.get(each) == signs_then
        }
        self._due = [each for each in due if each not in self._aside]
        self._seen, self._compared, self._uncounted = signs, moment, True

    def _examine(self, endpoint_ids: list[str]) -> int:
        began, taken = self._monotonic(), 0
        with self._state.read() as session:
            self._book.turn_to(session)
            stamp, names = self._book.stamp, self._book.names
            changed: dict[str, tuple[datetime | None, datetime | None]] = {}
            done: dict[str, Summary] = {}
            for each in endpoint_ids:
                if taken and self._monotonic() - began > _PIECE_SECONDS:
                    break
                taken += 1
                try:
                    bodies, times = _documents(session, each)
                    machine = machine_of(session, self._book, bodies["host"], bodies["software"])
                    done[each] = summarise(session, self._book, machine)
                    changed[each] = (times["software"], times["host"])
                except SQLAlchemyError:
                    raise
                except Exception:
                    log.exception("a machine cannot be matched and is set aside", extra={"endpoint": each})
                    self._aside[each] = ((*_times(session, each), stamp), self._monotonic() + _ASIDE_SECONDS)
            met = {names[number] for summary in done.values() for number in summary.affected}
            if stamp != self._ids_of or len(self._ids) > _MOST_IDS:
                self._ids, self._ids_of = {}, stamp
            known = self._book.known(session, self._book.newly_named(met))
        self._name(known, met)
        now = self._now()
        rows = [
            {
                "endpoint_id": each,
                "software_at": changed[each][0],
                "host_at": changed[each][1],
                "feeds": stamp,
                "examined_at": now,
                "reason": summary.reason,
                "numbers": _numbers(summary),
                "affected": pack_affected(
                    (self._ids[names[number]], number in summary.fixable) for number in summary.affected
                ),
            }
            for each, summary in done.items()
        ]
        with self._state.write() as session:
            there = set(session.scalars(select(Endpoint.id).where(Endpoint.id.in_(done))))
            rows = [row for row in rows if row["endpoint_id"] in there]
            tell(session, rows, now)
            upsert(session, EndpointVulnerabilities, rows, ("endpoint_id",))
        return taken

    def _name(self, known: Mapping[str, Known], met: Iterable[str]) -> None:
        """Bring the rows of vulnerabilities to what the present feeds say, and learn the ids of those that were met."""
        names = sorted(known)
        for start in range(0, len(names), _CHUNK):
            rows = [
                {
                    "name": name,
                    "summary": each.summary,
                    "severity": each.severity,
                    "rank": SEVERITIES.index(each.severity),
                    "score": each.score,
                    "published_at": each.published_at,
                    "exploited_at": each.exploited_at,
                }
                for name in names[start : start + _CHUNK]
                if (each := known[name])
            ]
            with self._state.write() as session:
                upsert(session, Vulnerability, rows, ("name",))
        wanted = sorted(name for name in met if name not in self._ids)
        for start in range(0, len(wanted), _CHUNK):
            some = wanted[start : start + _CHUNK]
            with self._state.read() as session:
                query = select(Vulnerability.name, Vulnerability.id).where(Vulnerability.name.in_(some))
                self._ids.update((row.name, row.id) for row in session.execute(query))

    def _count(self) -> None:
        began = self._monotonic()
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
        ended = self._monotonic()
        self._next_count, self._uncounted = ended + (ended - began) / _COUNT_SHARE, False


def _numbers(summary: Summary) -> dict[str, Any]:
    return {
        "affected": len(summary.affected),
        "fixable": len(summary.fixable),
        "unknown": summary.doubtful,
        "packages": summary.packages,
    }


#: Of all items, though only "" counts: it is enough that something has moved, and that is in an index.
_SIGNS: Final = select(
    select(func.count()).select_from(Endpoint).scalar_subquery(),
    *(
        select(column).where(Document.kind == kind).scalar_subquery()
        for kind in _KINDS
        for column in (func.count(), func.max(Document.changed_at))
    ),
)


def _due(session: Session, stamp: str) -> dict[str, _Signs]:
    """Endpoints whose result is not that of their present documents and feeds, the newest change first; and what the
    present ones are."""
    changed: dict[str, dict[str, datetime]] = {}
    for kind in ("software", "host"):
        query = select(Document.endpoint_id, Document.changed_at).where(
            Document.kind == kind, Document.item == ""
        )
        changed[kind] = {row.endpoint_id: row.changed_at for row in session.execute(query)}
    columns = (
        EndpointVulnerabilities.endpoint_id,
        EndpointVulnerabilities.software_at,
        EndpointVulnerabilities.host_at,
        EndpointVulnerabilities.feeds,
    )
    done = {row[0]: tuple(row[1:]) for row in session.execute(select(*columns))}
    if not stamp and not done:
        return {}
    ids = session.scalars(select(Endpoint.id).where(Endpoint.retired_at.is_(None)))
    due: dict[str, _Signs] = {
        each: signs
        for each in ids
        if done.get(each) != (signs := (changed["software"].get(each), changed["host"].get(each), stamp))
    }
    newest = {each: software or host for each, (software, host, _) in due.items()}
    order = sorted(due, key=lambda each: ((when := newest[each]) is None, -when.timestamp() if when else 0.0))
    return {each: due[each] for each in order}


def _times(session: Session, endpoint_id: str) -> tuple[datetime | None, datetime | None]:
    """When ``software`` and ``host`` changed."""
    query = select(Document.kind, Document.changed_at).where(
        Document.endpoint_id == endpoint_id, Document.kind.in_(_KINDS), Document.item == ""
    )
    times = {row.kind: row.changed_at for row in session.execute(query)}
    return times.get("software"), times.get("host")


def _documents(
    session: Session, endpoint_id: str
) -> tuple[dict[str, dict[str, Any] | None], dict[str, datetime | None]]:
    """Bodies, and when they changed; None where there is none."""
    query = select(Document.kind, Document.body, Document.changed_at).where(
        Document.endpoint_id == endpoint_id, Document.kind.in_(_KINDS), Document.item == ""
    )
    bodies: dict[str, dict[str, Any] | None] = dict.fromkeys(_KINDS)
    times: dict[str, datetime | None] = dict.fromkeys(_KINDS)
    for row in session.execute(query):
        bodies[row.kind], times[row.kind] = row.body, row.changed_at
    return bodies, times


def _tallies(session: Session) -> dict[tuple[int, bool], bytes]:
    """How many machines have what, by agency (0: all) and whether they are simulated."""
    query = (
        select(EndpointVulnerabilities.affected, Endpoint.simulated, Assignment.agency_id)
        .join(Endpoint, Endpoint.id == EndpointVulnerabilities.endpoint_id)
        .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
        .where(Endpoint.retired_at.is_(None), ~succeeded())
    )
    counters: dict[tuple[int, bool], Counter[int]] = defaultdict(Counter)
    for affected, simulated, agency in session.execute(query).yield_per(500):
        counters[_NOBODYS if agency is None else agency, simulated].update(unpack_affected(affected))
    every: dict[bool, Counter[int]] = defaultdict(Counter)
    for (_, simulated), counter in counters.items():
        every[simulated].update(counter)
    counters |= {(0, simulated): counter for simulated, counter in every.items()}
    return {key: pack_tally(_paired(counter)) for key, counter in counters.items() if key[0] != _NOBODYS}


def _paired(counter: Counter[int]) -> dict[int, tuple[int, int]]:
    paired: dict[int, tuple[int, int]] = {}
    for value, machines in counter.items():
        every, fixable = paired.get(value >> 1, (0, 0))
        paired[value >> 1] = (every + machines, fixable + (machines if value & 1 else 0))
    return paired
