"""Correlations on event time: every type, windows, groups, order of arrival, bounds."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import pytest

from rules.engine import Engine, Finding
from tests.rules.helpers import event, rule, rule_id

BASE = [
    rule("s: {kind: a}\ncondition: s", number=1, name="rule_a"),
    rule("s: {kind: b}\ncondition: s", number=2, name="rule_b"),
    rule("s: {kind: c}\ncondition: s", number=3, name="rule_c"),
]


def correlation(body: str, *, number: int = 10, name: str = "corr", more: str = "") -> str:
    inner = textwrap.indent(textwrap.dedent(body).strip("\n"), "  ")
    return f"title: Correlation {number}\nid: {rule_id(number)}\nname: {name}\n{more}correlation:\n{inner}\n"


def engine_of(*correlations: str, **options: Any) -> Engine:
    engine = Engine([*BASE, *correlations], **options)
    assert engine.unsupported == []
    return engine


def run(engine: Engine, *events: tuple[float, dict[str, Any]]) -> list[list[Finding]]:
    return [engine.process(event(fields, time=at, number=n)) for n, (at, fields) in enumerate(events)]


def fired(engine: Engine, *events: tuple[float, dict[str, Any]]) -> list[int]:
    """The indexes of the events that completed correlation 10."""
    found = run(engine, *events)
    return [n for n, findings in enumerate(found) if any(each.rule_id == rule_id(10) for each in findings)]


def a(at: float, **fields: Any) -> tuple[float, dict[str, Any]]:
    return at, {"kind": "a", "host": "h", **fields}


def b(at: float, **fields: Any) -> tuple[float, dict[str, Any]]:
    return at, {"kind": "b", "host": "h", **fields}


def c(at: float, **fields: Any) -> tuple[float, dict[str, Any]]:
    return at, {"kind": "c", "host": "h", **fields}


COUNT = """
type: event_count
rules: [rule_a]
group-by: [host]
timespan: 60s
condition: {%s}
"""


def test_event_count_is_completed_by_the_event_that_reaches_it_and_by_each_one_after() -> None:
    assert fired(engine_of(correlation(COUNT % "gte: 3")), a(0), a(1), a(2), a(3)) == [2, 3]


def test_both_ends_of_a_window_are_inside() -> None:
    assert fired(engine_of(correlation(COUNT % "gte: 2")), a(0), a(60)) == [1]
    assert fired(engine_of(correlation(COUNT % "gte: 2")), a(0), a(60.001)) == []


def test_windows_slide_and_are_not_cut_at_full_minutes() -> None:
    assert fired(engine_of(correlation(COUNT % "gte: 3")), a(50), a(59), a(70)) == [2]


def test_events_count_in_whatever_order_of_time_they_arrive() -> None:
    assert fired(engine_of(correlation(COUNT % "gte: 3")), a(100), a(50), a(160), a(75)) == [3]


def test_an_event_that_arrives_late_is_counted_with_later_ones_in_its_window() -> None:
    assert fired(engine_of(correlation(COUNT % "gte: 3")), a(200), a(210), a(190)) == [2]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("gt: 2", [2, 3]), ("eq: 2", [1]), ("lt: 2", [0]), ("lte: 2", [0, 1]), ("neq: 2", [0, 2, 3])],
)
def test_every_operator_looks_at_the_window_that_ends_with_the_event(
    condition: str, expected: list[int]
) -> None:
    assert fired(engine_of(correlation(COUNT % condition)), a(0), a(1), a(2), a(3)) == expected


def test_groups_are_counted_apart_and_named_in_the_finding() -> None:
    engine = engine_of(correlation(COUNT % "gte: 2"))
    findings = run(engine, a(0, host="x"), a(1, host="y"), a(2, host="x"))
    assert findings[1] == []
    assert findings[2][0].group == {"host": "x"}
    assert [each.id for each in findings[2][0].events] == ["0", "2"]


@pytest.mark.parametrize("host", [None, []])
def test_an_event_without_a_group_by_field_takes_no_part(host: object) -> None:
    assert fired(engine_of(correlation(COUNT % "gte: 1")), a(0, host=host)) == []


def test_an_event_with_several_values_of_a_group_by_field_is_in_each_group() -> None:
    assert fired(engine_of(correlation(COUNT % "gte: 2")), a(0, host=["x", "y"]), a(1, host="y")) == [1]


def test_without_group_by_all_events_are_one_group() -> None:
    body = "type: event_count\nrules: [rule_a]\ntimespan: 1m\ncondition: {gte: 2}"
    assert fired(engine_of(correlation(body)), a(0, host="x"), a(1, host="y")) == [1]


def test_an_event_that_matches_two_rules_of_a_count_counts_once() -> None:
    double = rule("s: {host: h}\ncondition: s", number=4, name="rule_d")
    body = "type: event_count\nrules: [rule_a, rule_d]\ntimespan: 1m\ncondition: {gte: 2}"
    engine = Engine([*BASE, double, correlation(body)])
    assert fired(engine, a(0), a(1)) == [1]


def test_value_count_counts_distinct_values() -> None:
    body = (
        "type: value_count\nrules: [rule_a]\ngroup-by: [host]\ntimespan: 1m\ncondition: {field: user, gte: 3}"
    )
    events = [a(0, user="x"), a(1, user="x"), a(2, user="y"), a(3), a(4, user="z"), a(5, user="z")]
    assert fired(engine_of(correlation(body)), *events) == [4, 5]


def test_value_count_over_several_fields_counts_combinations() -> None:
    body = "type: value_count\nrules: [rule_a]\ntimespan: 1m\ncondition: {field: [user, port], gte: 2}"
    assert fired(engine_of(correlation(body)), a(0, user="x", port=1), a(1, user="x", port=2)) == [1]


@pytest.mark.parametrize(
    ("kind", "condition", "values", "expected"),
    [
        ("value_sum", "gte: 10", [4, "5", "none", 1], [3]),
        ("value_sum", "lt: 10", [4, 5, 1], [0, 1]),
        ("value_avg", "gt: 2", [1, 2, 6], [2]),
        ("value_median", "gte: 5", [1, 9, 5], [1, 2]),
        ("value_percentile", "percentile: 50, gte: 5", [1, 5, 9], [2]),
    ],
)
def test_numeric_correlations_take_the_numbers_of_their_field(
    kind: str, condition: str, values: list[Any], expected: list[int]
) -> None:
    body = f"type: {kind}\nrules: [rule_a]\ntimespan: 1m\ncondition: {{field: size, {condition}}}"
    events = [a(n, size=value) for n, value in enumerate(values)]
    assert fired(engine_of(correlation(body)), *events) == expected


def test_value_avg_is_over_the_timespan_that_ends_with_the_event() -> None:
    body = "type: value_avg\nrules: [rule_a]\ntimespan: 10s\ncondition: {field: size, gte: 5}"
    assert fired(engine_of(correlation(body)), a(0, size=1), a(5, size=8), a(11, size=4)) == [2]


TEMPORAL = "type: %s\nrules: [rule_a, rule_b]\ngroup-by: [host]\ntimespan: 1m"


def test_temporal_needs_all_its_rules_in_any_order() -> None:
    assert fired(engine_of(correlation(TEMPORAL % "temporal")), b(0), b(1), a(2)) == [2]
    assert fired(engine_of(correlation(TEMPORAL % "temporal")), b(0), a(61)) == []
    assert fired(engine_of(correlation(TEMPORAL % "temporal")), b(0, host="x"), a(1)) == []


def test_temporal_with_a_number_needs_so_many_different_rules() -> None:
    body = "type: temporal\nrules: [rule_a, rule_b, rule_c]\ntimespan: 1m\ncondition: {gte: 2}"
    assert fired(engine_of(correlation(body)), a(0), a(1), c(2)) == [2]


def test_temporal_ordered_needs_the_order_of_the_list_by_event_time() -> None:
    assert fired(engine_of(correlation(TEMPORAL % "temporal_ordered")), a(0), b(1)) == [1]
    assert fired(engine_of(correlation(TEMPORAL % "temporal_ordered")), b(0), a(1)) == []
    assert fired(engine_of(correlation(TEMPORAL % "temporal_ordered")), b(5), a(1)) == [1]


def test_temporal_ordered_needs_strictly_increasing_time() -> None:
    assert fired(engine_of(correlation(TEMPORAL % "temporal_ordered")), a(1), b(1)) == []


def test_temporal_ordered_over_three_rules_finds_the_chain_among_others() -> None:
    body = "type: temporal_ordered\nrules: [rule_a, rule_b, rule_c]\ntimespan: 1m"
    assert fired(engine_of(correlation(body)), c(0), b(1), a(2), b(3), a(4), c(5)) == [5]
    assert fired(engine_of(correlation(body)), b(1), a(2), c(5)) == []


@pytest.mark.parametrize(
    ("condition", "events", "expected"),
    [
        ("rule_a and rule_b", [a(0), b(1)], [1]),
        ("rule_a or rule_b", [a(0)], [0]),
        ("rule_a and not rule_b", [a(0), b(1), a(2), a(62)], [0, 3]),
        ("rule_a and (rule_b or rule_c)", [a(0), c(1)], [1]),
    ],
)
def test_temporal_takes_boolean_conditions(
    condition: str, events: list[tuple[float, dict[str, Any]]], expected: list[int]
) -> None:
    body = f"type: temporal\ntimespan: 1m\ncondition: {condition}"
    assert fired(engine_of(correlation(body)), *events) == expected


@pytest.mark.parametrize(
    ("condition", "events", "expected"),
    [
        ("rule_a and (rule_b or rule_c)", [b(0), a(1), c(2)], [2]),
        ("rule_a and (rule_b or rule_c)", [c(0), b(1), a(2)], []),
        ("rule_a or rule_b", [b(0)], [0]),
        ("rule_a and rule_b and not rule_c", [a(0), b(1), c(2), b(3), b(63)], [1]),
        ("rule_a and not rule_a", [a(0)], []),
    ],
)
def test_temporal_ordered_takes_boolean_conditions_those_that_match_in_the_order_of_the_list(
    condition: str, events: list[tuple[float, dict[str, Any]]], expected: list[int]
) -> None:
    body = f"type: temporal_ordered\ntimespan: 1m\ncondition: {condition}"
    assert fired(engine_of(correlation(body)), *events) == expected


def test_an_order_with_too_many_ways_to_hold_is_refused() -> None:
    pairs = " and ".join(f"(r{n} or s{n})" for n in range(8))
    engine = Engine([correlation(f"type: temporal_ordered\ntimespan: 1m\ncondition: {pairs}")])
    assert "too many ways" in engine.unsupported[0].reason


def test_aliases_give_one_name_to_different_fields() -> None:
    body = """
    type: temporal
    rules: [rule_a, rule_b]
    aliases: {user: {rule_a: Subject, rule_b: Target}}
    group-by: [user]
    timespan: 1m
    """
    engine = engine_of(correlation(body))
    findings = run(engine, a(0, Subject="lan"), b(1, Target="minh"), b(2, Target="lan"))
    assert [len(each) for each in findings] == [0, 0, 1]
    assert findings[2][0].group == {"user": "lan"}


INNER = correlation(COUNT % "gte: 2", number=9, name="inner")
OUTER = "type: temporal_ordered\nrules: [inner, rule_b]\ngroup-by: [host]\ntimespan: 5m"


def test_a_correlation_over_a_correlation_is_fed_by_what_completes_the_inner_one() -> None:
    assert fired(engine_of(INNER, correlation(OUTER)), a(0), a(10), b(200)) == [2]
    assert fired(engine_of(INNER, correlation(OUTER)), a(0), b(200)) == []
    assert engine_of(INNER, correlation(OUTER)).longest_timespan_seconds == 360


def test_what_a_correlation_refers_to_is_not_reported_by_itself() -> None:
    engine = engine_of(INNER, correlation(OUTER))
    assert [len(each) for each in run(engine, a(0), a(1), c(2))] == [0, 0, 1]


@pytest.mark.parametrize("more", ["generate: true\n", ""])
def test_generate_reports_what_the_correlation_refers_to_directly(more: str) -> None:
    engine = engine_of(INNER, correlation(OUTER, more=more))
    findings = run(engine, a(0), a(1), b(2))
    ids = [[each.rule_id for each in found] for found in findings]
    if more:
        assert ids == [[], [rule_id(9)], [rule_id(2), rule_id(10)]]
    else:
        assert ids == [[], [], [rule_id(10)]]


def test_report_all_tells_of_building_blocks_too() -> None:
    engine = engine_of(correlation(COUNT % "gte: 2"), report_all=True)
    assert [len(each) for each in run(engine, a(0), a(1))] == [1, 2]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("type: event_count\nrules: [nosuch]\ntimespan: 1m\ncondition: {gte: 1}", "nosuch"),
        ("type: event_count\nrules: [corr]\ntimespan: 1m\ncondition: {gte: 1}", "circle"),
        ("type: event_count\nrules: [rule_a]\ntimespan: 1x\ncondition: {gte: 1}", "Timespan"),
        ("type: nosuch\nrules: [rule_a]\ntimespan: 1m", "nosuch"),
        (
            "type: value_percentile\nrules: [rule_a]\ntimespan: 1m\ncondition: {field: x, gte: 1}",
            "percentile",
        ),
        (
            "type: value_sum\nrules: [rule_a]\ntimespan: 1m\ncondition: {field: [x, y], gte: 1}",
            "one field",
        ),
        (f"type: event_count\nrules: [rule_a]\ntimespan: 1m\ncondition: {{gte: {10**30}}}", "too large"),
        (f"type: event_count\nrules: [rule_a]\ntimespan: {10**30}d\ncondition: {{gte: 1}}", "longer"),
        ("type: value_count\nrules: [rule_a]\ntimespan: 1m\ncondition: {gte: 1}", "field"),
    ],
)
def test_a_correlation_that_cannot_be_run_is_refused_and_the_others_go_on(body: str, word: str) -> None:
    good = correlation(COUNT % "gte: 2", number=11, name="good")
    engine = Engine([*BASE, correlation(body), good])
    assert [(each.id, word in each.reason) for each in engine.unsupported] == [(rule_id(10), True)]
    assert [len(found) for found in run(engine, a(0), a(1))][-1] >= 1


def test_a_correlation_over_a_refused_rule_is_refused_with_it() -> None:
    broken = rule("s: {'a|re': '('}\ncondition: s", number=5, name="broken")
    body = "type: event_count\nrules: [broken]\ntimespan: 1m\ncondition: {gte: 1}"
    engine = Engine([broken, correlation(body)])
    assert {each.id for each in engine.unsupported} == {rule_id(5), rule_id(10)}


def test_an_event_without_a_time_takes_no_part_but_still_meets_rules() -> None:
    engine = engine_of(correlation(COUNT % "gte: 1"), report_all=True)
    found = engine.process(event({"kind": "a", "host": "h"}, time=math.nan))
    assert [each.rule_id for each in found] == [rule_id(1)]


def test_state_is_bounded_and_what_is_forgotten_is_counted() -> None:
    engine = engine_of(correlation(COUNT % "gte: 2"), state_limit=100)
    for number in range(1000):
        engine.process(event({"kind": "a", "host": str(number)}, time=number / 100))
    assert engine.evicted == 900
    assert fired(engine, a(10, host="999")) == [0]
    assert fired(engine, a(10, host="0")) == []


def test_one_busy_group_is_bounded_and_still_fires() -> None:
    engine = engine_of(correlation(COUNT % "gte: 3"), group_limit=50)
    found = run(engine, *[a(number / 1000) for number in range(120)])
    assert engine.evicted == 70
    assert all(found[2:])


def test_a_group_keeps_as_many_events_as_its_condition_asks_for() -> None:
    engine = engine_of(correlation(COUNT % "gte: 100"), group_limit=10)
    assert fired(engine, *[a(number / 1000) for number in range(101)]) == [99, 100]


def test_evidence_is_bounded_and_ends_with_the_completing_event() -> None:
    engine = engine_of(correlation(COUNT % "gte: 100"))
    found = run(engine, *[a(n / 10) for n in range(100)])[-1][0]
    assert len(found.events) == 20
    assert found.events[-1] is found.event


def test_events_older_than_the_lateness_no_longer_count() -> None:
    engine = engine_of(correlation(COUNT % "gte: 2"), lateness_seconds=100.0)
    assert fired(engine, a(0), a(1000), a(10)) == []
    patient = engine_of(correlation(COUNT % "gte: 2"), lateness_seconds=None)
    assert fired(patient, a(0), a(1000), a(10)) == [2]
