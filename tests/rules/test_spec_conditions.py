"""Conditions, selections, keywords and fields with several values: the specification's forms, one case a line."""

from __future__ import annotations

from typing import Any

import pytest

from rules.engine import Engine
from tests.rules.helpers import event, fires, refusal, rule, rule_id, selects

SELECTIONS = """
    selection_a: {a: x}
    selection_b: {b: x}
    selection_ab: {a: x, b: x}
    filter_main: {c: x}
    filter_optional_d: {d: x}
    sel: {e: x}
    condition: %s
"""
A, B, C, D, E = ({name: "x"} for name in "abcde")


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
    [
        # one of, any of, all of: with a pattern, a whole name, or them
        ("1 of selection_*", A, True),
        ("1 of selection_*", C, False),
        ("any of selection_*", B, True),
        ("all of selection_*", A, False),
        ("all of selection_*", A | B, True),
        ("1 of selection_a", A, True),
        ("all of selection_a", A, True),
        ("1 of *_a", A, True),
        ("1 of *_a*", B, False),
        ("1 of s*l", E, True),
        ("1 of s*l", A, False),
        ("1 of sel*", B, True),
        ("1 of *", D, True),
        ("all of *", A | B | C | D, False),
        ("all of *", A | B | C | D | E, True),
        ("1 of them", E, True),
        ("1 of them", {}, False),
        ("any of them", C, True),
        ("all of them", A | B | C | D | E, True),
        ("all of them", A | B | C | D, False),
        # not binds more closely than and, and than or; all three read from left to right, brackets first
        ("not 1 of filter_*", A, True),
        ("not 1 of filter_*", D, False),
        ("not all of filter_*", D, True),
        ("not all of filter_*", C | D, False),
        ("not (selection_a or selection_b)", {}, True),
        ("not (selection_a or selection_b)", B, False),
        ("not selection_a or selection_b", A | B, True),
        ("not selection_a or selection_b", A, False),
        ("not selection_a and not selection_b", C, True),
        ("selection_a or selection_b and filter_main", A, True),
        ("(selection_a or selection_b) and filter_main", A, False),
        ("filter_main and selection_a or selection_b", B, True),
        ("filter_main and (selection_a or selection_b)", B, False),
        ("not not selection_a", A, True),
        ("not not not selection_a", A, False),
        ("not (not selection_a)", A, True),
        ("((((selection_a))))", A, True),
        ("(selection_a and (selection_b or (sel and not (filter_main))))", A | E, True),
        ("(selection_a and (selection_b or (sel and not (filter_main))))", A | E | C, False),
        ("selection_a and not 1 of filter_*", A, True),
        ("selection_a and not 1 of filter_*", A | D, False),
        ("1 of selection_* and not filter_main and not filter_optional_d", B | D, False),
        ("selection_a   and\\n  selection_b", A | B, True),
        ("selection_a and selection_a", A, True),
        ("selection_a and not selection_a", A, False),
        ("selection_a or not selection_a", {}, True),
        # several conditions: each of them is enough
        ("['selection_a and selection_b', sel]", E, True),
        ("['selection_a and selection_b', sel]", A, False),
        ("['not selection_a']", {}, True),
    ],
)
def test_a_condition_is_read_as_the_specification_says(
    condition: str, fields: dict[str, Any], expected: bool
) -> None:
    text = SELECTIONS % (condition if condition.startswith("[") else f'"{condition}"')
    assert fires(text, fields) is expected


def test_them_leaves_out_selections_whose_name_begins_with_an_underscore() -> None:
    detection = "_hidden: {a: x}\nshown: {b: x}\ncondition: 1 of them"
    assert not fires(detection, A)
    assert fires(detection, B)


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        ("selection_x", "selection_x"),
        ("1 of nothing_*", "nothing_*"),
        ("2 of selection_*", ""),
        ("selection_a and", ""),
        ("(selection_a", ""),
        ("selection_a)", ""),
        ("selection_a selection_b", ""),
        ("''", ""),
        ("[]", ""),
        ("selection_a | count() by b > 5", "pipe"),
        ("selection_a near selection_b", ""),
        ("selection_a AND selection_b", ""),
    ],
)
def test_what_is_no_condition_is_refused(condition: str, word: str) -> None:
    assert word in refusal(SELECTIONS % condition)


