"""What a correlation's condition asks, as pure functions: numbers of a window, boolean conditions, orders.

What the Sigma correlation rules 2.1 leave open is settled here and told to rule authors in ``docs/correlations.md``.
"""

from __future__ import annotations

import math
import operator
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

from rules.engine.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rules.engine.correlation_plan import Tree

Number = int | float

OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "neq": operator.ne,
}
#: With these, more events can only help a count.
RISING: Final = frozenset({"gt", "gte"})
_ALTERNATIVES_LIMIT: Final = 64


def sum_of(values: Sequence[Number]) -> Number | Fraction:
    """Of whole numbers the exact sum, else the sum rounded once (not once an addition)."""
    if all(isinstance(each, int) for each in values):
        return sum(values)
    try:
        return math.fsum(values)
    except OverflowError:
        return sum(map(Fraction, values), Fraction())


def mean_of(values: Sequence[Number]) -> Number | Fraction:
    return sum_of(values) / len(values)


def median_of(ordered: Sequence[Number]) -> Number:
    """The middle one of numbers in order, of two middle ones the mean."""
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def percentile_of(ordered: Sequence[Number], percentile: int) -> Number:
    """The least of the numbers that at least so many per cent of them do not exceed (nearest rank)."""
    return ordered[-(-percentile * len(ordered) // 100) - 1]


def bits_of(mask: int) -> tuple[int, ...]:
    return tuple(at for at in range(mask.bit_length()) if mask >> at & 1)


def truth_of(tree: Tree, bits: Mapping[str, int]) -> Callable[[int], bool]:
    """A boolean condition over the rules that matched, as bits. ``bits``: a reference as written, and its bits."""
    if isinstance(tree, str):
        wanted = bits[tree]
        return lambda matched: bool(matched & wanted)
    inner = [truth_of(each, bits) for each in tree[1:]]
    if tree[0] == "not":
        return lambda matched: not inner[0](matched)
    if tree[0] == "and":
        return lambda matched: all(each(matched) for each in inner)
    return lambda matched: any(each(matched) for each in inner)


def negates(tree: Tree) -> bool:
    """Whether an event more can make the condition false."""
    if isinstance(tree, str):
        return False
    return tree[0] == "not" or any(negates(each) for each in tree[1:])


class Alternative(NamedTuple):
    """One way in which an ordered condition can hold: rules that match in this order, and rules that do not match.

    Both are places in the list of rules.
    """

    chain: tuple[int, ...]
    absent: tuple[int, ...]


def alternatives_of(tree: Tree, rules: Sequence[str]) -> list[Alternative]:
    """The ways in which a boolean condition of ``temporal_ordered`` can hold, none of which another one includes.

    Those of its rules that match do so in the order of the list; those behind ``not`` do not match in the timespan.
    """
    found = _ways(tree, {rule: at for at, rule in reversed(list(enumerate(rules)))}, negated=False)
    possible = [(yes, no) for yes, no in dict.fromkeys(found) if yes.isdisjoint(no)]
    least = [
        (yes, no)
        for yes, no in possible
        if not any((yes, no) != (other, none) and other <= yes and none <= no for other, none in possible)
    ]
    return [Alternative(tuple(sorted(yes)), tuple(sorted(no))) for yes, no in least]


_Way = tuple[frozenset[int], frozenset[int]]


def _ways(tree: Tree, places: Mapping[str, int], *, negated: bool) -> list[_Way]:
    if isinstance(tree, str):
        one, none = frozenset({places[tree]}), frozenset[int]()
        return [(none, one) if negated else (one, none)]
    if tree[0] == "not":
        return _ways(tree[1], places, negated=not negated)
    parts = [_ways(each, places, negated=negated) for each in tree[1:]]
    if (tree[0] == "or") is not negated:
        return _bounded(way for part in parts for way in part)
    ways = parts[0]
    for part in parts[1:]:
        ways = _bounded((yes | more, no | less) for yes, no in ways for more, less in part)
    return ways


def _bounded(ways: Iterable[_Way]) -> list[_Way]:
    found = list(dict.fromkeys(ways))
    if len(found) > _ALTERNATIVES_LIMIT:
        raise RuleError("the condition can hold in too many ways for an order")
    return found
