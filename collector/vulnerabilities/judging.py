"""One installed version against what a feed says of its package.

The distribution's own fixed version decides, in the distribution's own order of versions: a fix that was carried back
to an old version counts as what it is, and upstream's version numbers have no say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.vulnerabilities.models import AFFECTED, FIXED, UNKNOWN, Interval
from collector.vulnerabilities.versions import VersionError, parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_MODULE = ".module"


@dataclass(frozen=True, slots=True)
class Statement:
    """What an advisory says of one package."""

    names: tuple[str, ...]
    feed: str
    intervals: tuple[Interval, ...]
    record_id: str
    summary: str
    severity: str
    score: float | None
    published_at: datetime | None
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """``fixed``: the version that ends it, empty where there is none (yet). ``reason``: why it is unknown."""

    statement: Statement
    status: str
    fixed: str = ""
    reason: str = ""


def judge(scheme: str, version: str, statements: Iterable[Statement]) -> list[Verdict]:
    """A verdict for every statement that concerns this version; one that is not about it (yet, or any more) says
    nothing.

    Raises:
        VersionError: the installed version is none, so that nothing can be said at all.
    """
    installed = parse_version(scheme, version)
    found = (_judge_one(scheme, version, installed, each) for each in statements)
    return [verdict for verdict in found if verdict is not None]


def _judge_one(scheme: str, version: str, installed: Any, statement: Statement) -> Verdict | None:
    best: Verdict | None = None
    for interval in statement.intervals:
        try:
            verdict = _judge_interval(scheme, version, installed, statement, interval)
        except VersionError:
            verdict = Verdict(statement, UNKNOWN, reason="version_unreadable")
        if verdict is not None and verdict.status == AFFECTED:
            return verdict
        if verdict is not None and (best is None or verdict.status == UNKNOWN):
            best = verdict
    return best


def _judge_interval(
    scheme: str, version: str, installed: Any, statement: Statement, interval: Interval
) -> Verdict | None:
    bound = interval.fixed or interval.last
    if scheme == "rpm" and bound:
        of_module = _MODULE in bound
        if of_module != (_MODULE in version):
            return None
        if of_module and _stream(bound) != _stream(version):
            return Verdict(statement, UNKNOWN, reason="other_module_stream")
    if interval.introduced != "0" and installed < parse_version(scheme, interval.introduced):
        return None
    if interval.fixed:
        if installed < parse_version(scheme, interval.fixed):
            return Verdict(statement, AFFECTED, interval.fixed)
        return Verdict(statement, FIXED, interval.fixed)
    if interval.last and _is_behind(scheme, version, installed, interval.last):
        return None
    return Verdict(statement, AFFECTED)


def _is_behind(scheme: str, version: str, installed: Any, last: str) -> bool:
    """Whether the version comes after the last affected one. Makers of Windows programs put a build behind the numbers
    that the NVD speaks of: 3.0.1.5 is a 3.0.1."""
    if scheme == "numbers":
        installed = parse_version(scheme, ".".join(version.split(".")[: last.count(".") + 1]))
    return bool(installed > parse_version(scheme, last))


def _stream(version: str) -> list[str]:
    """What streams of a module differ by, as far as a version tells: the first two numbers of upstream's."""
    return version.rpartition(":")[2].partition("-")[0].split(".")[:2]
