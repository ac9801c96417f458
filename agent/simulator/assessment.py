"""How a simulated machine fares with the shipped checks: most pass, some fail, a few cannot be told."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.assessment.shipped import load
from agent.simulator.machines import draw

if TYPE_CHECKING:
    from agent.assessment.form import CheckSet
    from agent.simulator.machines import Machine

#: Of the checks of each importance, the share that a machine fails; a firewall that is off fails its check.
_FAILED: Final = {"high": 0.05, "medium": 0.3, "low": 0.5}
_UNKNOWN: Final = 0.02
_NOT_APPLICABLE: Final = 0.05
_FIREWALL: Final = frozenset({"firewall_on", "firewall_profiles"})


@cache
def _checks(name: str) -> CheckSet:
    return load(name)


def assessment(machine: Machine, seed: int, firewall_on: bool) -> dict[str, Any]:
    """The body of the document; the same whenever it is asked for."""
    checks = _checks("windows" if machine.system.family == "windows" else "linux")
    rng = draw(seed, "assessment", machine.index)
    told = {}
    for check in checks.checks:
        chance = rng.random()
        entry = {"result": "passed", "importance": check.importance}
        if check.id in _FIREWALL:
            entry["result"] = "passed" if firewall_on else "failed"
        elif chance < _UNKNOWN:
            entry |= {"result": "unknown", "reason": reasons.NOT_PERMITTED()}
        elif chance < _UNKNOWN + _NOT_APPLICABLE:
            entry |= {"result": "not_applicable", "reason": reasons.NOTHING_TO_CHECK()}
        elif chance > 1 - _FAILED[check.importance]:
            entry["result"] = "failed"
        told[check.id] = entry
    return {"set": checks.set, "version": checks.version, "checks": told}
