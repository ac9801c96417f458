"""The types of correlations beside ``event_count``: what they know of a window, and when it holds."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any, Final

from rules.engine.correlation_evidence import Evidence, Shown, representative
from rules.engine.correlation_state import EVIDENCE_LIMIT, Counted, Group, GroupKey, Tracker
from rules.engine.measures import (
    OPERATORS,
    RISING,
    Alternative,
    alternatives_of,
    bits_of,
    mean_of,
    median_of,
    negates,
    percentile_of,
    sum_of,
    truth_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules.engine.correlation_plan import CorrelationPlan
    from rules.engine.events import Event
    from rules.engine.measures import Number

_NEVER: Final = -math.inf
#: Marks of more rules than a number holds are not kept with the events to show, nor the events.
_MARK_LIMIT: Final = 1 << 62
#: An addition is off by at most so much of its result.
_ROUNDING: Final = 2.0**-52


def tracker_of(plan: CorrelationPlan, evidence: Evidence, **limits: Any) -> Tracker:
    """The correlation's state, empty."""
    if plan.kind == "temporal_ordered" and plan.tree is None and not plan.wants_all:
        return Longest(plan, evidence, **limits)
    return _KINDS[plan.kind](plan, evidence, **limits)


class Distinct(Tracker):
    """``value_count``: a mark is one value, or a tuple of several. Known: how often each is in the window."""

    def __init__(self, plan: CorrelationPlan, evidence: Evidence, **limits: Any) -> None:
        super().__init__(plan, evidence, **limits)
        self.trailing = plan.operator not in RISING
        self._compare, self._limit = OPERATORS[plan.operator], plan.limit

    def fresh(self) -> dict[str | bytes, int]:
        return {}

    def push(self, acc: dict[str | bytes, int], _time: float, mark: Any) -> None:
        for value in mark if type(mark) is tuple else (mark,):
            acc[value] = acc.get(value, 0) + 1

    def drop(self, acc: dict[str | bytes, int], mark: Any) -> None:
        for value in mark if type(mark) is tuple else (mark,):
            left = acc[value] - 1
            if left:
                acc[value] = left
            else:
                del acc[value]

    def holds(self, acc: dict[str | bytes, int], _group: Group, _first: int, _end: int) -> bool:
        return self._compare(len(acc), self._limit)


def _numbers(marks: Sequence[Any], first: int, end: int) -> list[Number]:
    return [value for mark in marks[first:end] for value in (mark if type(mark) is tuple else (mark,))]


class _Total:
    """A running sum, how far off it may be, and of how many numbers."""

    __slots__ = ("count", "error", "value")

    def __init__(self) -> None:
        self.value: Number = 0
        self.error = 0.0
        self.count = 0


class Summed(Tracker):
    """``value_sum``, ``value_avg``: a mark is one number, or a tuple of several.

    The running sum of numbers with a fraction drifts; how far is bounded, and where the bound leaves the comparison
    open the window is added up anew.
    """

    def __init__(self, plan: CorrelationPlan, evidence: Evidence, **limits: Any) -> None:
        super().__init__(plan, evidence, **limits)
        self._mean = plan.kind == "value_avg"
        self.trailing = self._mean or plan.operator not in RISING
        self._compare, self._limit = OPERATORS[plan.operator], plan.limit

    def fresh(self) -> _Total:
        return _Total()

    def push(self, acc: _Total, _time: float, mark: Any) -> None:
        for number in mark if type(mark) is tuple else (mark,):
            value = acc.value = acc.value + number
            acc.count += 1
            if type(value) is float:
                acc.error += abs(value) * _ROUNDING

    def drop(self, acc: _Total, mark: Any) -> None:
        for number in mark if type(mark) is tuple else (mark,):
            value = acc.value = acc.value - number
            acc.count -= 1
            if type(value) is float:
                acc.error += abs(value) * _ROUNDING

    def holds(self, acc: _Total, group: Group, first: int, end: int) -> bool:
        value, limit = acc.value, self._limit
        if type(value) is int and not self._mean:
            return self._compare(value, limit)
        count = acc.count if self._mean else 1
        bound = limit * count
        slack = acc.error + (abs(value) + abs(bound)) * 4 * _ROUNDING
        if abs(value - bound) > slack:
            return self._compare(value, bound)
        numbers = _numbers(group.marks, first, end)
        total = sum_of(numbers)
        if isinstance(total, int | float):
            acc.value, acc.error = total, abs(total) * _ROUNDING if type(total) is float else 0.0
        return self._compare(mean_of(numbers) if self._mean else total, limit)  # type: ignore[arg-type]


