"""A ledger made by hand, small enough to count on the fingers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from collector.coverage.models import STATES, AgencyCoverage, Counts, Ledger, Machine, Reason
from collector.settings import Coverage, Report
from soc_api.reports.content import CoverageReport, Target

AS_OF = datetime(2026, 2, 5, 8, 4, 30, tzinfo=UTC)
LIMITS = Coverage()
HEAD = Report(
    recipients=["Thường trực Tỉnh ủy (để báo cáo);", "Chủ tịch UBND tỉnh;"],
    signatory_name="Lê Thị Ánh Nguyệt",
)
TARGET = Target(
    "TB112-01",
    "100% cơ quan nhà nước các cấp và đơn vị trực thuộc được triển khai phần mềm diệt virus có "
    "bản quyền quản lý tập trung (endpoint security)",
    {
        "vi": "Kế hoạch 112/KH-UBND ngày 31/10/2019 của UBND tỉnh Thái Bình",
        "en": "Thái Bình, plan 112/KH-UBND",
    },
)
AGENCIES = (
    (1, "VP-UBND", "Văn phòng UBND tỉnh", 101),
    (2, "SO-CT", "Sở Công Thương", 71),
    (3, "CHUA-CO", "Sở Ngoại vụ", None),
)

#: agency id, name, state, reason, age in days
_MACHINES: tuple[tuple[int, str, str, Reason, int | None], ...] = (
    (1, "vp-ketoan-01", "none", Reason("antivirus_not_installed"), None),
    (1, "vp-vanthu-02", "off", Reason("antivirus_off", {"product": "clamav"}), 2),
    (1, "vp-lanhdao-03", "outdated", Reason("signatures_old", {"days": 16, "limit": 15}), 16),
    (1, "vp-tonghop-04", "protected", Reason("signatures_current", {"days": 15}), 15),
    (1, "vp-tonghop-05", "protected", Reason("signatures_current", {"days": 0}), 0),
    (2, "sct-01", "silent", Reason("not_heard_from", {"seconds": 400_000}), 1),
    (
        2,
        "sct-02",
        "unknown",
        Reason("antivirus_unknown", {"product": "clamav", "detail": "COMMAND UNAVAILABLE"}),
        None,
    ),
    (2, "sct-03", "protected", Reason("signatures_current", {"days": 3}), 3),
)


def machine(
    agency: int,
    name: str,
    state: str,
    reason: Reason,
    age: int | None = None,
    *,
    kind: str = "endpoint",
    counted: bool = True,
    simulated: bool = False,
    antivirus: str = "clamav",
) -> Machine:
    _, code, agency_name, _ = next(row for row in AGENCIES if row[0] == agency)
    return Machine(
        id=f"{agency}-{name}",
        kind=kind,
        name=name,
        agency_id=agency,
        agency_code=code,
        agency_name=agency_name,
        state=state,
        reason=reason,
        counted=counted,
        antivirus=antivirus if age is not None else "",
        signature_time=None if age is None else AS_OF - timedelta(days=age, hours=3),
        age_days=age,
        late=age is not None and age > LIMITS.local_signature_days,
        real_time="unknown",
        role="workstation",
        mac="",
        ip="",
        last_seen=AS_OF - timedelta(seconds=20),
        simulated=simulated,
        evidence=("document:antivirus/clamav",),
        observed_at=AS_OF,
    )


def machines() -> list[Machine]:
    seen = Reason("no_agent", {"mac": "52:54:00:12:34:56", "ip": "10.1.2.9", "seen_by": "sct-03"})
    gateway = Reason("no_agent", {"mac": "52:54:00:00:00:01", "ip": "10.1.2.1", "seen_by": "sct-03"})
    found = [machine(*row) for row in _MACHINES]
    found.append(machine(2, "10.1.2.9", "unmanaged", seen, kind="device"))
    found.append(machine(2, "10.1.2.1", "unmanaged", gateway, kind="device", counted=False))
    return found


def counts(machines: list[Machine], officials: int | None) -> Counts:
    by_state = dict.fromkeys(STATES, 0)
    for one in machines:
        by_state[one.state] += one.counted
    return Counts(
        by_state=by_state,
        network_equipment=sum(not one.counted for one in machines),
        declared=officials,
        protected_of_declared=0 if officials is None else by_state["protected"],
    )


def report(
    found: list[Machine] | None = None, *, include_simulated: bool = False, agency: int | None = None
) -> CoverageReport:
    found = machines() if found is None else found
    rows = [row for row in AGENCIES if agency in (None, row[0])]
    found = [one for one in found if agency in (None, one.agency_id)]
    lines = [
        AgencyCoverage(
            id_, code, name, "tinh", officials, counts([m for m in found if m.agency_id == id_], officials)
        )
        for id_, code, name, officials in rows
    ]
    declared = [line.officials for line in lines if line.officials is not None]
    of_declared = sum(line.counts.protected_of_declared for line in lines)
    total = replace(counts(found, sum(declared) if declared else None), protected_of_declared=of_declared)
    ledger = Ledger(AS_OF, found, lines, total, 15, 3, include_simulated)
    _, code, name, _ = rows[0] if agency else (0, "", "", 0)
    return CoverageReport(
        ledger,
        name,
        code,
        LIMITS,
        retired=2,
        simulated_left_out=0 if include_simulated else 500,
        target=TARGET,
    )
