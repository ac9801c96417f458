"""What is said to be necessary for a regular expression is in everything that RE2 finds with it."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
import re2
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from rules.engine.conditions import Regex
from rules.engine.guard import Guard
from rules.engine.necessary import LONG_S, necessary
from rules.engine.values import regex_options, regex_test
from tests.rules.helpers import selects


@pytest.mark.parametrize(
    ("source", "texts", "length"),
    [
        ("kill", {"kill"}, 4),
        (r"(?i)\\Windows\\System32\\[a-z]{8}\.tmp$", {"\\windows\\system32\\"}, 30),
        (r"[Rr][Uu][Nn]32(?:\.exe)? x", {"run32"}, 7),
        (r"a(?:bc|de)f+g{2}", {"fgg"}, 6),
        (r"x{3}", {"xxx"}, 3),
        (r"ab{2,}c", {"abb", "bbc"}, 4),
        (r"(?:environment|invoke|\$\{?input)", {"environment", "invoke", "input"}, 6),
        (r"(?P<name>ab)\b(?s:c)", {"abc"}, 3),
        (r"\n\t\$\{", {"\n\t${"}, 4),
        (r"a?b*(?:c|)", set(), 0),
        (r".{200,}", set(), 200),
        (r"[0-9]{1,3}\.[0-9]{1,3}", {"."}, 3),
        (r"đề án", {" "}, 5),
        (r"what\?now", {"what"}, 8),
        (r"[[:alpha:]]x[]a]y[^x]", {"x", "y"}, 5),
        # What is not plainly understood says nothing.
        (r"\x41bc", set(), 0),
        (r"\pLabc", set(), 0),
        (r"\Qa+b\Eabc", set(), 0),
        (r"abc{", set(), 0),
        (r"abc(?i)?", set(), 0),
        (r"[\x41-\x42]abc", set(), 0),
        ("(" * 60 + "a" + ")" * 60, set(), 0),
        ("a)", set(), 0),
    ],
)
def test_of_expressions_that_are_understood(source: str, texts: set[str], length: int) -> None:
    found = necessary(source)
    assert set(found.texts) <= texts
    assert bool(found.texts) is bool(texts)
    assert found.length == length


LETTERS = "abkKsS1? -\\"
atoms = st.sampled_from(
    [*(re.escape(letter) for letter in LETTERS), "é", "\u212a", ".", r"\d", r"\w", r"\s", r"\b", "^", "$", "[ab]",
     "[kK]", "[^a]", "[]a]", "[a-k1]", "[[:digit:]]", "[sS]", r"[\\k]", "(?i)", r"\x61", r"\Qk\E", "{", "}", r"\pL",
     r"\?", r"\n"]
)  # fmt: skip
times = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,2}", "{0,2}", "{2,}", "+?", "{2}?", "{,2}"])


def _grouped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    opening = st.sampled_from(["(", "(?:", "(?i:", "(?s-i:", "(?P<n>"])
    return st.builds(lambda start, body, often: f"{start}{body}){often}", opening, inner, times)


expressions = st.recursive(
    st.lists(st.builds(str.__add__, atoms, times), max_size=4).map("".join),
    lambda inner: (
        _grouped(inner)
        | st.lists(inner, min_size=2, max_size=3).map("|".join)
        | st.lists(inner, min_size=2, max_size=3).map("".join)
    ),
    max_leaves=6,
)
texts = st.text(st.sampled_from(LETTERS + "é\u212a\u0130\ud800\n"), max_size=12)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(expressions, st.sampled_from(["", "i", "ims"]), st.lists(texts, max_size=8), st.data())
@example("ks", "i", ["\u212aS"], None)
@example("a{", "", ["a{"], None)
def test_nothing_that_matches_lacks_what_is_necessary(
    source: str, flags: str, happened: list[str], data: st.DataObject | None
) -> None:
    pattern = Regex(source, flags)
    try:
        re2.compile(pattern.with_flags, regex_options())
    except re2.error:
        assume(False)
    if data is not None:
        with suppress(re.error, DeprecationWarning, FutureWarning):  # Python's expressions are others
            happened = [*happened, data.draw(st.from_regex(pattern.with_flags))]
    search, found = regex_test(pattern), necessary(pattern.with_flags)
    for text in happened:
        if LONG_S not in text and search(text):
            low = text.lower()
            assert len(text) >= found.length
            assert not found.texts or any(each in low for each in found.texts)


def test_a_letter_of_another_alphabet_is_one_where_case_does_not_count() -> None:
    assert selects("a|re|i: 'system32'", {"a": "\u017fy\u017ftem32"})
    assert selects("a|re|i: 'kill'", {"a": "\u212aill"})
    assert not selects("a|re: 'system32'", {"a": "\u017fy\u017ftem32"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("x" * 9, False), ("x" * 10, True), ("xxxx\n" * 9, False), ("y\n" + "é" * 10, True)],
)
def test_a_long_line_is_any_line(text: str, expected: bool) -> None:
    assert selects("a|re: '.{10,}'", {"a": text}) is expected
    assert selects("a|re: '(.){10,}'", {"a": text}) is expected
    assert selects("a|re|s: '.{10,}'", {"a": text}) is (len(text) >= 10)


def test_an_expression_that_is_too_large_for_a_set_is_searched_without_one() -> None:
    guard = Guard()
    search = regex_test(Regex(r"\pL{150}x", ""), guard)
    assert search("é" * 150 + "x")
    assert not search("é" * 149 + "1x")
    assert guard.canary_failures == 2