class Ranked(Tracker):
    """``value_median``, ``value_percentile``: over the numbers of the window, which are kept in order."""

    trailing = True

    def __init__(self, plan: CorrelationPlan, evidence: Evidence, **limits: Any) -> None:
        super().__init__(plan, evidence, **limits)
        self._percentile = plan.percentile if plan.kind == "value_percentile" else None
        self._compare, self._limit = OPERATORS[plan.operator], plan.limit

    def fresh(self) -> list[Number]:
        return []

    def push(self, acc: list[Number], _time: float, mark: Any) -> None:
        for number in mark if type(mark) is tuple else (mark,):
            insort(acc, number)

    def drop(self, acc: list[Number], mark: Any) -> None:
        for number in mark if type(mark) is tuple else (mark,):
            del acc[bisect_left(acc, number)]

    def holds(self, acc: list[Number], _group: Group, _first: int, _end: int) -> bool:
        value = median_of(acc) if self._percentile is None else percentile_of(acc, self._percentile)
        return self._compare(value, self._limit)


class _ByRule(Tracker):
    """Types about which rules matched: a mark is their places in the list, as bits."""

    def __init__(self, plan: CorrelationPlan, evidence: Evidence, **limits: Any) -> None:
        super().__init__(plan, evidence, **limits)
        self._bits: dict[int, tuple[int, ...]] = {}

    def places(self, mask: int) -> tuple[int, ...]:
        found = self._bits.get(mask)
        if found is None:
            if len(self._bits) > 4096:
                self._bits.clear()
            found = self._bits[mask] = bits_of(mask)
        return found

    def no_marks(self) -> Any:
        return bytearray() if len(self.plan.rules) <= 8 else []

    def remember(self, group: Group, record: int, mark: int) -> None:
        """As for all types, a mark behind each number; but the last event of each rule stays, however many of the
        others come."""
        evidence = group.evidence
        if mark < _MARK_LIMIT:
            evidence.append(record)
            evidence.append(mark)
        if len(evidence) > 4 * EVIDENCE_LIMIT:
            kept = representative(list(zip(evidence[::2], evidence[1::2], strict=True)), EVIDENCE_LIMIT)
            group.evidence = array("q", [number for pair in kept for number in pair])

    def recall(self, key: GroupKey, event: Event, record: int | None) -> Shown:
        evidence = self.groups[key].evidence
        return Shown(
            self.evidence, evidence[::2], event, record, self.window, EVIDENCE_LIMIT, marks=evidence[1::2]
        )


class Together(_ByRule):
    """``temporal``: known is when each rule matched last."""

    def __init__(self, plan: CorrelationPlan, evidence: Evidence, **limits: Any) -> None:
        super().__init__(plan, evidence, **limits)
        self._rules = len(plan.rules)
        self._all = plan.tree is None and plan.wants_all
        self._known: dict[int, bool] = {}
        if plan.tree is not None:
            bits: dict[str, int] = {}
            for at, rule in enumerate(plan.rules):
                bits[rule] = bits.get(rule, 0) | 1 << at
            self._truth = truth_of(plan.tree, bits)
            self.trailing = negates(plan.tree)
        else:
            compare, limit = OPERATORS[plan.operator], plan.limit
            self._truth = lambda mask: compare(mask.bit_count(), limit)
            self.trailing = plan.operator not in RISING

    def fresh(self) -> list[float]:
        return [_NEVER] * self._rules

    def push(self, acc: list[float], time: float, mark: int) -> None:
        for place in self.places(mark):
            if time > acc[place]:
                acc[place] = time

    def holds(self, acc: list[float], group: Group, first: int, _end: int) -> bool:
        oldest = group.times[first]
        if self._all:
            return min(acc) >= oldest
        mask = 0
        for place, time in enumerate(acc):
            if time >= oldest:
                mask |= 1 << place
        found = self._known.get(mask)
        if found is None:
            if len(self._known) > 4096:
                self._known.clear()
            found = self._known[mask] = self._truth(mask)
        return found


