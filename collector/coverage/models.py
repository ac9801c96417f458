"""The words of the coverage ledger."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - dataclass fields that pages introspect
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - the same

#: Every state a machine can be in, best first. ``unknown`` never counts as compliant.
STATES = ("protected", "outdated", "off", "none", "silent", "unmanaged", "unknown")

#: Every reason code, with the state it belongs to (``gateway`` is not a state: such a device is not counted).
REASONS: Mapping[str, str] = {
    "signatures_current": "protected",
    "signatures_old": "outdated",
    "antivirus_off": "off",
    "antivirus_not_installed": "none",
    "not_heard_from": "silent",
    "never_reported": "silent",
    "no_agent": "unmanaged",
    "retired_but_seen": "unmanaged",
    "waiting_for_first_report": "unknown",
    "copy_not_confirmed": "unknown",
    "no_antivirus_report": "unknown",
    "antivirus_unknown": "unknown",
    "signature_age_unknown": "unknown",
    "signatures_said_old": "outdated",
    "signature_time_in_future": "unknown",
    "collector_failing": "unknown",
}


@dataclass(frozen=True)
class Reason:
    """Why a machine is in its state: a code of :data:`REASONS`, and what a translated sentence needs to be
    whole.

    Parameters by code: ``signatures_old {days, limit}``, ``signatures_current {days}``, ``antivirus_off
    {product}``, ``not_heard_from {seconds}``, ``never_reported {seconds}``, ``no_agent {mac, ip, seen_by}``,
    ``retired_but_seen {mac, ip, hostname}``, ``copy_not_confirmed {hostname}`` (of whom;
    left out where that one is not of the same agency), ``antivirus_unknown {product, detail}``,
    ``collector_failing {collector, detail}``. ``detail`` is the agent's own text: hostile, never a key.
    """

    code: str
    parameters: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Protection:
    """What the antivirus documents of one endpoint amount to.

    ``state`` is ``protected outdated off none unknown``. ``age_days`` is whole days since the signatures were
    built. ``late`` says that the signatures are older than the local limit, whatever the state.
    ``real_time`` is ``on off unknown``: a running daemon does not prove that files are scanned as they are
    opened.
    """

    state: str
    reason: Reason
    product: str = ""
    signature_time: float | None = None
    age_days: int | None = None
    late: bool = False
    real_time: str = "unknown"
    #: ``(kind, item)`` of the documents that this was read from.
    documents: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Machine:
    """One line of the ledger: an endpoint (``id`` its UUID) or a device (``id`` its number, as text).

    ``counted`` is false for network equipment, which is listed so that nobody has to ask where it went.
    ``evidence`` names what the state was read from: ``document:<kind>/<item>``, ``endpoint:last_seen``,
    ``endpoint:origin``, ``device:<id>``.
    """

    id: str
    kind: str
    name: str
    agency_id: int | None
    agency_code: str
    agency_name: str
    state: str
    reason: Reason
    counted: bool
    antivirus: str
    signature_time: datetime | None
    age_days: int | None
    late: bool
    real_time: str
    role: str
    mac: str
    ip: str
    last_seen: datetime | None
    simulated: bool
    evidence: tuple[str, ...]
    observed_at: datetime | None


@dataclass(frozen=True)
class Counts:
    """How many machines are in each state, and the percentages that may be said of them.

    ``known`` is every counted machine, whatever its state: the honest denominator. ``managed`` are those
    with an agent. ``late`` counts machines whose signatures exceed the local limit (they may be
    ``protected`` by the national one). ``declared`` is the sum of declared officials, and
    ``protected_of_declared`` the protected machines of just those agencies that declared any. Percentages
    are None where there is nothing to divide by.
    """

    by_state: Mapping[str, int]
    late: int = 0
    real_time_on: int = 0
    network_equipment: int = 0
    declared: int | None = None
    protected_of_declared: int = 0

    @property
    def known(self) -> int:
        return sum(self.by_state.values())

    @property
    def protected(self) -> int:
        return self.by_state["protected"]

    @property
    def managed(self) -> int:
        return self.known - self.by_state["unmanaged"]

    @property
    def percent_of_known(self) -> float | None:
        return percent(self.protected, self.known)

    @property
    def percent_of_managed(self) -> float | None:
        return percent(self.protected, self.managed)

    @property
    def percent_of_declared(self) -> float | None:
        """Protected machines to declared officials. More than 100 where there are more machines than
        officials.
        """
        return None if self.declared is None else percent(self.protected_of_declared, self.declared)


@dataclass(frozen=True)
class AgencyCoverage:
    """One agency's line. ``agency_id`` is None for endpoints that belong to no agency."""

    agency_id: int | None
    code: str
    name: str
    level: str
    officials: int | None
    counts: Counts

    @property
    def known(self) -> int:
        return self.counts.known

    @property
    def percent_of_known(self) -> float | None:
        return self.counts.percent_of_known

    @property
    def percent_of_declared(self) -> float | None:
        return self.counts.percent_of_declared


@dataclass(frozen=True)
class Ledger:
    """Who is protected, as of a moment, with the list behind every number.

    ``machines`` are in the order agency, state (worst first), name. The sums of ``agencies`` equal ``total``.
    ``national_days`` decides ``outdated``; ``local_days`` decides ``late``.
    """

    as_of: datetime
    machines: list[Machine]
    agencies: list[AgencyCoverage]
    total: Counts
    national_days: int
    local_days: int
    include_simulated: bool

    @property
    def agencies_total(self) -> int:
        """Agencies of the registry in this ledger (without the line of unassigned endpoints)."""
        return sum(1 for agency in self.agencies if agency.agency_id is not None)

    @property
    def agencies_with_protection(self) -> int:
        """Target TB112-01, first reading: agencies with at least one protected machine."""
        return sum(
            1 for agency in self.agencies if agency.agency_id is not None and agency.counts.protected > 0
        )

    @property
    def percent_of_agencies(self) -> float | None:
        """TB112-01, first reading, as a percentage; the second is ``total.percent_of_known``."""
        return percent(self.agencies_with_protection, self.agencies_total)


def percent(part: int, whole: int) -> float | None:
    """``part`` of ``whole`` in percent, unrounded; None where the denominator is 0."""
    return None if whole == 0 else 100.0 * part / whole
