"""The feeds in use, as the matching asks them."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from collector.state.tables import Advisory, AdvisoryPackage, VulnerabilityFeed
from collector.vulnerabilities.ecosystems import scheme_of
from collector.vulnerabilities.importing import CURRENT
from collector.vulnerabilities.judging import Statement, Verdict, judge
from collector.vulnerabilities.models import AFFECTED, FIXED, Interval, graver
from collector.vulnerabilities.versions import VersionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

_CHUNK: Final = 300
#: Outlines that are remembered, of half a KB each; then it begins anew.
_MOST_REMEMBERED: Final = 200_000
_CVE: Final = re.compile(r"CVE-[0-9]{4}-[0-9]{4,9}")
#: Distributions that have a record of their own for each CVE, named like this.
_OWN_RECORDS: Final = ("DEBIAN-", "UBUNTU-")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a vulnerability itself, wherever it is."""

    severity: str
    score: float | None
    summary: str
    published_at: datetime | None
    exploited_at: datetime | None


class Outline:
    """What a feed's records come to for one version of a package, in numbers of :attr:`Book.names`."""

    __slots__ = ("ended", "open", "unknown", "unreadable")

    def __init__(self, verdicts: list[Verdict] | None, number: Callable[[str, Statement], int]) -> None:
        ended: set[int] = set()
        affected: set[int] = set()
        unknown: set[int] = set()
        for verdict in verdicts or ():
            if verdict.status != FIXED:
                numbers = {number(name, verdict.statement) for name in verdict.statement.names}
                (affected if verdict.status == AFFECTED else unknown).update(numbers)
                if verdict.fixed and verdict.status == AFFECTED:
                    ended |= numbers
        #: What an update ends, what none ends yet, and what cannot be told.
        self.ended, self.open, self.unknown = (
            array("I", sorted(some)) for some in (ended, affected - ended, unknown)
        )
        self.unreadable = verdicts is None


