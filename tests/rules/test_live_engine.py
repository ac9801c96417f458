"""Rules changed while events flow: all or nothing, with all else as it was."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from rules.engine import Engine, RuleError
from rules.engine import engine as engines
from rules.engine.engine import Change
from tests.rules.helpers import event, rule, rule_id

if TYPE_CHECKING:
    from pathlib import Path


def simple(number: int, value: str = "x", **more: Any) -> str:
    return rule(f"s: {{a: {value}}}\ncondition: s", number=number, name=f"r{number}", **more)


def counting(number: int, of: int, at_least: int = 3) -> str:
    return (
        f"title: Count {number}\nid: {rule_id(number)}\n"
        f"correlation: {{type: event_count, rules: [r{of}], group-by: [User], timespan: 1h,"
        f" condition: {{gte: {at_least}}}}}\n"
    )


def filtering(number: int, of: str = "any", user: str = "admin") -> str:
    return (
        f"title: Filter {number}\nid: {rule_id(number)}\nlogsource: {{category: test}}\n"
        f"filter: {{rules: {of}, known: {{User: {user}}}, condition: not known}}\n"
    )


def fired(engine: Engine, time: float = 0.0, **fields: Any) -> list[int]:
    return sorted(int(finding.rule_id[-12:]) for finding in engine.process(event(fields, time=time)))


def test_rules_are_added_replaced_and_dropped_between_two_events() -> None:
    engine = Engine([simple(1), simple(2)])
    assert fired(engine, a="x") == [1, 2]
    assert engine.change([simple(3), simple(1, "y")], [rule_id(2)]) == Change(
        (rule_id(3),), (rule_id(1),), (rule_id(2),)
    )
    assert fired(engine, a="x") == [3]
    assert fired(engine, a="y") == [1]
    assert engine.change(drop=[rule_id(2), "nobody"]) == Change((), (), ())
    assert engine.change([simple(2)]).added == (rule_id(2),)
    assert fired(engine, a="x") == [2, 3]
    assert engine.rules_loaded == 3
    assert set(engine.statistics()) == {rule_id(number) for number in (1, 2, 3)}


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("title: [", 2),
        (rule("s: {a|nosuch: x}\ncondition: s", number=9), 6),
        (rule("s: {a|re: '('}\ncondition: s", number=9), 6),
        (rule("s: {a|expand: '%x%'}\ncondition: s", number=9), 6),
        (rule("s: {a: x}\ncondition: t", number=9), 7),
        (counting(9, of=77), None),
        (counting(9, of=1).replace("event_count", "value_percentile"), None),
        ("title: Filter\nid: 5\nlogsource: {category: test}\nfilter: {rules: any, condition: x}", None),
    ],
)
def test_a_change_of_which_one_part_is_broken_changes_nothing(
    tmp_path: Path, broken: str, line: int | None
) -> None:
    engine = Engine([simple(1), counting(50, of=1)])
    path = tmp_path / "broken.yml"
    path.write_text(broken, encoding="utf-8")
    fired(engine, a="x", User="lan")
    before = engine.snapshot()
    with pytest.raises(RuleError) as caught:
        engine.change([simple(2), path, simple(1, "y")], [rule_id(50)])
    assert caught.value.path == str(path)
    assert caught.value.reason
    if line is not None:
        assert caught.value.line == line
    assert engine.snapshot() == before
    assert engine.rules_loaded == 2
    assert [fired(engine, a="x", User="lan") for _ in range(2)] == [[], [50]]
    assert fired(engine, a="y", User="lan") == []


def test_an_id_put_twice_or_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    engine = Engine([simple(1)])
    for put in ([simple(2), simple(2)], [tmp_path / "missing.yml"]):
        with pytest.raises(RuleError):
            engine.change(put)
    assert engine.rules_loaded == 1


def test_correlations_that_a_change_does_not_touch_keep_what_they_have_seen() -> None:
    engine = Engine([simple(1), simple(2), counting(50, of=1), counting(51, of=2)])
    for second in range(2):
        assert fired(engine, second, a="x", User="lan") == []
    engine.change([simple(3), counting(51, of=2, at_least=2)], [])
    assert fired(engine, 2, a="x", User="lan") == [3, 50], "51 is another and has seen one only"
    assert fired(engine, 3, a="x", User="lan") == [3, 50, 51]
    engine.change(drop=[rule_id(50)])
    assert fired(engine, 4, a="x", User="lan") == [1, 3, 51], "nobody refers to 1 any more"


def test_a_correlation_without_its_rules_is_told_and_comes_back_with_them() -> None:
    engine = Engine([simple(1), counting(50, of=1, at_least=1)])
    assert fired(engine, a="x", User="lan") == [50]
    engine.change(drop=[rule_id(1)])
    assert [refusal.id for refusal in engine.unsupported] == [rule_id(50)]
    assert fired(engine, a="x", User="lan") == []
    engine.change([simple(1)])
    assert engine.unsupported == []
    assert fired(engine, a="x", User="lan") == [50]


def test_filters_come_and_go() -> None:
    engine = Engine([simple(number) for number in range(1, 4)])
    assert fired(engine, a="x", User="admin") == [1, 2, 3]
    engine.change([filtering(80, f"[{rule_id(2)}]")])
    assert fired(engine, a="x", User="admin") == [1, 3]
    engine.change([filtering(80)])
    assert fired(engine, a="x", User="admin") == []
    engine.change([simple(4)])
    assert fired(engine, a="x", User="admin") == [], "a rule that comes later is filtered too"
    engine.change([filtering(80, user="lan")])
    assert fired(engine, a="x", User="admin") == [1, 2, 3, 4]
    engine.change(drop=[rule_id(80)])
    assert fired(engine, a="x", User="lan") == [1, 2, 3, 4]


def test_a_filter_takes_the_id_of_a_rule_and_the_rule_is_gone() -> None:
    engine = Engine([simple(1), simple(2)])
    assert engine.change([filtering(1)]).replaced == (rule_id(1),)
    assert fired(engine, a="x") == [2]
    assert fired(engine, a="x", User="admin") == []
    assert engine.rules_loaded == 1


@pytest.mark.parametrize("limit", [0, 1, 3, 1_000])
def test_many_changes_in_any_order_leave_what_an_engine_made_anew_has(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(engines, "_ADDED_LIMIT", limit)
    luck = random.Random(limit)
    now = {number: simple(number, luck.choice("xyz")) for number in range(1, 9)}
    engine = Engine(now.values())
    events = 0
    offered = dict.fromkeys(now, 0)
    for _ in range(60):
        put = {
            number: simple(number, luck.choice("xyz"))
            for number in luck.sample(range(1, 15), luck.randrange(3))
        }
        drop = luck.sample(range(1, 15), luck.randrange(3))
        engine.change(put.values(), map(rule_id, drop))
        for number in set(drop) - set(put):
            now.pop(number, None)
            offered.pop(number, None)
        for number, text in put.items():
            if now.get(number) != text:
                offered[number] = 0
            now[number] = text
        fresh = Engine(now.values())
        for value in "xyz":
            events += 1
            assert fired(engine, a=value) == fired(fresh, a=value)
            for number in now:
                offered[number] += 1
    statistics = engine.statistics()
    assert {int(key[-12:]): each.offered for key, each in statistics.items()} == offered
    assert all(each.matches == each.candidates for each in statistics.values())
    assert engine.guard.shadow_misses == 0
    assert len(engine._added) <= limit


def test_figures_go_on_over_changes_of_other_rules_and_begin_anew_with_ones_own() -> None:
    engine = Engine([simple(1), simple(2)])
    for time in range(5):
        fired(engine, time, a="x")
    engine.change([simple(3)])
    engine.change([simple(2, "y")])
    fired(engine, 9, a="x")
    found = engine.statistics()
    assert (found[rule_id(1)].offered, found[rule_id(1)].matches, found[rule_id(1)].last_match) == (6, 6, 9)
    assert (found[rule_id(2)].offered, found[rule_id(2)].matches, found[rule_id(2)].last_match) == (
        1,
        0,
        None,
    )
    assert (found[rule_id(3)].offered, found[rule_id(3)].candidates, found[rule_id(3)].matches) == (1, 1, 1)


def test_a_throttled_rule_is_heard_by_correlations_and_counted() -> None:
    generating = counting(50, of=1) + "generate: true\n"
    engine = Engine([simple(1), generating])
    assert engine.unsupported == []
    engine.throttle({rule_id(1): 1})
    assert [fired(engine, time, a="x", User="lan") for time in range(4)] == [[1], [], [50], [50]]
    assert fired(engine, 3_600, a="x", User="lan") == [1, 50]
    assert engine.statistics()[rule_id(1)].throttled == 3
    engine.change([simple(2)])
    assert fired(engine, 3_601, a="x", User="lan") == [2, 50], "a change lifts no limit"
    engine.throttle({})
    assert fired(engine, 3_602, a="x", User="lan") == [1, 2, 50]


def test_a_snapshot_goes_over_a_change_of_rules() -> None:
    old = Engine([simple(1), simple(2), counting(50, of=1), counting(51, of=2)])
    for second in range(2):
        fired(old, second, a="x", User="lan")
    new = Engine([simple(1), simple(2), simple(3), counting(50, of=1), counting(51, of=2, at_least=2)])
    assert new.restore(old.snapshot())
    assert fired(new, 2, a="x", User="lan") == [3, 50]
    for damaged in (b"", b"x", old.snapshot()[:-3], b"\x00" * 100, b"\xff" * 50):
        assert Engine([simple(1), counting(50, of=1)]).restore(damaged) is False


def test_events_of_kinds_that_came_before_a_change_meet_the_new_rules() -> None:
    engine = Engine([simple(1)])
    other = simple(2, logsource="{category: other}")
    for _ in range(2):
        assert engine.process(event({"a": "x"}, category="other")) == []
    engine.change([other])
    assert [f.rule_id for f in engine.process(event({"a": "x"}, category="other"))] == [rule_id(2)]
    engine.change(drop=[rule_id(2)])
    assert engine.process(event({"a": "x"}, category="other")) == []
    assert engine.route(event({}, category="other")) == ()


def test_times_that_are_none_are_no_last_match() -> None:
    engine = Engine([simple(1)])
    for time in (float("nan"), 5.0, float("inf"), float("-inf"), 3.0):
        assert fired(engine, time, a="x") == [1]
    assert engine.statistics()[rule_id(1)].last_match == 5.0
