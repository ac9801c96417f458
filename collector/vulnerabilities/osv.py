"""Records of OSV (https://ossf.github.io/osv-schema/) as the distributions are published there."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from collector.vulnerabilities.cvss import base_score, by_score, by_word
from collector.vulnerabilities.ecosystems import from_osv, scheme_of
from collector.vulnerabilities.errors import RecordError
from collector.vulnerabilities.models import Advisory, AffectedPackage, Interval, graver
from collector.vulnerabilities.versions import VersionError, parse_version

CVE: Final = re.compile(r"CVE-[0-9]{4}-[0-9]{4,9}")
_CVE_INSIDE: Final = re.compile(r"(?:^|-)(CVE-[0-9]{4}-[0-9]{4,9})$")
#: Room that one record may take up; the largest real ones (kernels of Ubuntu) need a tenth of it.
_MOST_NAMES, _MOST_PACKAGES, _MOST_INTERVALS = 2000, 20_000, 2000
_LONGEST_NAME, _LONGEST_SUMMARY = 255, 300


class _Event(Struct):
    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None


class _Range(Struct):
    type: str
    events: list[_Event] = []


class _Package(Struct):
    ecosystem: str
    name: str


class _Severity(Struct):
    type: str = ""
    score: str = ""


class _Affected(Struct):
    package: _Package | None = None
    ranges: list[_Range] | None = None
    versions: list[str] | None = None
    severity: list[_Severity] | None = None
    ecosystem_specific: dict[str, Any] | None = None
    database_specific: dict[str, Any] | None = None


class _Record(Struct):
    id: str
    modified: datetime
    published: datetime | None = None
    withdrawn: datetime | None = None
    aliases: list[str] | None = None
    upstream: list[str] | None = None
    related: list[str] | None = None
    summary: str | None = ""
    details: str | None = ""
    severity: list[_Severity] | None = None
    affected: list[_Affected] | None = field(default_factory=list)
    database_specific: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Record)


def parse_osv(raw: bytes) -> Advisory | None:
    """One record; None for one that was withdrawn or has nothing of the systems that are known here.

    Raises:
        RecordError: it is not as the schema says, or larger than any real one.
    """
    try:
        record = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(str(error)[:300]) from error
    if not record.id or len(record.id) > _LONGEST_NAME or not record.id.isprintable():
        raise RecordError("its id is empty or no name")
    if record.withdrawn is not None:
        return None
    affected = record.affected or []
    if len(affected) > _MOST_PACKAGES:
        raise RecordError(f"more than {_MOST_PACKAGES} packages")
    packages = _merged([found for each in affected if (found := _package(each)) is not None])
    if not packages:
        return None
    severity, score = _severity(record)
    return Advisory(
        record_id=record.id,
        names=_names(record),
        summary=" ".join((record.summary or record.details or "").split())[:_LONGEST_SUMMARY],
        severity=severity,
        score=score,
        published_at=utc(record.published),
        modified_at=utc(record.modified),
        packages=packages,
    )


def utc(moment: datetime | None) -> datetime | None:
    """Aware and in UTC; a moment without a zone is taken for UTC's."""
    if moment is None:
        return None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise RecordError("a time beyond the calendar") from error


def _package(affected: _Affected) -> AffectedPackage | None:
    if affected.package is None or not affected.package.name:
        return None
    ecosystem = from_osv(affected.package.ecosystem)
    if not ecosystem:
        return None
    if len(affected.package.name) > _LONGEST_NAME:
        raise RecordError("a package's name is too long")
    ranges = [each for each in affected.ranges or [] if each.type == "ECOSYSTEM"]
    scheme = scheme_of(ecosystem)
    intervals = [interval for each in ranges for interval in _intervals(_in_order(scheme, each.events))]
    if not ranges:
        intervals = [Interval(version, last=version) for version in affected.versions or []]
    if len(intervals) > _MOST_INTERVALS:
        raise RecordError(f"more than {_MOST_INTERVALS} ranges of one package")
    if any(
        len(text) > _LONGEST_NAME for each in intervals for text in (each.introduced, each.fixed, each.last)
    ):
        raise RecordError("a version is too long")
    return AffectedPackage(ecosystem, affected.package.name, tuple(intervals)) if intervals else None


def _in_order(scheme: str, events: list[_Event]) -> list[_Event]:
    """By version, as the schema's algorithm for evaluation wants it, for it promises no order. At the same version
    ``introduced`` comes before ``last_affected``, and else what stands first. As they stand where some version is
    none: what is compared with it is unknown anyway."""
    first = [each for each in events if each.introduced == "0"]
    others = [each for each in events if _version(each) and each.introduced != "0"]
    if len(others) > 1:
        others.sort(key=lambda each: each.introduced is None and each.fixed is None)
        with suppress(VersionError):
            others.sort(key=lambda each: parse_version(scheme, _version(each)))
    return first + others


def _version(event: _Event) -> str:
    return event.introduced or event.fixed or event.last_affected or ""


def _intervals(events: list[_Event]) -> list[Interval]:
    """Of sorted events: from ``introduced`` to the ``fixed`` or ``last_affected`` that follows it. Where nothing says
    where it begins, it is the first version."""
    found: list[Interval] = []
    begins = any(each.introduced is not None for each in events)
    introduced = None if begins else "0"
    for event in events:
        if introduced is None:
            introduced = event.introduced
        elif event.fixed is not None or event.last_affected is not None:
            found.append(Interval(introduced, fixed=event.fixed or "", last=event.last_affected or ""))
            introduced = None
    if begins and introduced is not None:
        found.append(Interval(introduced))
    return found


def _merged(packages: list[AffectedPackage]) -> tuple[AffectedPackage, ...]:
    """One entry a package: Red Hat's repositories of one release name the same ones."""
    merged: dict[tuple[str, str], dict[Interval, None]] = {}
    for each in packages:
        merged.setdefault((each.ecosystem, each.package), {}).update(dict.fromkeys(each.intervals))
    return tuple(AffectedPackage(*key, tuple(intervals)) for key, intervals in merged.items())


def _names(record: _Record) -> tuple[str, ...]:
    if match := _CVE_INSIDE.search(record.id):
        return (match[1],)
    for listed in ([*(record.aliases or ()), *(record.upstream or ())], record.related or ()):
        found = dict.fromkeys(name for name in listed if CVE.fullmatch(name))
        if len(found) > _MOST_NAMES:
            raise RecordError(f"more than {_MOST_NAMES} CVEs")
        if found:
            return tuple(found)
    return (record.id,)


def _severity(record: _Record) -> tuple[str, float | None]:
    """The distribution's own word for all the packages that are concerned, or the record's score."""
    words = [
        by_word(word)
        for each in record.affected or ()
        for said in (each.ecosystem_specific, each.database_specific)
        if isinstance(word := (said or {}).get("urgency", (said or {}).get("severity")), str)
    ]
    if words and all(word == "none" for word in words):
        return "none", None
    listed = [
        *(record.severity or ()),
        *(each for one in record.affected or () for each in one.severity or ()),
    ]
    scores = [score for each in listed if (score := base_score(each.score)) is not None]
    if scores:
        return by_score(max(scores)), max(scores)
    words += [by_word(each.score) for each in listed]
    if isinstance(word := (record.database_specific or {}).get("severity"), str):
        words.append(by_word(word))
    severity = "unknown"
    for word in words:
        severity = graver(severity, word)
    return severity, None