@pytest.mark.parametrize(
    ("selection", "fields", "expected"),
    [
        # a mapping is and, a list of mappings is or, and lists in lists are or
        ("{a: x, b: x}", A, False),
        ("[{a: x}, {b: x}]", B, True),
        ("[{a: x, b: x}, {c: x}]", A, False),
        ("[{a: x, b: x}, {c: x}]", C, True),
        ("[{a: [x, y]}, {b: x}]", {"a": "y"}, True),
        ("{a|contains: [x, y], b: x}", {"a": "-y-", "b": "x"}, True),
        ("{a|contains: x, a|endswith: z}", {"a": "xyz"}, True),
        ("{a|contains: x, a|endswith: z}", {"a": "xy"}, False),
        ("{a|contains: x, a|endswith: z}", {"a": ["xy", "yz"]}, True),
        # keywords: a list is or, one of the words in any value; with fields beside them
        ("[one, two]", {"m": "twofold"}, True),
        ("one", {"m": ["x", {"n": "alone"}]}, True),
        ("[one, {a: x}]", A, True),
        ("[one, {a: x}]", {"b": "one"}, True),
        ("['o?e']", {"m": "-ooe-"}, True),
        (r"['o\*e']", {"m": "-o*e-"}, True),
        (r"['o\*e']", {"m": "-ooe-"}, False),
        ("['*one']", {"m": "one more"}, True),
        ("[5]", {"m": 0.5}, True),
        ("[true]", {"m": True}, True),
        ("[true]", {"m": "untrue"}, True),
        ("['']", {"m": "x"}, True),
        ("['']", {"m": None}, False),
        ("[Name]", {"Name": "x"}, False),
        ("['đề án']", {"m": "ĐỀ ÁN"}, True),
        ("['a b']", {"m": "a", "n": "b"}, False),
        ("{'|all': [one, two]}", {"m": "one", "n": ["two"]}, True),
        ("{'|all': [one, two]}", {"m": "one"}, False),
        ("{'|re': ['^on', 'tw$']}", {"m": "one"}, True),
        ("{'|re': '^ne'}", {"m": "one"}, False),
        ("{'|re|i': ONE}", {"m": "one"}, True),
        ("{'|re|all': ['^on', wo]}", {"m": "one", "n": "two"}, True),
        ("{'|cased': [One, two]}", {"m": "One"}, True),
        ("{'|cased': [One, two]}", {"m": "one"}, False),
        ("{'|contains': one}", {"m": "alone"}, True),
        ("{'|windash': -enc}", {"m": "x /enc"}, True),
        ("{'|all': [one, two], a: x}", {"m": "one two", "a": "x"}, True),
        ("{'|all': [one, two], a: x}", {"m": "one two"}, False),
    ],
)
def test_a_selection_is_read_as_the_specification_says(
    selection: str, fields: dict[str, Any], expected: bool
) -> None:
    assert fires(f"s: {selection}\ncondition: s", fields) is expected
    assert fires(f"s: {selection}\ncondition: not s", fields) is not expected


@pytest.mark.parametrize(
    ("item", "fields", "expected"),
    [
        # several values: one is enough, for each item by itself; the negation asks for none
        ("a: [null, x]", {"a": []}, True),
        ("a: x", {"a": [["y", ["x"]]]}, True),
        ("a: x", {"a": [{"b": "x"}]}, False),
        ("a: ''", {"a": ["", "x"]}, True),
        ("a: null", {"a": [[], "x"]}, False),
        ("a: '*'", {"a": [None]}, False),
        ("a: '*'", {"a": [None, 1]}, True),
        ("a: '*'", {"a": {}}, False),
        ("a: true", {"a": [1, "TRUE"]}, True),
        ("a.b: x", {"a": [{"b": ["w", "x"]}]}, True),
        ("a.b: null", {"a": [{"b": None}]}, True),
        ("a.b: null", {"a": "x"}, True),
        ("a.0: x", {"a": ["x"]}, False),
        ("a.b: x", {"a": {"B": "x"}}, False),
        ("a: []", {}, True),
        ("a: []", {"a": "x"}, False),
        # numbers as text: in decimal, whole numbers without a fraction
        ("a: 1.0", {"a": 1}, True),
        ("a: 0", {"a": -0.0}, True),
        ("a: 0x10", {"a": 16}, True),
        ("a: '0x10'", {"a": 16}, False),
        ("a: 1", {"a": "1.0"}, False),
        ("a: 1", {"a": "01"}, False),
        ("a: -1", {"a": -1}, True),
        ("a: '1*'", {"a": 1.5}, True),
        ("a: '12345678901234567890'", {"a": 12345678901234567890}, True),
        ("a: 1152921504606846976", {"a": 2**60}, True),
        ("a: 0.1", {"a": 0.1}, True),
        ("a: no", {"a": False}, True),
        ("a: 'no'", {"a": False}, False),
        # text
        ("a: 'x '", {"a": "x"}, False),
        ("a: ẞ", {"a": "ß"}, True),
        ("a: SS", {"a": "ß"}, False),
        ("a: k", {"a": "\u212a"}, True),
        ("a: 'a\u0301'", {"a": "\u00e1"}, False),
        (r"a: 'x\y'", {"a": r"x\y"}, True),
        (r"a: 'x\\y'", {"a": r"x\y"}, True),
        (r"a: 'x\\\y'", {"a": r"x\\y"}, True),
        (r"a: 'x\\\\y'", {"a": r"x\\y"}, True),
        (r"a: 'x\'", {"a": "x\\"}, True),
        (r"a: 'x\\'", {"a": "x\\"}, True),
        (r"a: '\\*\\?'", {"a": "\\anything\\x"}, True),
        (r"a: '\*\?'", {"a": "*?"}, True),
        (r"a: '\*\?'", {"a": "xx"}, False),
        ("a: '??'", {"a": "\U0001f600x"}, True),
        ("a: '*?'", {"a": ""}, False),
        ("a: '**x**'", {"a": "x"}, True),
        ("a: '%x%'", {"a": "%X%"}, True),
    ],
)
def test_values_of_an_event_are_read_as_the_specification_says(
    item: str, fields: dict[str, Any], expected: bool
) -> None:
    assert selects(item, fields) is expected


