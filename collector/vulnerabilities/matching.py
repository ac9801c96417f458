"""Matches the software of a machine with the feeds that are in use. Nothing is asked of the machine: all that is
needed is in its documents ``host`` and ``software``, which are an agent's words and may hold anything."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping  # noqa: TC003 - the type of dataclass fields
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from collector.vulnerabilities.book import Budget, verdicts_of, weight_of
from collector.vulnerabilities.ecosystems import WINDOWS, ecosystem_of, manager_of, scheme_of, sources_of
from collector.vulnerabilities.models import AFFECTED, FIXED, STATUSES, Evidence, Examination, Finding
from collector.vulnerabilities.windows import product_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from collector.vulnerabilities.book import Book, Known
    from collector.vulnerabilities.judging import Verdict

#: A machine that names more is not believed (the agent itself ends at this).
_MOST_PACKAGES: Final = 20_000
_LONGEST_TEXT: Final = 255
#: Versions of one name; a real machine has a handful of kernels.
_MOST_VERSIONS: Final = 16
#: Installed packages that are named as evidence, and how long their names may be together.
_MOST_BINARIES: Final = 20
_LONGEST_BINARIES: Final = 600
_FIELDS: Final = ("name", "version", "manager", "source", "source_version")


@dataclass(frozen=True)
class Machine:
    """What a machine's documents say: its ecosystem, and what is installed, as feeds would call it with the version to
    compare, by which packages. With a ``reason`` nothing can be said."""

    ecosystem: str
    reason: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    packages: int = 0
    installed: Mapping[tuple[str, str], list[str]] = field(default_factory=dict)
    unknown: dict[tuple[str, str, str], None] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """What :func:`examine` says at length, in numbers of ``Book.names``; ``doubtful`` are packages and vulnerabilities
    of which nothing can be said."""

    reason: str
    packages: int
    affected: frozenset[int]
    fixable: frozenset[int]
    doubtful: int


def machine_of(
    session: Session, book: Book, host: Mapping[str, Any] | None, software: Mapping[str, Any] | None
) -> Machine:
    """Read the documents; the book must have been turned to this transaction."""
    if software is None:
        return Machine("", "no_software")
    if host is None:
        return Machine("", "no_host")
    ecosystem, system = ecosystem_of(host)
    if not ecosystem:
        return Machine("", "system_unknown", {"system": system})
    if not book.covers(session, ecosystem):
        return Machine(ecosystem, "no_feed", {"system": system})
    packages = _packages(software)
    installed, unknown = _by_name(ecosystem, packages)
    return Machine(ecosystem, packages=len(packages), installed=installed, unknown=unknown)


def summarise(session: Session, book: Book, machine: Machine) -> Summary:
    """What the machine has, without the evidence: quick, for there are many machines."""
    ended: set[int] = set()
    still_open: set[int] = set()
    unknown: set[int] = set()
    unreadable = left_out = 0
    for outline in book.outlines(session, machine.ecosystem, machine.installed):
        if outline is None:
            left_out += 1
            continue
        ended.update(outline.ended)
        still_open.update(outline.open)
        unknown.update(outline.unknown)
        unreadable += outline.unreadable
    affected = frozenset(ended | still_open)
    return Summary(
        machine.reason,
        machine.packages,
        affected,
        frozenset(ended - still_open),
        len(unknown - affected) + unreadable + left_out + len(machine.unknown),
    )


def examine(session: Session, book: Book, machine: Machine, *, with_fixed: bool = False) -> Examination:
    """What the machine has, with the evidence. ``with_fixed``: also what its versions are fixed for.

    Findings are in the order of their names.
    """
    unknown = dict(machine.unknown)
    statements = book.statements(session, machine.ecosystem, (name for name, _ in machine.installed))
    found: dict[str, list[tuple[Verdict, Evidence]]] = defaultdict(list)
    budget = Budget()
    for (name, version), binaries in machine.installed.items():
        said = statements.get(name, ())
        if not budget.spend(weight_of(said)):
            unknown[name, version, "too_much_to_compare"] = None
            continue
        verdicts = verdicts_of(machine.ecosystem, version, said)
        if verdicts is None:
            unknown[name, version, "version_unreadable"] = None
        named = _named(binaries)
        for verdict in verdicts or ():
            if verdict.status != FIXED or with_fixed:
                evidence = _evidence(verdict, name, version, named, len(binaries) - len(named))
                for vulnerability in verdict.statement.names:
                    found[vulnerability].append((verdict, evidence))
    known = book.known(session, {name: pairs[0][0].statement for name, pairs in found.items()})
    return Examination(
        machine.ecosystem,
        machine.reason,
        machine.parameters,
        machine.packages,
        tuple(_finding(name, found[name], known[name]) for name in sorted(found)),
        tuple(unknown),
    )


def _packages(software: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is said of each package in words; what is no package is passed over."""
    listed = software.get("packages")
    return [
        {
            field: value[:_LONGEST_TEXT] if isinstance(value := entry.get(field), str) else ""
            for field in _FIELDS
        }
        for entry in (listed[:_MOST_PACKAGES] if isinstance(listed, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and entry["name"]
    ]


def _by_name(
    ecosystem: str, packages: list[dict[str, str]]
) -> tuple[dict[tuple[str, str], list[str]], dict[tuple[str, str, str], None]]:
    """Installed packages by what a feed would call them and the version to compare, and the programs that no feed can
    be asked for. What another package manager has put on a distribution is not the distribution's. Of one name the
    first :data:`_MOST_VERSIONS` versions are kept."""
    installed: dict[tuple[str, str], list[str]] = defaultdict(list)
    unknown: dict[tuple[str, str, str], None] = {}
    manager, scheme = manager_of(ecosystem), scheme_of(ecosystem)
    versions: Counter[str] = Counter()
    for package in packages:
        keys: list[tuple[str, str]] = []
        if ecosystem == WINDOWS:
            if product := product_of(package["name"]):
                keys = [(product, package["version"])]
            else:
                unknown[package["name"], package["version"], "program_unknown"] = None
        elif package["manager"] == manager:
            keys = sources_of(scheme, package)
        for name, version in keys:
            if (name, version) not in installed:
                if versions[name] == _MOST_VERSIONS:
                    unknown[name, version, "too_many_versions"] = None
                    continue
                versions[name] += 1
            installed[name, version].append(package["name"])
    return installed, unknown


def _named(binaries: list[str]) -> tuple[str, ...]:
    """The first of them, at least one: evidence is repeated for every vulnerability."""
    lengths = accumulate(len(name) for name in binaries[:_MOST_BINARIES])
    return tuple(binaries[: max(1, sum(length <= _LONGEST_BINARIES for length in lengths))])


def _evidence(
    verdict: Verdict, package: str, version: str, binaries: tuple[str, ...], more_binaries: int
) -> Evidence:
    statement = verdict.statement
    return Evidence(
        package,
        binaries,
        more_binaries,
        version,
        verdict.fixed,
        verdict.status,
        verdict.reason,
        statement.record_id,
        statement.feed,
        statement.modified_at,
    )


def _finding(name: str, found: list[tuple[Verdict, Evidence]], known: Known) -> Finding:
    evidence = sorted((each for _, each in found), key=lambda each: STATUSES.index(each.status))
    status = evidence[0].status
    fixable = status == AFFECTED and all(_has_update(each, evidence) for each in evidence)
    return Finding(
        name,
        status,
        fixable,
        known.severity,
        known.score,
        known.summary,
        known.published_at,
        known.exploited_at,
        tuple(evidence),
    )


def _has_update(evidence: Evidence, others: list[Evidence]) -> bool:
    """Whether some record names a version that ends it for this package in this version."""
    key = (evidence.package, evidence.installed)
    return evidence.status != AFFECTED or any(
        (each.package, each.installed) == key and each.fixed and each.status == AFFECTED for each in others
    )
