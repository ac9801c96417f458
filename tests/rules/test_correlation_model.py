"""Correlations against the plainest reading of their definition, on any events in any order of arrival."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.engine.events import Event
from rules.engine.fields import View
from tests.rules.correlations import correlations_of

if TYPE_CHECKING:
    from rules.engine.correlation import Correlations

TIMESPAN = 10.0


class Happened(NamedTuple):
    """What each event is: few values of each, so that windows, groups and values meet at their edges."""

    time: float
    kinds: frozenset[str]
    hosts: tuple[str, ...]
    users: tuple[str, ...]
    sizes: tuple[float, ...]


EVENTS = st.lists(
    st.builds(
        Happened,
        st.integers(0, 40).map(float) | st.sampled_from([0.1, 10.1, 20.1, 10.100000000000001]),
        st.sets(st.sampled_from("abc"), min_size=1, max_size=2).map(frozenset),
        st.lists(st.sampled_from("xy"), max_size=2).map(tuple),
        st.lists(st.sampled_from("123"), max_size=2).map(tuple),
        st.lists(st.sampled_from([1, 2, 3, -2, 0.1, 0.2, 0.3, 2**53, 1e308]), max_size=2).map(tuple),
    ),
    max_size=25,
)
Window = list[Happened]
Holds = Callable[[Window], bool]


def chain(window: Window, *kinds: str) -> bool:
    """Rules matched in this order by events of strictly increasing time."""
    times = [sorted({one.time for one in window if kind in one.kinds}) for kind in kinds]
    return any(
        all(first < second for first, second in itertools.pairwise(picked))
        for picked in itertools.product(*times)
    )


def longest(window: Window) -> int:
    return max(
        length
        for length in range(4)
        for kinds in itertools.combinations("abc", length)
        if chain(window, *kinds)
    )


def kinds(window: Window) -> frozenset[str]:
    return frozenset[str]().union(*(one.kinds for one in window))


def users(window: Window) -> int:
    return len({user for one in window for user in one.users})


def pairs(window: Window) -> int:
    return len({(user, size) for one in window for user in one.users for size in one.sizes})


def sizes(window: Window) -> list[float]:
    return [size for one in window for size in one.sizes]


def total(values: list[float]) -> Any:
    if all(isinstance(each, int) for each in values):
        return sum(values)
    try:
        return math.fsum(values)
    except OverflowError:
        return sum(map(Fraction, values))


def rank(values: list[float], percentile: int) -> float:
    return sorted(values)[math.ceil(Fraction(percentile * len(values), 100)) - 1]


class Case(NamedTuple):
    """``any_window``: whether any timespan with the arriving event counts, or the one that ends with it."""

    any_window: bool
    holds: Holds
    #: What an event needs to take part.
    needs: Callable[[Happened], bool] = lambda _: True


def by_users(one: Happened) -> bool:
    return bool(one.users)


def by_sizes(one: Happened) -> bool:
    return bool(one.sizes)


CASES: dict[str, Case] = {
    "event_count; {gte: 3}": Case(True, lambda w: len(w) >= 3),
    "event_count; {gt: 2.5}": Case(True, lambda w: len(w) > 2.5),
    "event_count; {lt: 3}": Case(False, lambda w: len(w) < 3),
    "event_count; {eq: 2}": Case(False, lambda w: len(w) == 2),
    "event_count; {neq: 2}": Case(False, lambda w: len(w) != 2),
    "value_count; {field: user, gte: 2}": Case(True, lambda w: users(w) >= 2, by_users),
    "value_count; {field: user, lte: 1}": Case(False, lambda w: users(w) <= 1, by_users),
    "value_count; {field: [user, size], gt: 3}": Case(
        True, lambda w: pairs(w) > 3, lambda one: by_users(one) and by_sizes(one)
    ),
    "value_sum; {field: size, gte: 4}": Case(True, lambda w: total(sizes(w)) >= 4, by_sizes),
    "value_sum; {field: size, eq: 0.6}": Case(False, lambda w: total(sizes(w)) == 0.6, by_sizes),
    "value_sum; {field: size, lt: 2}": Case(False, lambda w: total(sizes(w)) < 2, by_sizes),
    "value_avg; {field: size, gte: 0.2}": Case(
        False, lambda w: total(sizes(w)) / len(sizes(w)) >= 0.2, by_sizes
    ),
    "value_avg; {field: size, lt: 2}": Case(False, lambda w: total(sizes(w)) / len(sizes(w)) < 2, by_sizes),
    "value_median; {field: size, gt: 1}": Case(False, lambda w: statistics.median(sizes(w)) > 1, by_sizes),
    "value_percentile; {field: size, percentile: 70, lte: 2}": Case(
        False, lambda w: rank(sizes(w), 70) <= 2, by_sizes
    ),
    "temporal;": Case(True, lambda w: len(kinds(w)) == 3),
    "temporal; {gte: 2}": Case(True, lambda w: len(kinds(w)) >= 2),
    "temporal; {lt: 2}": Case(False, lambda w: len(kinds(w)) < 2),
    "temporal; a and (b or c)": Case(True, lambda w: "a" in kinds(w) and bool({"b", "c"} & kinds(w))),
    "temporal; (a or b) and not c": Case(
        False, lambda w: bool({"a", "b"} & kinds(w)) and "c" not in kinds(w)
    ),
    "temporal; not (a and not b) or not c": Case(
        False, lambda w: not ("a" in kinds(w) and "b" not in kinds(w)) or "c" not in kinds(w)
    ),
    "temporal_ordered;": Case(True, lambda w: chain(w, "a", "b", "c")),
    "temporal_ordered; {gte: 2}": Case(True, lambda w: longest(w) >= 2),
    "temporal_ordered; {eq: 1}": Case(False, lambda w: longest(w) == 1),
    "temporal_ordered; a and b and c": Case(True, lambda w: chain(w, "a", "b", "c")),
    "temporal_ordered; c and (a or b)": Case(True, lambda w: chain(w, "a", "c") or chain(w, "b", "c")),
    "temporal_ordered; a and b and not c": Case(False, lambda w: chain(w, "a", "b") and "c" not in kinds(w)),
    "temporal_ordered; (a and b) or not c": Case(False, lambda w: chain(w, "a", "b") or "c" not in kinds(w)),
}


def correlation(case: str) -> str:
    kind, _, condition = case.partition(";")
    rules = "[a, b, c]" if all(each in condition for each in "abc") or "{" in condition else None
    if not condition.strip():
        rules = "[a, b, c]"
    listed = (
        f"rules: {rules}\n  " if rules else f"rules: [{', '.join(k for k in 'abc' if k in condition)}]\n  "
    )
    asked = f"condition: {condition.strip()}\n  " if condition.strip() else ""
    return (
        f"title: C\nname: corr\ncorrelation:\n  type: {kind}\n  {listed}{asked}"
        f"group-by: [host]\n  timespan: {TIMESPAN:.0f}s\n"
    )


def expected(case: Case, same: list[Happened], now: Happened) -> bool:
    """By the definition; ``same``: what is in the group, the arriving event too."""
    ends = {one.time for one in same if one.time >= now.time} if case.any_window else {now.time}
    return any(
        case.holds([one for one in same if end - TIMESPAN <= one.time <= end])
        for end in ends
        if end - TIMESPAN <= now.time
    )


def give(correlations: Correlations, number: int, one: Happened) -> list[Any]:
    fields = {"host": list(one.hosts), "user": list(one.users), "size": list(one.sizes)}
    event = Event(str(number), one.time, "", "test", "", fields)
    return correlations.take(event, View(fields), {kind: {} for kind in sorted(one.kinds)})


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=120, deadline=None)
@given(happened=EVENTS, lateness=st.sampled_from([None, 0.0, 5.0]), restart=st.integers(0, 30))
def test_a_correlation_fires_exactly_where_its_definition_says(
    name: str, happened: list[Happened], lateness: float | None, restart: int
) -> None:
    case = CASES[name]
    listens = kinds_of(name)
    correlations = correlations_of(correlation(name), lateness_seconds=lateness)
    groups: dict[str, list[Happened]] = {}
    for number, one in enumerate(happened):
        if number == restart:
            kept = correlations.snapshot()
            correlations = correlations_of(correlation(name), lateness_seconds=lateness)
            assert correlations.restore(kept)
        fires = set()
        for host in set(one.hosts):
            same = groups.setdefault(host, [])
            newest = max((other.time for other in same), default=-math.inf)
            keep = TIMESPAN + lateness if lateness is not None else math.inf
            if not one.kinds & listens or not case.needs(one) or one.time < newest - keep:
                continue
            same.append(one)
            groups[host] = same = [other for other in same if other.time >= max(newest, one.time) - keep]
            if expected(case, same, one):
                fires.add(host)
        found = give(correlations, number, one)
        assert {finding.group["host"] for finding in found} == fires
        assert len(found) == len(fires)
        for finding in found:
            times = [event.time for event in finding.events]
            assert times == sorted(times)
            assert one.time - TIMESPAN <= times[0] <= times[-1] <= one.time + TIMESPAN
            assert finding.event in finding.events
            assert len({event.id for event in finding.events}) == len(finding.events)


def kinds_of(name: str) -> frozenset[str]:
    condition = name.partition(";")[2]
    if "{" in condition or not condition.strip():
        return frozenset("abc")
    return frozenset("abc") & frozenset(condition.replace("and", "").replace("not", "").replace("or", ""))


@settings(max_examples=60, deadline=None)
@given(
    happened=EVENTS,
    name=st.sampled_from(list(CASES)),
    state_limit=st.integers(1, 12),
    group_limit=st.integers(1, 6),
)
def test_what_limits_take_away_is_counted_and_the_rest_is_there(
    happened: list[Happened], name: str, state_limit: int, group_limit: int
) -> None:
    correlations = correlations_of(
        correlation(name), lateness_seconds=None, state_limit=state_limit, group_limit=group_limit
    )
    for number, one in enumerate(happened):
        give(correlations, number, one)
        (counts,) = correlations.statistics().values()
        assert counts.occurrences == counts.entries + counts.evicted
        assert counts.entries <= state_limit or counts.groups == 1
        assert counts.evicted == correlations.evicted
    kept = correlations.snapshot()
    again = correlations_of(correlation(name), lateness_seconds=None)
    assert again.restore(kept)
    assert [each.entries for each in again.statistics().values()] == [
        each.entries for each in correlations.statistics().values()
    ]
