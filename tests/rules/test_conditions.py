"""Conditions, routing, filters and loading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rules.engine import Engine, Event
from tests.rules.helpers import event, fires, rule, rule_id

if TYPE_CHECKING:
    from pathlib import Path

DETECTION = """
    s_one: {a: x}
    s_two: {b: y}
    other: {c: z}
    condition: %s
"""


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
    [
        ("s_one and s_two", {"a": "x", "b": "y"}, True),
        ("s_one and s_two", {"a": "x"}, False),
        ("s_one or s_two", {"b": "y"}, True),
        ("not s_one", {}, True),
        ("not s_one and s_two", {"b": "y"}, True),
        ("not (s_one and s_two)", {"a": "x"}, True),
        ("s_one or s_two and other", {"a": "x"}, True),
        ("(s_one or s_two) and other", {"a": "x"}, False),
        ("1 of s_*", {"b": "y"}, True),
        ("any of s_*", {"c": "z"}, False),
        ("all of s_*", {"a": "x", "b": "y"}, True),
        ("all of s_*", {"a": "x"}, False),
        ("1 of them", {"c": "z"}, True),
        ("all of them", {"a": "x", "b": "y"}, False),
        ("s_one and not 1 of other*", {"a": "x"}, True),
        ("not not s_one", {"a": "x"}, True),
    ],
)
def test_a_condition_joins_its_selections(condition: str, fields: dict[str, Any], expected: bool) -> None:
    assert fires(DETECTION % condition, fields) is expected


def test_several_conditions_are_alternatives() -> None:
    assert fires(DETECTION % "[s_one, s_two]", {"b": "y"})


def test_a_list_of_mappings_is_joined_by_or_and_a_mapping_by_and() -> None:
    detection = "s:\n  - a: x\n    b: y\n  - c: z\ncondition: s"
    assert fires(detection, {"c": "z"})
    assert fires(detection, {"a": "x", "b": "y"})
    assert not fires(detection, {"a": "x"})


@pytest.mark.parametrize(
    ("logsource", "offered"),
    [
        ("{product: linux}", True),
        ("{category: process_creation}", True),
        ("{product: linux, category: process_creation}", True),
        ("{product: linux, category: process_creation, service: auditd}", True),
        ("{product: windows}", False),
        ("{product: linux, service: auth}", False),
        ("{product: linux, category: file_event}", False),
    ],
)
def test_a_rule_is_offered_what_its_log_source_names(logsource: str, offered: bool) -> None:
    engine = Engine([rule("s: {a: x}\ncondition: s", logsource=logsource)])
    happened = Event("1", 0.0, "linux", "process_creation", "auditd", {"a": "x"})
    assert engine.route(happened) == ((rule_id(1),) if offered else ())
    assert bool(engine.process(happened)) is offered


def test_log_sources_from_outside_do_not_fill_memory() -> None:
    engine = Engine([rule("s: {a: x}\ncondition: s")])
    for number in range(10_000):
        engine.process(Event("1", 0.0, f"p{number}", "test", "", {"a": "x"}))
    assert len(engine._kinds) <= 4096
    assert len(list(engine._base.matchers())) == 1


FILTER = """
title: Not for administrators
id: 00000000-0000-4000-8000-00000000ffff
logsource: {category: test}
filter:
  rules: %s
  selection_known: {User: admin}
  selection_more: {User: backup}
  condition: %s