class Book:
    """What was worked out is remembered in few bytes, for machines have most packages and versions in common.

    Not for several threads. :meth:`turn_to` must be called in each transaction before anything is asked.
    """

    def __init__(self) -> None:
        self._feeds: dict[int, str] = {}
        self._nvd: frozenset[int] = frozenset()
        self._covered: dict[str, bool] = {}
        self._outlines: dict[tuple[str, str, str], Outline] = {}
        self._numbers: dict[str, int] = {}
        #: Of names of which :meth:`known` has not been asked yet.
        self._statements: dict[str, Statement] = {}
        #: Names of vulnerabilities by their numbers in outlines; begins anew with other feeds.
        self.names: list[str] = []
        #: Which feeds are meant: their ids. Another one whenever one is imported or removed; empty without feeds.
        self.stamp = ""

    def turn_to(self, session: Session) -> None:
        """See the feeds that are in use now."""
        query = select(VulnerabilityFeed.id, VulnerabilityFeed.name, VulnerabilityFeed.kind)
        rows = session.execute(query.where(VulnerabilityFeed.state == CURRENT)).all()
        stamp = stamp_of(row.id for row in rows)
        if stamp != self.stamp or len(self._outlines) > _MOST_REMEMBERED:
            self._covered, self._outlines, self._numbers, self._statements = {}, {}, {}, {}
            self.names = []
        self.stamp = stamp
        self._feeds = {row.id: row.name for row in rows}
        self._nvd = frozenset(row.id for row in rows if row.kind == "nvd")

    def covers(self, session: Session, ecosystem: str) -> bool:
        """Whether any feed speaks of it: else nothing can be said of its machines."""
        if ecosystem not in self._covered:
            some = select(AdvisoryPackage.id).where(
                AdvisoryPackage.ecosystem == ecosystem, AdvisoryPackage.feed_id.in_(self._feeds)
            )
            self._covered[ecosystem] = session.execute(some.limit(1)).first() is not None
        return self._covered[ecosystem]

    def outlines(
        self, session: Session, ecosystem: str, installed: Iterable[tuple[str, str]]
    ) -> list[Outline]:
        """What the feeds come to for these packages and versions, in their order."""
        keys = [(ecosystem, *each) for each in installed]
        new = [key for key in keys if key not in self._outlines]
        statements = self.statements(session, ecosystem, (package for _, package, _ in new))
        for key in new:
            verdicts = verdicts_of(ecosystem, key[2], statements.get(key[1], ()))
            self._outlines[key] = Outline(verdicts, self._number)
        return [self._outlines[key] for key in keys]

    def statements(
        self, session: Session, ecosystem: str, packages: Iterable[str]
    ) -> dict[str, list[Statement]]:
        """All that is said of these packages; remembered by nobody."""
        wanted = sorted(set(packages))
        found: dict[str, list[Statement]] = defaultdict(list)
        for start in range(0, len(wanted), _CHUNK):
            for package, statement in self._read(session, ecosystem, wanted[start : start + _CHUNK]):
                found[package].append(statement)
        return found

    def known(self, session: Session, named: Mapping[str, Statement]) -> dict[str, Known]:
        """What is known of these vulnerabilities; each with a statement that named it."""
        found: dict[str, Known] = {}
        wanted = sorted(named)
        for start in range(0, len(wanted), _CHUNK):
            found |= self._look_up(session, {name: named[name] for name in wanted[start : start + _CHUNK]})
        return found

    def newly_named(self, names: Iterable[str]) -> dict[str, Statement]:
        """The statements that have named these since they were last asked for here."""
        return {name: self._statements.pop(name) for name in names if name in self._statements}

    def _number(self, name: str, statement: Statement) -> int:
        number = self._numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
            self._statements[name] = statement
        return number

    def _look_up(self, session: Session, named: Mapping[str, Statement]) -> dict[str, Known]:
        records = {
            f"{prefix}{name}": name
            for name in named
            if _CVE.fullmatch(name)
            for prefix in ("", *_OWN_RECORDS)
        }
        query = select(Advisory).where(Advisory.record_id.in_(records), Advisory.feed_id.in_(self._feeds))
        rows: dict[str, list[Advisory]] = defaultdict(list)
        for row in session.scalars(query.order_by(Advisory.record_id, Advisory.id)):
            rows[records[row.record_id]].append(row)
        return {name: _known(rows[name], self._nvd, statement) for name, statement in named.items()}

    def _read(self, session: Session, ecosystem: str, packages: list[str]) -> Iterator[tuple[str, Statement]]:
        query = (
            select(
                AdvisoryPackage.package,
                AdvisoryPackage.intervals,
                Advisory.feed_id,
                Advisory.names,
                Advisory.record_id,
                Advisory.summary,
                Advisory.severity,
                Advisory.score,
                Advisory.published_at,
                Advisory.modified_at,
            )
            .join(Advisory, Advisory.id == AdvisoryPackage.advisory_id)
            .where(
                AdvisoryPackage.ecosystem == ecosystem,
                AdvisoryPackage.package.in_(packages),
                AdvisoryPackage.feed_id.in_(self._feeds),
            )
            .order_by(Advisory.record_id, Advisory.id)
        )
        for package, intervals, feed, names, *rest in session.execute(query):
            ranges = tuple(Interval(*each) for each in intervals)
            yield package, Statement(tuple(names), self._feeds[feed], ranges, *rest)


def stamp_of(feeds: Iterable[int]) -> str:
    """What stands for a choice of feeds."""
    return ",".join(map(str, sorted(feeds)))


def verdicts_of(ecosystem: str, version: str, statements: Sequence[Statement]) -> list[Verdict] | None:
    """What is said of this version; None where something is said of the package, but the version is none."""
    if not statements:
        return []
    try:
        return judge(scheme_of(ecosystem), version, statements)
    except VersionError:
        return None


def _known(rows: list[Advisory], nvd: frozenset[int], statement: Statement) -> Known:
    """The NVD's score is the same measure for all systems, so it decides; but where every distribution that says
    something says that it does no harm there, that stands."""
    own = [row for row in rows if row.feed_id not in nvd and row.exploited_at is None]
    theirs = [row for row in rows if row.feed_id in nvd]
    severity, score = statement.severity, statement.score
    for row in own:
        severity = graver(severity, row.severity) if severity != "unknown" else row.severity
        score = max((each for each in (score, row.score) if each is not None), default=None)
    scored = next((row for row in theirs if row.score is not None), None)
    if scored is not None and severity != "none":
        severity, score = scored.severity, scored.score
    exploited = [row.exploited_at for row in rows if row.exploited_at is not None]
    published = [row.published_at for row in (*theirs, *own) if row.published_at is not None]
    summaries = [row.summary for row in (*theirs, *own) if row.summary]
    return Known(
        severity,
        score,
        summaries[0] if summaries else statement.summary,
        published[0] if published else statement.published_at,
        min(exploited) if exploited else None,
    )