@pytest.mark.parametrize(
    "item", ["a: 12345678901234567890", "a|gt: 9007199254740993", "a: [1, -9007199254740993]"]
)
def test_a_number_that_pysigma_would_round_is_refused(item: str) -> None:
    assert "in quotes" in refusal(f"s:\n  {item}\ncondition: s")


FILTER = """
title: Filter {number}
id: {key}
logsource: {logsource}
filter: {{rules: {rules}, known: {{User: admin}}, host: {{Host|startswith: pc}}, condition: {condition}}}
"""
ADMIN = {"a": "x", "User": "admin"}
LAN = {"a": "x", "User": "lan"}


@pytest.mark.parametrize(
    ("condition", "rules", "logsource", "of_admin", "of_lan"),
    [
        ("not known", "any", "{category: test}", False, True),
        ("known", "any", "{category: test}", True, False),
        ("not (known and host)", "any", "{category: test}", True, True),
        ("not 1 of them", "any", "{category: test}", False, True),
        ("not known", "[first]", "{category: test}", False, True),
        ("not known", "[second]", "{category: test}", True, True),
        ("not known", f"[{rule_id(1).upper()}]", "{category: test}", False, True),
        ("not known", "any", "{category: test, product: windows}", True, True),
        ("not known", "any", "{category: other}", True, True),
    ],
)
def test_a_filters_condition_is_joined_to_the_rules_it_names(
    condition: str, rules: str, logsource: str, of_admin: bool, of_lan: bool
) -> None:
    text = FILTER.format(number=1, key=rule_id(100), logsource=logsource, rules=rules, condition=condition)
    engine = Engine([rule("s: {a: x}\ncondition: s", name="first"), text])
    assert bool(engine.process(event(ADMIN))) is of_admin
    assert bool(engine.process(event(LAN))) is of_lan


def test_several_filters_all_have_to_let_an_event_pass() -> None:
    texts = [
        FILTER.format(
            number=number, key=rule_id(number), logsource="{category: test}", rules="any", condition=condition
        )
        for number, condition in ((100, "not known"), (101, "not host"))
    ]
    engine = Engine([rule("s: {a: x}\nt: {b: x}\ncondition: s or t"), *texts])
    assert engine.process(event(LAN))
    assert not engine.process(event(ADMIN))
    assert not engine.process(event({"b": "x", "Host": "PC1"}))
    assert engine.process(event({"b": "x", "Host": "server"}))


def test_a_filter_over_alternatives_and_negations_holds_for_all_of_the_rule() -> None:
    text = FILTER.format(
        number=1, key=rule_id(100), logsource="{category: test}", rules="any", condition="not known"
    )
    several = rule("s: {a: x}\nt: {b: x}\ncondition: [s, t, not s]")
    engine = Engine([several, text])
    assert not engine.process(event({"b": "x", "User": "admin"}))
    assert not engine.process(event({"User": "admin"}))
    assert engine.process(event({"User": "lan"}))
