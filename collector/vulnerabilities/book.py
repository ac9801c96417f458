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
#: Bytes of outlines that are remembered, some 200,000 of real packages; then it begins anew.
_MOST_REMEMBERED: Final = 128 << 20
#: Bytes of an outline beside its numbers: with its key, whose texts are an agent's words of up to 255 characters.
_OUTLINE_BYTES: Final = 600
#: Ranges that are compared for one machine: a release's feed has some 50,000, and a kernel's of them counts again for
#: each kernel that is installed. Takes some seconds at most.
_MOST_COMPARED: Final = 100_000
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

    __slots__ = ("ended", "open", "unknown", "unreadable", "weight")

    def __init__(
        self, verdicts: list[Verdict] | None, weight: int, number: Callable[[str, Statement], int]
    ) -> None:
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
        #: What it takes of a machine's :class:`Budget`.
        self.weight = weight

    def size(self) -> int:
        """About how many bytes it takes to remember it."""
        return _OUTLINE_BYTES + 4 * (len(self.ended) + len(self.open) + len(self.unknown))


class Budget:
    """What may be compared for one machine, so that none can stop the others by what it says is installed."""

    def __init__(self) -> None:
        self._left = _MOST_COMPARED

    def spend(self, weight: int) -> bool:
        """Whether there was room for so many ranges. What is too large is left out; smaller ones may follow."""
        if weight > self._left:
            return False
        self._left -= weight
        return True


class Book:
    """What was worked out is remembered in few bytes, for machines have most packages and versions in common.

    Not for several threads. :meth:`turn_to` must be called in each transaction before anything is asked.
    """

    def __init__(self) -> None:
        self._feeds: dict[int, str] = {}
        self._nvd: frozenset[int] = frozenset()
        self._covered: dict[str, bool] = {}
        self._outlines: dict[tuple[str, str, str], Outline] = {}
        self._size = 0
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
        if stamp != self.stamp:
            self._covered, self._outlines, self._numbers, self._statements = {}, {}, {}, {}
            self._size, self.names = 0, []
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
    ) -> list[Outline | None]:
        """What the feeds come to for these packages and versions of one machine, in their order; None where they are
        more than its :class:`Budget`."""
        if self._size > _MOST_REMEMBERED:
            self._outlines, self._size = {}, 0
        keys = [(ecosystem, *each) for each in installed]
        new = {package for _, package, version in keys if (ecosystem, package, version) not in self._outlines}
        statements = self.statements(session, ecosystem, new)
        budget = Budget()
        return [self._outline(key, statements.get(key[1], ()), budget) for key in keys]

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

    def _outline(
        self, key: tuple[str, str, str], said: Sequence[Statement], budget: Budget
    ) -> Outline | None:
        outline = self._outlines.get(key)
        weight = weight_of(said) if outline is None else outline.weight
        if not budget.spend(weight):
            return None
        if outline is None:
            outline = Outline(verdicts_of(key[0], key[2], said), weight, self._number)
            self._outlines[key] = outline
            self._size += outline.size()
        return outline

    def _number(self, name: str, statement: Statement) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = len(self.names)
            self.names.append(name)
            self._statements[name] = statement
            self._numbers[name] = number
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


def weight_of(statements: Sequence[Statement]) -> int:
    """How many ranges a version is compared with."""
    return sum(len(each.intervals) for each in statements)


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
