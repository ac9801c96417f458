"""The verdict on each check: passed, failed, not applicable, or unknown, which is never passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from agent import reasons
from agent.assessment import form
from agent.assessment.facts import judge_fact
from agent.assessment.values import MAX_FOUND, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.assessment.machine import Machine

Result = Literal["passed", "failed", "not_applicable", "unknown"]
PASSED: Final[Result] = "passed"
FAILED: Final[Result] = "failed"
NOT_APPLICABLE: Final[Result] = "not_applicable"
UNKNOWN: Final[Result] = "unknown"
_REASON: Final = 200
#: What passed needs less evidence.
_FOUND_PASSED: Final = 80


class Host(Struct, frozen=True):
    """What decides whether a check applies: its role as the collector ``host`` tells it (empty: not known), and
    ``ID`` and ``ID_LIKE`` of os-release(5) (none: not known)."""

    role: str = ""
    distributions: frozenset[str] = frozenset()


class Verdict(Struct, frozen=True):
    result: Result
    found: str = ""
    wanted: str = ""
    reason: str = ""


def evaluate(test: form.Test, machine: Machine) -> Outcome:
    """Three-valued: a test that cannot be told leaves the whole unknown only where the others do not decide it."""
    if isinstance(test, form.Not):
        inner = evaluate(test.of, machine)
        turned = None if inner.passed is None else not inner.passed
        return Outcome(
            turned, inner.found, f"¬ ({inner.wanted})"[:MAX_FOUND] if inner.wanted else "", inner.reason
        )
    if not isinstance(test, form.All | form.Any):
        return judge_fact(test, machine)
    outcomes = [evaluate(each, machine) for each in test.of]
    deciding = isinstance(test, form.Any)
    decided = [each for each in outcomes if each.passed is deciding]
    if decided:
        return _joined(deciding, decided if not deciding else decided[:1], " & " if not deciding else " | ")
    untold = [each for each in outcomes if each.passed is None]
    if untold:
        return Outcome(None, reason="; ".join(dict.fromkeys(each.reason for each in untold))[:_REASON])
    return _joined(not deciding, outcomes, " | " if deciding else " & ")


def _joined(passed: bool, outcomes: list[Outcome], sign: str) -> Outcome:
    found = dict.fromkeys(each.found for each in outcomes if each.found)
    wanted = dict.fromkeys(each.wanted for each in outcomes if each.wanted)
    return Outcome(passed, "; ".join(found)[:MAX_FOUND], sign.join(wanted)[:MAX_FOUND])


def verdict(check: form.Check, machine: Machine, host: Host) -> Verdict:
    """What is to be said of one check on this machine."""
    applies = check.applies
    if applies.roles and host.role and host.role not in applies.roles:
        return Verdict(NOT_APPLICABLE, reason=reasons.OTHER_ROLE())
    if applies.distributions and not host.distributions:
        return Verdict(UNKNOWN, reason=reasons.NO_SYSTEM_NAME())
    if applies.distributions and not host.distributions.intersection(applies.distributions):
        return Verdict(NOT_APPLICABLE, reason=reasons.OTHER_SYSTEM())
    if applies.where is not None:
        condition = evaluate(applies.where, machine)
        if condition.passed is None:
            return Verdict(UNKNOWN, reason=condition.reason)
        if not condition.passed:
            return Verdict(NOT_APPLICABLE, reason=reasons.NOTHING_TO_CHECK())
    judged = evaluate(check.test, machine)
    if judged.passed is None:
        return Verdict(UNKNOWN, reason=judged.reason[:_REASON])
    return Verdict(PASSED if judged.passed else FAILED, judged.found, judged.wanted)


def report(checks: form.CheckSet, machine: Machine, host: Host, last: Mapping[str, str]) -> dict[str, Any]:
    """The body of the document: of each check its result and importance, with the evidence that goes with it.

    ``last`` is, by check, the last result that was passed or failed: a check that cannot be told now carries it, so
    that *unknown* neither hides what was failed nor makes it news when it can be told again.
    """
    told: dict[str, dict[str, str]] = {}
    for check in checks.checks:
        said = verdict(check, machine, host)
        entry: dict[str, str] = {"result": said.result, "importance": check.importance}
        if said.found:
            entry["found"] = said.found if said.result == FAILED else said.found[:_FOUND_PASSED]
        if said.wanted and said.result == FAILED:
            entry["wanted"] = said.wanted
        if said.reason:
            entry["reason"] = said.reason
        if said.result == UNKNOWN and check.id in last:
            entry["last"] = last[check.id]
        told[check.id] = entry
    return {"set": checks.set, "version": checks.version, "checks": told}


def last_known(body: Mapping[str, Any], last: Mapping[str, str]) -> dict[str, str]:
    """``last`` for the next run."""
    known = {}
    for name, entry in body["checks"].items():
        result = entry["result"]
        if result in (PASSED, FAILED):
            known[name] = result
        elif result == UNKNOWN and name in last:
            known[name] = last[name]
    return known
