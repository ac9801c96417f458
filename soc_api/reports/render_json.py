"""The coverage report for programs: the same figures and the same list, without sentences."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from collector.coverage.models import Counts, Machine
    from soc_api.reports.content import CoverageReport


def render_json(report: CoverageReport) -> bytes:
    """UTF-8 JSON, keys in a fixed order, times in RFC 3339 UTC, percentages 0 to 100 unrounded or null."""
    return json.dumps(as_dict(report), ensure_ascii=False, indent=2).encode() + b"\n"


def as_dict(report: CoverageReport) -> dict[str, Any]:
    ledger, limits = report.ledger, report.limits
    return {
        "report": "coverage",
        "schema": 1,
        "as_of": _time(ledger.as_of),
        "agency": report.scope_code or None,
        "agency_name": report.scope_name or None,
        "simulated": {
            "included": ledger.include_simulated,
            "counted": report.simulated_counted,
            "left_out": report.simulated_left_out,
        },
        "limits": {
            "national_signature_days": limits.national_signature_days,
            "local_signature_days": limits.local_signature_days,
            "silent_after_seconds": limits.silent_after_seconds,
            "device_forgotten_days": limits.device_forgotten_days,
        },
        "total": _counts(ledger.total),
        "excluded": {"network_equipment": ledger.total.network_equipment, "retired": report.retired},
        "signatures": {
            "beyond_national_limit": report.beyond_national_limit,
            "beyond_local_limit": report.beyond_local_limit,
        },
        "target": {
            "id": report.target.id,
            "quote": report.target.quote,
            "by_agency": {
                "with_protection": ledger.agencies_with_protection,
                "agencies": ledger.agencies_total,
                "percent": ledger.percent_of_agencies,
                "complete": report.agencies_complete,
                "without_machines": report.agencies_without_machines,
            },
            "by_machine": {
                "protected": ledger.total.protected,
                "known": ledger.total.known,
                "percent": ledger.total.percent_of_known,
            },
        },
        "agencies": [
            {"code": agency.code or None, "name": agency.name or None, **_counts(agency.counts)}
            for agency in ledger.agencies
        ],
        "machines": [_machine(machine) for machine in ledger.machines],
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "known": counts.known,
        "protected": counts.protected,
        "percent_of_known": counts.percent_of_known,
        "officials": counts.declared,
        "percent_of_officials": counts.percent_of_declared,
        "by_state": dict(counts.by_state),
    }


def _machine(machine: Machine) -> dict[str, Any]:
    return {
        "id": machine.id,
        "kind": machine.kind,
        "name": machine.name,
        "agency": machine.agency_code or None,
        "state": machine.state,
        "counted": machine.counted,
        "reason": {"code": machine.reason.code, **machine.reason.parameters},
        "antivirus": machine.antivirus or None,
        "signature_time": _time(machine.signature_time),
        "signature_age_days": machine.age_days,
        "beyond_local_limit": machine.late,
        "real_time": machine.real_time,
        "last_seen": _time(machine.last_seen),
        "simulated": machine.simulated,
        "evidence": list(machine.evidence),
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
