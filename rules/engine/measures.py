"""What a correlation's condition asks of the events in its window: one predicate a correlation type.

Sigma correlation rules 2.1. A predicate takes the window's entries in order of time. ``trailing`` says which
windows count: conditions that more events can only help (counts and sums with ``gt``/``gte``, ``temporal`` without
``not``) hold if any window with the arriving event holds; all others look at the timespan that ends with it.
"""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionNOT,
    CorrelationConditionOR,
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaCorrelationRule,
    SigmaCorrelationType,
    SigmaExtendedCorrelationCondition,
    SigmaRuleReference,
)

from rules.engine.errors import RuleError

if TYPE_CHECKING:
    from rules.engine.events import Event


class Entry(NamedTuple):
    """One event in a group: its time, which of the correlation's rules it matched (positions in the list), and its
    values of the condition's field (texts for ``value_count``, numbers for the rest)."""

    time: float
    positions: frozenset[int]
    values: tuple[Any, ...]
    event: Event | None


Entries = Sequence[Entry]
Predicate = Callable[[Entries], bool]


class Measure(NamedTuple):
    """``required``: positions without which the condition cannot hold, so that windows need not be looked at."""

    holds: Predicate
    trailing: bool
    required: frozenset[int] = frozenset()


_OPERATORS: Final[dict[SigmaCorrelationConditionOperator, Callable[[float, float], bool]]] = {
    SigmaCorrelationConditionOperator.LT: operator.lt,
    SigmaCorrelationConditionOperator.LTE: operator.le,
    SigmaCorrelationConditionOperator.GT: operator.gt,
    SigmaCorrelationConditionOperator.GTE: operator.ge,
    SigmaCorrelationConditionOperator.EQ: operator.eq,
    SigmaCorrelationConditionOperator.NEQ: operator.ne,
}
_AT_LEAST: Final = SigmaCorrelationConditionOperator.GTE
_RISING: Final = {SigmaCorrelationConditionOperator.GT, SigmaCorrelationConditionOperator.GTE}
_TEMPORAL: Final = {SigmaCorrelationType.TEMPORAL, SigmaCorrelationType.TEMPORAL_ORDERED}

#: Types whose entries need a number.
NUMERIC: Final = {
    SigmaCorrelationType.VALUE_SUM,
    SigmaCorrelationType.VALUE_AVG,
    SigmaCorrelationType.VALUE_MEDIAN,
    SigmaCorrelationType.VALUE_PERCENTILE,
}


def measure_of(rule: SigmaCorrelationRule, positions: dict[str, list[int]]) -> Measure:
    """The rule's condition. ``positions``: a reference as written, and where it stands in the list of rules.

    Raise :class:`RuleError` for what the specification does not define.
    """
    condition = rule.condition
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        return _boolean(rule, condition, positions)
    assert isinstance(condition, SigmaCorrelationCondition)  # noqa: S101 - the only other form
    compare, limit = _OPERATORS[condition.op], condition.count
    rising = condition.op in _RISING
    if rule.type is SigmaCorrelationType.EVENT_COUNT:
        return Measure(lambda entries: compare(len(entries), limit), not rising)
    if rule.type is SigmaCorrelationType.VALUE_COUNT:
        if rising:
            return Measure(
                lambda entries: _reaches(entries, lambda count: compare(count, limit)), trailing=False
            )
        return Measure(
            lambda entries: compare(len({v for e in entries for v in e.values}), limit), not rising
        )
    rules = sum(len(places) for places in positions.values())
    every = frozenset(range(rules)) if (condition.op, limit) == (_AT_LEAST, rules) else frozenset[int]()
    if rule.type is SigmaCorrelationType.TEMPORAL:
        return Measure(lambda entries: compare(len(_positions(entries)), limit), not rising, every)
    if rule.type is SigmaCorrelationType.TEMPORAL_ORDERED:
        if every:
            return Measure(lambda entries: _in_order(entries, rules), trailing=False, required=every)
        return Measure(lambda entries: compare(longest_chain(entries), limit), not rising)
    number = _number(rule.type, condition)
    trailing = not (rising and rule.type is SigmaCorrelationType.VALUE_SUM)
    return Measure(lambda entries: compare(number([v for e in entries for v in e.values]), limit), trailing)


