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

from rules.engine.correlation_plan import TEMPORAL
from rules.engine.errors import RuleError

if TYPE_CHECKING:
    from rules.engine.correlation_plan import CorrelationPlan, Tree
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


_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "neq": operator.ne,
}
_RISING: Final = {"gt", "gte"}


def measure_of(plan: CorrelationPlan, positions: dict[str, list[int]]) -> Measure:
    """The plan's condition. ``positions``: a reference as written, and where it stands in the list of rules.

    Raise :class:`RuleError` for what the specification does not define.
    """
    if plan.tree is not None:
        return _boolean(plan.kind, plan.tree, positions)
    compare, limit = _OPERATORS[plan.operator], plan.limit
    rising = plan.operator in _RISING
    if plan.kind == "event_count":
        return Measure(lambda entries: compare(len(entries), limit), not rising)
    if plan.kind == "value_count":
        if rising:
            return Measure(
                lambda entries: _reaches(entries, lambda count: compare(count, limit)), trailing=False
            )
        return Measure(
            lambda entries: compare(len({v for e in entries for v in e.values}), limit), not rising
        )
    rules = len(plan.rules)
    every = frozenset(range(rules)) if (plan.operator, limit) == ("gte", rules) else frozenset[int]()
    if plan.kind == "temporal":
        return Measure(lambda entries: compare(len(_positions(entries)), limit), not rising, every)
    if plan.kind == "temporal_ordered":
        if every:
            return Measure(lambda entries: _in_order(entries, rules), trailing=False, required=every)
        return Measure(lambda entries: compare(longest_chain(entries), limit), not rising)
    number = _number(plan)
    trailing = not (rising and plan.kind == "value_sum")
    return Measure(lambda entries: compare(number([v for e in entries for v in e.values]), limit), trailing)


def _number(plan: CorrelationPlan) -> Callable[[list[float]], float]:
    if plan.kind == "value_sum":
        return math.fsum
    if plan.kind == "value_avg":
        return statistics.fmean
    if plan.kind == "value_median":
        return statistics.median
    percentile = plan.percentile or 100

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


def _boolean(kind: str, tree: Tree, positions: dict[str, list[int]]) -> Measure:
    if kind not in TEMPORAL:
        raise RuleError("a boolean condition belongs to temporal correlations only")
    if kind == "temporal_ordered":
        flat = tree[1:] if isinstance(tree, list) and tree[0] == "and" else [tree]
        if not all(isinstance(each, str) for each in flat):
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


def _truth(node: Tree, positions: dict[str, list[int]]) -> Callable[[frozenset[int]], bool]:
    if isinstance(node, str):
        wanted = frozenset(positions[node])
        return lambda matched: not wanted.isdisjoint(matched)
    inner = [_truth(each, positions) for each in node[1:]]
    if node[0] == "not":
        return lambda matched: not inner[0](matched)
    if node[0] == "and":
        return lambda matched: all(each(matched) for each in inner)
    return lambda matched: any(each(matched) for each in inner)


def _negates(node: Tree) -> bool:
    if isinstance(node, str):
        return False
    return node[0] == "not" or any(_negates(each) for each in node[1:])
