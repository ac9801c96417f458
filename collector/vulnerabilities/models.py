"""The words of this package: what feeds say, and what comes of it for a machine."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - dataclass fields that pages introspect
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - the same
from typing import Final

#: Gravest first. ``none``: the distribution says that it does no harm there; ``unknown``: nobody has said.
SEVERITIES: Final = ("critical", "high", "medium", "low", "none", "unknown")
#: What an installed version is in the eyes of a feed, the most pressing first.
AFFECTED, UNKNOWN, FIXED = "affected", "unknown", "fixed"
STATUSES: Final = (AFFECTED, UNKNOWN, FIXED)

#: Why nothing can be said of a whole machine, with the parameters of the sentence.
MACHINE_REASONS: Final[Mapping[str, tuple[str, ...]]] = {
    "no_software": (),
    "no_host": (),
    "system_unknown": ("system",),
    "no_feed": ("system",),
}
#: Why nothing can be said of a package: its version is none in its ecosystem; another stream of a module decides; it is
#: not in our table of programs; the machine names more versions of it than any real one has; the machine as a whole
#: has more to compare than any real one.
PACKAGE_REASONS: Final = (
    "version_unreadable",
    "other_module_stream",
    "program_unknown",
    "too_many_versions",
    "too_much_to_compare",
)


@dataclass(frozen=True, slots=True)
class Interval:
    """Versions from ``introduced`` (``0``: from the first) that are affected: below ``fixed``, or up to and with
    ``last``, or all from there on where both are empty."""

    introduced: str
    fixed: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True)
class AffectedPackage:
    """``ecosystem`` is a key of :mod:`collector.vulnerabilities.ecosystems`; ``package`` as the ecosystem calls it."""

    ecosystem: str
    package: str
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Advisory:
    """One record of a feed. ``names`` are the CVEs that it speaks of, its own id where there is none."""

    record_id: str
    names: tuple[str, ...]
    summary: str
    severity: str
    score: float | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    exploited_at: datetime | None = None
    packages: tuple[AffectedPackage, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a machine has its status: ``package`` (as the feed names it) is installed as ``installed`` by the packages
    ``binaries``, of which ``more_binaries`` are not named; ``record_id`` of ``feed`` says that it is fixed in
    ``fixed`` (empty: not yet)."""

    package: str
    binaries: tuple[str, ...]
    more_binaries: int
    installed: str
    fixed: str
    status: str
    reason: str
    record_id: str
    feed: str
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class Finding:
    """A vulnerability of one machine; its status is the most pressing one of its evidence. ``fixable``: an update
    that the distribution has ends it."""

    name: str
    status: str
    fixable: bool
    severity: str
    score: float | None
    summary: str
    published_at: datetime | None
    exploited_at: datetime | None
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Examination:
    """What is known of one machine. With a ``reason`` nothing is, and that is said as unknown, never as fine.

    ``unknown`` are packages that nothing can be said of: name, version, and a code of :data:`PACKAGE_REASONS`.
    """

    ecosystem: str
    reason: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    packages: int = 0
    findings: tuple[Finding, ...] = ()
    unknown: tuple[tuple[str, str, str], ...] = ()


def graver(one: str, other: str) -> str:
    """The graver of two severities; a known one is graver than ``unknown``."""
    return min(one, other, key=SEVERITIES.index)
