"""Which rules a correlation refers to: names become keys, inner correlations come before outer ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rules.engine.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rules.engine.correlation_plan import CorrelationPlan


class Resolved(NamedTuple):
    """A correlation that can run. ``keys``: its references as written, and the rules that they stand for."""

    plan: CorrelationPlan
    keys: dict[str, str]

    def fields(self, key: str, names: Mapping[str, str]) -> dict[str, str]:
        """What the aliases stand for in events of the rule ``key``."""
        return {
            alias: field
            for alias, mapping in self.plan.aliases.items()
            for written, field in mapping.items()
            if names.get(written, written.lower()) == key
        }

    def bits(self, key: str) -> int:
        """The rule's places in the list, as bits."""
        return sum(1 << at for at, written in enumerate(self.plan.rules) if self.keys[written] == key)


def resolve(
    plans: Sequence[CorrelationPlan],
    rules: Collection[str],
    names: Mapping[str, str],
    refused: list[Refusal],
) -> list[Resolved]:
    """All that can run, inner before outer; ``names`` hold the correlations' too.

    What refers to a missing or refused rule, or to itself, is added to ``refused`` with its reason.
    """
    waiting = {plan.key: Resolved(plan, _keys(plan, names)) for plan in plans}
    known = set(rules)
    found: list[Resolved] = []
    while waiting:
        ready = [one for one in waiting.values() if waiting.keys().isdisjoint(one.keys.values())]
        for one in ready:
            del waiting[one.plan.key]
            missing = [written for written, key in one.keys.items() if key not in known]
            if missing:
                reason = f"refers to a rule that is not loaded: {', '.join(missing)}"
                refused.append(Refusal(one.plan.key, reason, one.plan.path))
            else:
                known.add(one.plan.key)
                found.append(one)
        if not ready:
            circle = "correlations refer to each other in a circle"
            refused.extend(Refusal(key, circle, one.plan.path) for key, one in waiting.items())
            break
    return found


def _keys(plan: CorrelationPlan, names: Mapping[str, str]) -> dict[str, str]:
    return {written: names.get(written, written.lower()) for written in plan.rules}
