"""The feeds in use, as the matching asks them."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from collector.state.tables import Advisory, AdvisoryPackage, VulnerabilityFeed
from collector.vulnerabilities.ecosystems import scheme_of
from collector.vulnerabilities.importing import CURRENT
from collector.vulnerabilities.judging import Statement, Verdict, judge
from collector.vulnerabilities.models import FIXED, Interval, graver
from collector.vulnerabilities.versions import VersionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

_CHUNK: Final = 300
#: Statements and verdicts that are remembered: some hundred MB at most; then it begins anew.
_MOST_REMEMBERED: Final = 400_000
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


class Book:
    """Read as it is asked and remembered, for machines have most packages in common.

    Not for several threads. :meth:`turn_to` must be called in each transaction before anything is asked.
    """

    def __init__(self) -> None:
        self._feeds: dict[int, str] = {}
        self._nvd: frozenset[int] = frozenset()
        self._covered: dict[str, bool] = {}
        self._statements: dict[tuple[str, str], list[Statement]] = {}
        self._verdicts: dict[tuple[str, str, str], list[Verdict] | None] = {}
        self._known: dict[str, Known] = {}
        self._remembered = 0
        #: Which feeds are meant: their ids. Another one whenever one is imported or removed; empty without feeds.
        self.stamp = ""

    def turn_to(self, session: Session) -> None:
        """See the feeds that are in use now."""
        query = select(VulnerabilityFeed.id, VulnerabilityFeed.name, VulnerabilityFeed.kind)
        rows = session.execute(query.where(VulnerabilityFeed.state == CURRENT)).all()
        stamp = ",".join(str(row.id) for row in sorted(rows))
        if stamp != self.stamp or self._remembered > _MOST_REMEMBERED:
            self._forget()
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

    def open_at(self, session: Session, ecosystem: str, packages: Iterable[str]) -> None:
        """Read what is said of these packages, where that is not known yet."""
        wanted = sorted({name for name in packages if (ecosystem, name) not in self._statements})
        for start in range(0, len(wanted), _CHUNK):
            self._read(session, ecosystem, wanted[start : start + _CHUNK])

    def verdicts(self, ecosystem: str, package: str, version: str) -> list[Verdict] | None:
        """What is said of this version, without what it is fixed for; None where it is said of, but is no version. The
        package must have been opened at."""
        key = (ecosystem, package, version)
        if key not in self._verdicts:
            found = self.all_verdicts(*key)
            kept = None if found is None else [each for each in found if each.status != FIXED]
            self._verdicts[key] = kept
            self._remembered += 1 + len(kept or ())
        return self._verdicts[key]

    def all_verdicts(self, ecosystem: str, package: str, version: str) -> list[Verdict] | None:
        """As :meth:`verdicts`, with what it is fixed for."""
        statements = self._statements.get((ecosystem, package))
        if not statements:
            return []
        try:
            return judge(scheme_of(ecosystem), version, statements)
        except VersionError:
            return None

    def known(self, session: Session, named: Mapping[str, Statement]) -> dict[str, Known]:
        """What is known of these vulnerabilities; each with a statement that named it."""
        wanted = sorted(name for name in named if name not in self._known)
        for start in range(0, len(wanted), _CHUNK):
            self._look_up(session, {name: named[name] for name in wanted[start : start + _CHUNK]})
        return {name: self._known[name] for name in named}

    def _look_up(self, session: Session, named: dict[str, Statement]) -> None:
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
        for name, statement in named.items():
            self._known[name] = _known(rows[name], self._nvd, statement)
            self._remembered += 1

    def _read(self, session: Session, ecosystem: str, packages: list[str]) -> None:
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
        found: dict[str, list[Statement]] = defaultdict(list)
        for package, intervals, feed, names, *rest in session.execute(query):
            ranges = tuple(Interval(*each) for each in intervals)
            found[package].append(Statement(tuple(names), self._feeds[feed], ranges, *rest))
        for package in packages:
            self._statements[ecosystem, package] = found.get(package, [])
            self._remembered += 1 + len(self._statements[ecosystem, package])

    def _forget(self) -> None:
        for memory in (self._covered, self._statements, self._verdicts, self._known):
            memory.clear()
        self._remembered = 0


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