"""
PLAIN = "s: {a: x}\ncondition: s"


def test_a_filter_suppresses_what_it_describes_in_the_rules_it_names() -> None:
    engine = Engine(
        [rule(PLAIN, number=1), rule(PLAIN, number=2), FILTER % (f"[{rule_id(1)}]", "not 1 of selection_*")]
    )
    assert engine.unsupported == []
    suppressed = engine.process(event({"a": "x", "User": "admin"}))
    assert [finding.rule_id for finding in suppressed] == [rule_id(2)]
    assert len(engine.process(event({"a": "x", "User": "lan"}))) == 2


def test_a_filter_for_any_rule_needs_the_log_source_to_cover_theirs() -> None:
    other = rule(PLAIN, number=2, logsource="{category: other}")
    engine = Engine([rule(PLAIN), other, FILTER % ("any", "not selection_known")])
    assert engine.process(event({"a": "x", "User": "admin"})) == []
    assert engine.process(event({"a": "x", "User": "admin"}, category="other")) != []


def test_a_filter_names_rules_by_name_too_and_does_not_touch_their_selectors() -> None:
    first = rule("s_one: {a: x}\ns_two: {b: y}\ncondition: all of them", name="first")
    engine = Engine([first, FILTER % ("[first]", "not selection_known")])
    assert engine.process(event({"a": "x", "b": "y", "User": "lan"})) != []
    assert engine.process(event({"a": "x", "b": "y", "User": "admin"})) == []


def test_a_filter_that_fits_no_rule_is_told() -> None:
    engine = Engine([rule(PLAIN), FILTER % (f"[{rule_id(9)}]", "not selection_known")])
    assert [each.id for each in engine.unsupported] == ["00000000-0000-4000-8000-00000000ffff"]
    assert engine.process(event({"a": "x"})) != []


@pytest.mark.parametrize(
    "broken",
    [
        "title: [",
        "just text",
        "- a\n- list",
        "title: No detection\nid: 00000000-0000-4000-8000-0000000000aa\nlogsource: {category: test}",
        "title: Bad\nid: 00000000-0000-4000-8000-0000000000aa\nlogsource: []\ndetection: {s: {a: x}, condition: s}",
        "title: Bad\nid: not-a-uuid\nlogsource: {category: t}\ndetection: {s: {a: x}, condition: s}",
        "title: Bad\nlogsource: {category: t}\ndetection: {s: [], condition: s}",
        "title: Bad\nid: 00000000-0000-4000-8000-0000000000aa\nlogsource: {category: t}\ndetection: 5",
        "title: Bad\nlogsource: {category: t}\ndetection: {s: {1: x}, condition: s}",
        "title: Bad\ncorrelation: {type: event_count}",
        "title: Bad\nfilter: 7",
        "&a [*a, *a]",
    ],
)
def test_a_broken_rule_is_refused_and_the_others_go_on(broken: str, tmp_path: Path) -> None:
    (tmp_path / "a_broken.yml").write_text(broken, encoding="utf-8")
    (tmp_path / "b_sound.yml").write_text(rule(PLAIN), encoding="utf-8")
    engine = Engine([tmp_path])
    assert engine.rules_loaded == 1
    assert len(engine.unsupported) == 1
    assert engine.unsupported[0].path == str(tmp_path / "a_broken.yml")
    assert engine.unsupported[0].reason
    assert engine.process(event({"a": "x"})) != []


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    assert [each.id for each in Engine([tmp_path]).unsupported] == ["binary.yml"]


def test_one_file_may_hold_several_rules_and_one_broken_does_not_spoil_the_rest() -> None:
    text = f"{rule(PLAIN, number=1)}---\ntitle: Broken\n---\n{rule(PLAIN, number=2)}"
    engine = Engine([text])
    assert engine.rules_loaded == 2
    assert len(engine.unsupported) == 1


def test_the_second_rule_of_an_id_is_refused_and_the_same_file_twice_is_one(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text(rule(PLAIN), encoding="utf-8")
    (tmp_path / "two.yml").write_text(rule("s: {b: y}\ncondition: s"), encoding="utf-8")
    engine = Engine([tmp_path, tmp_path / "one.yml"])
    assert engine.rules_loaded == 1
    assert "one.yml" in engine.unsupported[0].reason


def test_global_and_repeat_documents_are_merged_as_sigma_collections_are() -> None:
    text = (
        "action: global\ntitle: Family\nlogsource: {category: test}\ndetection: {condition: s}\n---\n"
        f"id: {rule_id(1)}\ndetection: {{s: {{a: x}}}}\n---\nid: {rule_id(2)}\ndetection: {{s: {{b: y}}}}\n"
    )
    engine = Engine([text])
    assert engine.rules_loaded == 2
    assert [finding.rule_id for finding in engine.process(event({"b": "y"}))] == [rule_id(2)]