class _Chain:
    """How late a chain through the first rules, in strictly increasing time, can begin.

    ``done`` for chains that ended before ``at``, ``now`` for those that end with it.
    """

    __slots__ = ("at", "done", "now")

    def __init__(self, length: int) -> None:
        self.at = _NEVER
        self.done = [_NEVER] * length
        self.now = [_NEVER] * length


class Ordered(_ByRule):
    """``temporal_ordered``: known is a chain for each way in which the condition can hold, and when each of the
    rules that must not match matched last."""

    def __init__(self, plan: CorrelationPlan, evidence: Evidence, **limits: Any) -> None:
        super().__init__(plan, evidence, **limits)
        if plan.tree is None:
            self._ways = [Alternative(tuple(range(len(plan.rules))), ())]
        else:
            self._ways = alternatives_of(plan.tree, plan.rules)
        self._rules = len(plan.rules)
        self.trailing = any(absent for _, absent in self._ways)
        #: Where a rule stands in each way's chain.
        self._steps: list[dict[int, int]] = [
            {place: step for step, place in enumerate(chain)} for chain, _ in self._ways
        ]

    def fresh(self) -> tuple[list[_Chain], list[float]]:
        chains = [_Chain(len(chain)) for chain, _ in self._ways]
        return chains, [_NEVER] * (self._rules if self.trailing else 0)

    def push(self, acc: tuple[list[_Chain], list[float]], time: float, mark: int) -> None:
        chains, last = acc
        places = self.places(mark)
        for chain, steps in zip(chains, self._steps, strict=True):
            done, now = chain.done, chain.now
            if time != chain.at:
                for at, begin in enumerate(now):
                    if begin > done[at]:
                        done[at] = begin
                chain.at = time
            for place in places:
                step = steps.get(place)
                if step is not None:
                    begin = done[step - 1] if step else time
                    if begin > now[step]:
                        now[step] = begin
        if last:
            for place in places:
                last[place] = max(last[place], time)

    def insert(self, group: Group, _time: float, _mark: int) -> None:
        self.rebuild(group)

    def holds(self, acc: tuple[list[_Chain], list[float]], group: Group, first: int, _end: int) -> bool:
        oldest = group.times[first]
        chains, last = acc
        for chain, (rules, absent) in zip(chains, self._ways, strict=True):
            begun = not rules or max(chain.done[-1], chain.now[-1]) >= oldest
            if begun and not any(last[place] >= oldest for place in absent):
                return True
        return False


class Longest(_ByRule):
    """``temporal_ordered`` with a number: how many rules of the list match in its order, in strictly increasing time.

    Known is, for each length and each rule that such a chain can end with, how late it can begin.
    """

    def __init__(self, plan: CorrelationPlan, evidence: Evidence, **limits: Any) -> None:
        super().__init__(plan, evidence, **limits)
        self._rules = len(plan.rules)
        self._compare, self._limit = OPERATORS[plan.operator], plan.limit
        self.trailing = plan.operator not in RISING

    def fresh(self) -> list[_Chain]:
        return [_Chain(self._rules) for _ in range(self._rules)]

    def push(self, acc: list[_Chain], time: float, mark: int) -> None:
        if time != acc[0].at:
            for chain in acc:
                chain.done = [max(one, other) for one, other in zip(chain.done, chain.now, strict=True)]
            acc[0].at = time
        for place in self.places(mark):
            acc[0].now[place] = time
            for length in range(1, place + 1):
                begin = max(acc[length - 1].done[:place], default=_NEVER)
                if begin > acc[length].now[place]:
                    acc[length].now[place] = begin

    def insert(self, group: Group, _time: float, _mark: int) -> None:
        self.rebuild(group)

    def holds(self, acc: list[_Chain], group: Group, first: int, _end: int) -> bool:
        oldest = group.times[first]
        length = sum(max(max(chain.done), max(chain.now)) >= oldest for chain in acc)
        return self._compare(length, self._limit)


_KINDS: Final[dict[str, type[Tracker]]] = {
    "event_count": Counted,
    "value_count": Distinct,
    "value_sum": Summed,
    "value_avg": Summed,
    "value_median": Ranked,
    "value_percentile": Ranked,
    "temporal": Together,
    "temporal_ordered": Ordered,
}
