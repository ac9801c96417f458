"""Takes a feed's file into the state store.

The records go in beside what is in use, in many short transactions, so that nobody who writes waits long; one last
transaction puts the new feed in the place of the old one of its name. Until then nothing of it is seen; what an import
that was killed has left is taken away by the next one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select, update

from collector.state.base import utcnow
from collector.state.tables import Advisory, AdvisoryPackage, VulnerabilityFeed
from collector.vulnerabilities.errors import FeedError, FeedNotFoundError
from collector.vulnerabilities.reading import read_feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from collector.state.database import StateStore
    from collector.vulnerabilities import models

LOADING, CURRENT, OLD = "loading", "current", "old"
#: Rows in one transaction: some 50 ms of the write lock.
_ROWS: Final = 2000
#: An import that has not moved for so long was killed.
_GIVEN_UP: Final = timedelta(hours=1)
_FAULTS_KEPT: Final = 50
_LONGEST_FAULT: Final = 500
#: A file in which more cannot be read is not the feed that it is taken for.
_MOST_REFUSED: Final = 0.1
#: One with a smaller share of the records of the one in use is cut short, or another one.
_FEWEST_KEPT: Final = 0.5
_FORCE: Final = "; nothing is changed. If that is what you mean: --force"


@dataclass
class Imported:
    """What came of one file. ``unchanged``: it is in use already. ``faults`` name the first records that could not be
    read, with file and place."""

    name: str
    kind: str
    file: str
    records: int = 0
    left_out: int = 0
    refused: int = 0
    newest_at: datetime | None = None
    unchanged: bool = False
    faults: list[str] = field(default_factory=list)


def import_feed(
    state: StateStore,
    path: Path,
    by: str,
    *,
    name: str = "",
    force: bool = False,
    now: Callable[[], datetime] = utcnow,
    progress: Callable[[int], None] = lambda _records: None,
) -> Imported:
    """Bring ``path`` in under ``name``; without one under its kind and what it is about (``osv-debian``, ``kev``, for
    the NVD its file's name). ``progress`` is told how many records have been read. ``force``: also a feed of which much
    cannot be read, or with far fewer records than the one in use.

    Raises:
        FeedError: it is no feed, nothing in it is for us, or it needs ``force``; what was in use stays so.
    """
    kind, records = read_feed(path)
    sha256 = _sha256(path)
    clear_leftovers(state, now())
    with state.read() as session:
        same = session.scalars(
            select(VulnerabilityFeed).where(
                VulnerabilityFeed.state == CURRENT, VulnerabilityFeed.sha256 == sha256
            )
        ).first()
        if same is not None and name in ("", same.name):
            return _result_of(same, unchanged=True)
    result = Imported(name, kind, path.name)
    feed_id = _begin(state, kind, path.name, sha256, by, now())
    try:
        ecosystems = _load(state, feed_id, records, result, now, progress)
        _demand_sense(path, result, force=force)
        result.name = name or _name(kind, path, ecosystems)
        _put_in_place(state, feed_id, path, result, now(), force=force)
    except BaseException:
        with state.write() as session:
            session.execute(_of(feed_id).values(state=OLD))
        _take_away(state, feed_id)
        raise
    clear_leftovers(state, now())
    return result


def remove_feed(state: StateStore, name: str) -> None:
    """Take a feed out of use.

    Raises:
        FeedNotFoundError: there is none of this name.
    """
    with state.write() as session:
        row = session.scalars(
            select(VulnerabilityFeed).where(
                VulnerabilityFeed.state == CURRENT, VulnerabilityFeed.name == name
            )
        ).first()
        if row is None:
            raise FeedNotFoundError(f"no feed {name!r}: see them with `vonggac vulnerabilities show`")
        row.state = OLD
    _take_away(state, row.id)


def clear_leftovers(state: StateStore, now: datetime) -> None:
    """Take away what is replaced, and what an import that was killed has left."""
    killed = (VulnerabilityFeed.state == LOADING) & (VulnerabilityFeed.touched_at < now - _GIVEN_UP)
    with state.read() as session:
        found = session.scalars(
            select(VulnerabilityFeed.id).where((VulnerabilityFeed.state == OLD) | killed)
        ).all()
    for feed_id in found:
        _take_away(state, feed_id)


def _load(
    state: StateStore,
    feed_id: int,
    records: Iterator[Any],
    result: Imported,
    now: Callable[[], datetime],
    progress: Callable[[int], None],
) -> set[str]:
    """Put the records in; return the systems (``debian``, …) that they are about."""
    waiting: list[models.Advisory] = []
    rows = read = 0
    systems: set[str] = set()
    for read, each in enumerate(records, 1):
        if each.fault:
            result.refused += 1
            if len(result.faults) < _FAULTS_KEPT:
                result.faults.append(f"{each.place}: {each.fault}"[:_LONGEST_FAULT])
        elif each.advisory is None:
            result.left_out += 1
        else:
            result.records += 1
            waiting.append(each.advisory)
            rows += 1 + len(each.advisory.packages)
            systems.update(package.ecosystem.partition(":")[0] for package in each.advisory.packages)
            moment = each.advisory.modified_at
            if moment is not None and (result.newest_at is None or moment > result.newest_at):
                result.newest_at = moment
        if rows >= _ROWS:
            _put(state, feed_id, waiting, now())
            waiting, rows = [], 0
            progress(read)
    _put(state, feed_id, waiting, now())
    progress(read)
    return systems


def _put(state: StateStore, feed_id: int, advisories: list[models.Advisory], now: datetime) -> None:
    if not advisories:
        return
    with state.write() as session:
        first = (session.scalar(select(func.max(Advisory.id))) or 0) + 1
        session.execute(
            insert(Advisory),
            [
                {
                    "id": number,
                    "feed_id": feed_id,
                    "record_id": each.record_id,
                    "names": list(each.names),
                    "summary": each.summary,
                    "severity": each.severity,
                    "score": each.score,
                    "published_at": each.published_at,
                    "modified_at": each.modified_at,
                    "exploited_at": each.exploited_at,
                }
                for number, each in enumerate(advisories, first)
            ],
        )
        packages = [
            {
                "advisory_id": number,
                "feed_id": feed_id,
                "ecosystem": package.ecosystem,
                "package": package.package,
                "intervals": [[i.introduced, i.fixed, i.last] for i in package.intervals],
            }
            for number, each in enumerate(advisories, first)
            for package in each.packages
        ]
        if packages:
            session.execute(insert(AdvisoryPackage), packages)
        session.execute(_of(feed_id).values(touched_at=now))


def _demand_sense(path: Path, result: Imported, *, force: bool) -> None:
    first = f"; the first: {result.faults[0]}" if result.faults else ""
    every = result.records + result.refused
    if result.refused > _MOST_REFUSED * every and not (force and result.records):
        hint = _FORCE if result.records else ""
        raise FeedError(f"{path}: {result.refused:,} of its {every:,} records cannot be read{first}{hint}")
    if not result.records:
        raise FeedError(
            f"{path}: nothing in it is for the systems that are known here (Debian, Ubuntu, AlmaLinux, Rocky Linux, Red"
            f" Hat Enterprise Linux, the NVD, CISA's catalogue){first}"
        )


def _put_in_place(
    state: StateStore, feed_id: int, path: Path, result: Imported, now: datetime, *, force: bool
) -> None:
    with state.write() as session:
        present = session.scalar(
            select(VulnerabilityFeed.records).where(
                VulnerabilityFeed.name == result.name, VulnerabilityFeed.state == CURRENT
            )
        )
        if present is not None and result.records < _FEWEST_KEPT * present and not force:
            raise FeedError(
                f"{path}: it has {result.records:,} records, the feed {result.name} in use has {present:,}{_FORCE}"
            )
        session.execute(
            update(VulnerabilityFeed)
            .where(VulnerabilityFeed.name == result.name, VulnerabilityFeed.state == CURRENT)
            .values(state=OLD)
        )
        session.execute(
            _of(feed_id).values(
                name=result.name,
                state=CURRENT,
                newest_at=result.newest_at,
                imported_at=now,
                records=result.records,
                left_out=result.left_out,
                refused=result.refused,
                faults=result.faults,
            )
        )


def _take_away(state: StateStore, feed_id: int) -> None:
    for table in (AdvisoryPackage, Advisory):
        gone = True
        while gone:
            with state.write() as session:
                some = select(table.id).where(table.feed_id == feed_id).limit(_ROWS)
                ids = session.scalars(some).all()
                if ids:
                    session.execute(delete(table).where(table.feed_id == feed_id, table.id.in_(ids)))
            gone = len(ids) == _ROWS
    with state.write() as session:
        session.execute(delete(VulnerabilityFeed).where(VulnerabilityFeed.id == feed_id))


def _begin(state: StateStore, kind: str, file: str, sha256: str, by: str, now: datetime) -> int:
    with state.write() as session:
        feed = VulnerabilityFeed(
            name="",
            kind=kind,
            state=LOADING,
            file=file,
            sha256=sha256,
            newest_at=None,
            imported_at=now,
            imported_by=by,
            touched_at=now,
        )
        session.add(feed)
        session.flush()
        return feed.id


def _of(feed_id: int) -> Any:
    return update(VulnerabilityFeed).where(VulnerabilityFeed.id == feed_id)


def _name(kind: str, path: Path, systems: set[str]) -> str:
    if kind == "osv":
        return "-".join(["osv", *sorted(systems)])
    if kind == "kev":
        return "kev"
    stem = path.name.partition(".json")[0].partition(".zip")[0].lower()
    return "nvd-" + "".join(char if char.isalnum() or char in "-._" else "-" for char in stem)[:60]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _result_of(feed: VulnerabilityFeed, *, unchanged: bool) -> Imported:
    return Imported(
        feed.name,
        feed.kind,
        feed.file,
        feed.records,
        feed.left_out,
        feed.refused,
        feed.newest_at,
        unchanged,
        list(feed.faults),
    )
