"""The plain evaluator: a condition as one closure over an event's fields, value by value, with no index and no cache.

It is what the fast matcher (:mod:`rules.engine.matcher`) is checked against while it runs, and what it falls back on.
"""

from __future__ import annotations

from collections.abc import Callable

from rules.engine.conditions import (
    And,
    Compare,
    Exists,
    Field,
    Keywords,
    Network,
    Node,
    Not,
    Null,
    Or,
    Reference,
    Regex,
    Text,
    TimePart,
    Value,
)
from rules.engine.fields import View
from rules.engine.strings import TextTest, text_test
from rules.engine.values import network_test, number_test, reference_test, regex_test, time_test

Test = Callable[[View], bool]


def plain_test(node: Node) -> Test:
    """The condition as a test; field names are the event's own."""
    match node:
        case And(nodes):
            return _all_of(tuple(plain_test(each) for each in nodes))
        case Or(nodes):
            return _any_of(tuple(plain_test(each) for each in nodes))
        case Not(inner):
            test = plain_test(inner)
            return lambda view: not test(view)
        case Field(name, values):
            return _field_test(name, values)
        case Keywords(values):
            return _keyword_test(values)


def _any_of(tests: tuple[Test, ...]) -> Test:
    def test(view: View) -> bool:
        for each in tests:  # noqa: SIM110 - a loop is a third faster than any() here
            if each(view):
                return True
        return False

    return tests[0] if len(tests) == 1 else test


def _all_of(tests: tuple[Test, ...]) -> Test:
    def test(view: View) -> bool:
        for each in tests:  # noqa: SIM110 - as above
            if not each(view):
                return False
        return True

    return tests[0] if len(tests) == 1 else test


def _field_test(name: str, values: tuple[Value, ...]) -> Test:
    """Prepared when it is first asked, as most leaves of most rules never are."""
    prepared: Test | None = None

    def test(view: View) -> bool:
        nonlocal prepared
        if prepared is None:
            prepared = _prepared(name, values)
        return prepared(view)

    return test


def _prepared(name: str, values: tuple[Value, ...]) -> Test:
    low = [value for value in values if isinstance(value, Text) and not value.cased]
    cased = [value for value in values if isinstance(value, Text) and value.cased]
    tests: list[Test] = []
    if low:
        tests.append(_any_low(name, text_test(low)))
    if cased:
        tests.append(_any_text(name, text_test(cased)))
    tests.extend(_value_test(name, value) for value in values if not isinstance(value, Text))
    return _any_of(tuple(tests))


def _value_test(name: str, value: Value) -> Test:
    match value:
        case Regex():
            return _any_text(name, regex_test(value))
        case Network():
            return _any_text(name, network_test(value))
        case TimePart():
            return _any_text(name, time_test(value))
        case Null():
            return lambda view: view[name].null
        case Exists(wanted):
            return lambda view: view[name].present is wanted
        case Compare():
            compare = number_test(value)
            return lambda view: any(compare(number) for number in view[name].numbers)
        case Reference(other):
            stands = reference_test(value)
            return lambda view: any(stands(text, to) for text in view[name].lows for to in view[other].lows)
        case Text():
            return _any_text(name, text_test([value])) if value.cased else _any_low(name, text_test([value]))


def _any_low(name: str, matches: TextTest) -> Test:
    def test(view: View) -> bool:
        for text in view[name].lows:  # noqa: SIM110 - as above
            if matches(text):
                return True
        return False

    return test


def _any_text(name: str, matches: TextTest) -> Test:
    return lambda view: any(matches(text) for text in view[name].texts)


def _keyword_test(values: tuple[Text | Regex, ...]) -> Test:
    low = [value for value in values if isinstance(value, Text) and not value.cased]
    cased = [value for value in values if isinstance(value, Text) and value.cased]
    tests: list[Test] = []
    if low:
        in_low = text_test(low)
        tests.append(lambda view: any(in_low(text) for text in view.lows))
    if cased:
        in_text = text_test(cased)
        tests.append(lambda view: any(in_text(text) for text in view.texts))
    tests.extend(_keyword_regex(regex_test(value)) for value in values if isinstance(value, Regex))
    return _any_of(tuple(tests))


def _keyword_regex(search: TextTest) -> Test:
    return lambda view: any(search(text) for text in view.texts)
