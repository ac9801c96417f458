"""The document of configuration assessment holds all checks of a set; rules are told of one check at a time.

Pure. A check that cannot be told now counts as what it last was (the agent says so in ``last``): so *unknown* neither
hides what was failed, nor is it news when it can be told again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

ASSESSMENT: Final = "assessment"
_KNOWN: Final = frozenset({"passed", "failed", "not_applicable"})
_IMPORTANCES: Final = frozenset({"high", "medium", "low"})
_EVIDENCE: Final = ("found", "wanted")
_MAX_CHECKS: Final = 400
_MAX_TEXT: Final = 300


@dataclass(frozen=True)
class CheckChange:
    """``action`` is ``worse`` (passed before, failed now), ``better``, or ``changed``."""

    check: str
    action: str
    before: str
    fields: dict[str, str]


def result_of(entry: object) -> str:
    """What a check counts as: its result, or what it was last while it cannot be told; else ``unknown``."""
    if not isinstance(entry, Mapping):
        return "unknown"
    result = entry.get("result")
    told = entry.get("last") if result == "unknown" else result
    return told if isinstance(told, str) and told in _KNOWN else "unknown"


def checks_of(body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """By id, whatever an agent calls so."""
    found = None if body is None else body.get("checks")
    return found if isinstance(found, Mapping) else {}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[CheckChange]:
    """The checks that count as something else now, both times known; a check that is new, or gone, is no change."""
    before, after = checks_of(old), checks_of(new)
    found = []
    for name in sorted(before.keys() & after.keys())[:_MAX_CHECKS]:
        was, now = result_of(before[name]), result_of(after[name])
        if was == now or "unknown" in (was, now):
            continue
        action = {("passed", "failed"): "worse", ("failed", "passed"): "better"}.get((was, now), "changed")
        found.append(CheckChange(name[:_MAX_TEXT], action, was, _fields(new, name, after[name])))
    return found


def difference_of(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """For the history: the set, and only those checks that read differently, as they read now."""
    before, after = checks_of(old), checks_of(new)
    told = {name: entry for name, entry in after.items() if before.get(name) != entry}
    return {**{key: value for key, value in new.items() if key != "checks"}, "checks": told}


def tally(body: Mapping[str, Any]) -> dict[str, int]:
    """How many checks stand at each result, as they count."""
    results = [result_of(entry) for entry in list(checks_of(body).values())[:_MAX_CHECKS]]
    return {result: results.count(result) for result in ("passed", "failed", "unknown", "not_applicable")}


def _fields(body: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> dict[str, str]:
    importance = entry.get("importance")
    fields = {
        "set": str(body.get("set", ""))[:_MAX_TEXT],
        "check": name[:_MAX_TEXT],
        "result": result_of(entry),
        "importance": importance if importance in _IMPORTANCES else "medium",
    }
    for key in _EVIDENCE:
        if isinstance(value := entry.get(key), str):
            fields[key] = value[:_MAX_TEXT]
    return fields