def _number(
    kind: SigmaCorrelationType, condition: SigmaCorrelationCondition
) -> Callable[[list[float]], float]:
    if kind is SigmaCorrelationType.VALUE_SUM:
        return math.fsum
    if kind is SigmaCorrelationType.VALUE_AVG:
        return statistics.fmean
    if kind is SigmaCorrelationType.VALUE_MEDIAN:
        return statistics.median
    percentile = condition.percentile
    if percentile is None or not 0 < percentile <= 100:
        raise RuleError(
            "value_percentile needs a percentile from 1 to 100 (the specification leaves it open)"
        )

    def nearest_rank(values: list[float]) -> float:
        return sorted(values)[math.ceil(percentile / 100 * len(values)) - 1]

    return nearest_rank


def _reaches(entries: Entries, enough: Callable[[int], bool]) -> bool:
    """Whether the distinct values are enough; the newest first, since a flood repeats itself."""
    seen: set[Any] = set()
    for entry in reversed(entries):
        before = len(seen)
        seen.update(entry.values)
        if len(seen) > before and enough(len(seen)):
            return True
    return False


def _positions(entries: Entries) -> frozenset[int]:
    return frozenset[int]().union(*{entry.positions for entry in entries})


def _in_order(entries: Entries, rules: int) -> bool:
    """Whether all rules are matched in their order by events of strictly increasing time (the earliest of each)."""
    wanted, after = 0, -math.inf
    for entry in entries:
        if wanted in entry.positions and entry.time > after:
            wanted, after = wanted + 1, entry.time
            if wanted == rules:
                return True
    return False


def longest_chain(entries: Entries) -> int:
    """How many rules of the list, in its order, are matched by events of strictly increasing time."""
    best: dict[int, int] = {}
    at = 0
    while at < len(entries):
        end = at
        while end < len(entries) and entries[end].time == entries[at].time:
            end += 1
        found: dict[int, int] = {}
        for position in {p for entry in entries[at:end] for p in entry.positions}:
            before = max((length for p, length in best.items() if p < position), default=0)
            found[position] = before + 1
        for position, length in found.items():
            best[position] = max(best.get(position, 0), length)
        at = end
    return max(best.values(), default=0)


def _boolean(
    rule: SigmaCorrelationRule, condition: SigmaExtendedCorrelationCondition, positions: dict[str, list[int]]
) -> Measure:
    if rule.type not in _TEMPORAL:
        raise RuleError("a boolean condition belongs to temporal correlations only")
    tree = condition.parsed
    if rule.type is SigmaCorrelationType.TEMPORAL_ORDERED:
        flat = tree.args if isinstance(tree, CorrelationConditionAND) else [tree]
        if not all(isinstance(each, SigmaRuleReference) for each in flat):
            raise RuleError(
                "temporal_ordered with or, not or brackets has no order that the specification defines"
            )
        wanted = len(flat)
        every = frozenset(range(wanted))
        return Measure(lambda entries: _in_order(entries, wanted), trailing=False, required=every)
    holds = _truth(tree, positions)

    def test(entries: Entries) -> bool:
        return holds(_positions(entries))

    return Measure(test, trailing=_negates(tree))


def _truth(node: Any, positions: dict[str, list[int]]) -> Callable[[frozenset[int]], bool]:
    if isinstance(node, SigmaRuleReference):
        wanted = frozenset(positions[node.reference])
        return lambda matched: not wanted.isdisjoint(matched)
    inner = [_truth(each, positions) for each in node.args]
    if isinstance(node, CorrelationConditionNOT):
        return lambda matched: not inner[0](matched)
    if isinstance(node, CorrelationConditionAND):
        return lambda matched: all(each(matched) for each in inner)
    if isinstance(node, CorrelationConditionOR):
        return lambda matched: any(each(matched) for each in inner)
    raise RuleError(f"a correlation condition cannot hold {type(node).__name__}")


def _negates(node: Any) -> bool:
    if isinstance(node, SigmaRuleReference):
        return False
    return isinstance(node, CorrelationConditionNOT) or any(_negates(each) for each in node.args)
