"""Correlations against the plainest reading of their definition, on any events in any order of arrival."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.engine import Engine
from tests.rules.helpers import event, rule, rule_id

if TYPE_CHECKING:
    from collections.abc import Callable

TIMESPAN = 10.0
#: (time, kind, host, user): few values, so that windows and groups meet at their edges.
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 40).map(float), st.sampled_from("abc"), st.sampled_from("xy"), st.sampled_from("12")
    ),
    max_size=25,
)
Happened = tuple[float, str, str, str]


def chain(window: list[Happened]) -> bool:
    """Rules a, b, c in strictly increasing time."""
    first = [one[0] for one in window if one[1] == "a"]
    second = [one[0] for one in window if one[1] == "b"]
    third = [one[0] for one in window if one[1] == "c"]
    return any(one < two < three for one in first for two in second for three in third)


CONDITIONS: dict[str, Callable[[list[Happened]], bool]] = {
    "type: event_count\ncondition: {gte: 3}": lambda window: len(window) >= 3,
    "type: value_count\ncondition: {field: pair, gte: 4}": lambda window: (
        len({one[1] + one[3] for one in window}) >= 4
    ),
    "type: temporal": lambda window: {one[1] for one in window} == set("abc"),
    "type: temporal\ncondition: a and (b or c)": lambda window: (
        "a" in {one[1] for one in window} and bool({"b", "c"} & {one[1] for one in window})
    ),
    "type: temporal_ordered": chain,
}


@pytest.mark.parametrize("body", CONDITIONS)
@settings(max_examples=150, deadline=None)
@given(happened=EVENTS)
def test_a_correlation_fires_exactly_where_its_definition_says(body: str, happened: list[Happened]) -> None:
    head, _, tail = body.partition("\n")
    lines = [
        head,
        "rules: [a, b, c]",
        "group-by: [host]",
        f"timespan: {TIMESPAN:.0f}s",
        *([tail] if tail else []),
    ]
    rules = [
        rule(f"s: {{kind: {kind}}}\ncondition: s", number=n, name=kind) for n, kind in enumerate("abc", 1)
    ]
    text = f"title: C\nid: {rule_id(10)}\ncorrelation:\n  " + "\n  ".join(lines)
    engine = Engine([*rules, text], lateness_seconds=None)
    assert engine.unsupported == []
    arrived: list[Happened] = []
    for number, one in enumerate(happened):
        time, kind, host, user = one
        arrived.append(one)
        same = [other for other in arrived if other[2] == host]
        starts = {other[0] for other in same if time - TIMESPAN <= other[0] <= time}
        windows = [[other for other in same if start <= other[0] <= start + TIMESPAN] for start in starts]
        expected = any(CONDITIONS[body](window) for window in windows)
        fields = {"kind": kind, "host": host, "pair": kind + user}
        found = engine.process(event(fields, time=time, number=number))
        assert bool(found) is expected
        assert all(abs(other.time - time) <= TIMESPAN for finding in found for other in finding.events)
