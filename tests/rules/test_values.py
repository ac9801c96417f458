"""Values and modifiers of the Sigma specification, one case a line."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.rules.helpers import fires, refusal, selects

DASHES = ["-", "/", "–", "—", "―"]


@pytest.mark.parametrize(
    ("item", "fields", "expected"),
    [
        # plain values, wildcards, escapes
        ("a: Foo", {"a": "fOO"}, True),
        ("a: Foo", {"a": "fooo"}, False),
        ("a: Foo", {"A": "foo"}, False),
        ("a: 'ĐỀ ÁN'", {"a": "đề án"}, True),
        ("a: 'de an'", {"a": "đề án"}, False),
        ("a: f*o", {"a": "fo"}, True),
        ("a: f*o", {"a": "f\r\nxo"}, True),
        ("a: f?o", {"a": "f\no"}, True),
        ("a: f?o", {"a": "fo"}, False),
        ("a: '?'", {"a": ""}, False),
        ("a: '*'", {"a": ""}, True),
        ("a: '*'", {"a": None}, False),
        ("a: '*'", {}, False),
        ("a: 'a*b*c'", {"a": "a-b-b-c"}, True),
        ("a: 'a*b*c'", {"a": "a-c-b"}, False),
        ("a: 'a*a'", {"a": "a"}, False),
        ("a: '*a?c*e?'", {"a": "xxabcddef"}, True),
        (r"a: 'f\*o'", {"a": "f*o"}, True),
        (r"a: 'f\*o'", {"a": "fxo"}, False),
        (r"a: 'f\?o'", {"a": "f?o"}, True),
        (r"a: 'C:\\*'", {"a": "C:\\Windows"}, True),
        (r"a: 'f\\\*'", {"a": "f\\*"}, True),
        (r"a: '\\\\srv\share'", {"a": "\\\\srv\\share"}, True),
        (r"a: 'x.y+'", {"a": "xzyy"}, False),
        # null, empty, missing
        ("a: null", {}, True),
        ("a: null", {"a": None}, True),
        ("a: null", {"a": ""}, False),
        ("a: null", {"a": 0}, False),
        ("a:", {}, True),
        ("a: ''", {"a": ""}, True),
        ("a: ''", {"a": None}, False),
        ("a: ''", {}, False),
        ("a: ''", {"a": " "}, False),
        ("a: [null, x]", {"a": "x"}, True),
        ("a: [null, x]", {}, True),
        ("a: [null, '']", {"a": "y"}, False),
        # numbers and booleans are compared as text
        ("a: 4624", {"a": 4624}, True),
        ("a: 4624", {"a": "4624"}, True),
        ("a: '4624'", {"a": 4624}, True),
        ("a: 1", {"a": 1.0}, True),
        ("a: 1.5", {"a": "1.5"}, True),
        ("a: 1", {"a": True}, False),
        ("a: true", {"a": True}, True),
        ("a: true", {"a": "True"}, True),
        ("a: 'false'", {"a": False}, True),
        ("a: true", {"a": 1}, False),
        ("a: '46*'", {"a": 4624}, True),
        # lists of values, in the rule and in the event
        ("a: [x, y]", {"a": "Y"}, True),
        ("a: [x, y]", {"a": "z"}, False),
        ("a: x", {"a": ["w", "x"]}, True),
        ("a: x", {"a": []}, False),
        ("a: null", {"a": []}, True),
        ("a: null", {"a": ["x", None]}, True),
        ("a: x", {"a": {"b": "x"}}, False),
        ("a: null", {"a": {"b": "x"}}, False),
        ("a|contains|all: [x, y]", {"a": ["xx", "yy"]}, True),
        ("a|contains|all: [x, y]", {"a": "x--y"}, True),
        ("a|contains|all: [x, y]", {"a": "x"}, False),
        # dots reach into objects and lists of objects; a key with a dot comes first
        ("a.b: x", {"a": {"b": "x"}}, True),
        ("a.b: x", {"a.b": "x"}, True),
        ("a.b: x", {"a.b": "y", "a": {"b": "x"}}, False),
        ("a.b.c: x", {"a.b": {"c": "x"}}, True),
        ("a.b.c: x", {"a": {"b.c": "x"}}, True),
        ("a.b: x", {"a": [{"b": "w"}, {"b": "x"}]}, True),
        ("a.b: x", {"a": [{"c": "x"}]}, False),
        # contains, startswith, endswith, cased
        ("a|contains: OO", {"a": "foo"}, True),
        ("a|startswith: fo", {"a": "FOO"}, True),
        ("a|startswith: oo", {"a": "foo"}, False),
        ("a|endswith: OO", {"a": "foo"}, True),
        ("a|endswith: 'f?'", {"a": "oofo"}, True),
        ("a|contains: 'o*x'", {"a": "fo--x-"}, True),
        ("a|cased: Foo", {"a": "Foo"}, True),
        ("a|cased: Foo", {"a": "foo"}, False),
        ("a|contains|cased: OO", {"a": "fOO"}, True),
        ("a|contains|cased: OO", {"a": "foo"}, False),
        ("a|cased: 'F*'", {"a": "foo"}, False),
        # neq is the negation of equality, so an absent field is different
        ("a|neq: x", {"a": "y"}, True),
        ("a|neq: x", {"a": "X"}, False),
        ("a|neq: x", {}, True),
        ("a|neq: [x, y]", {"a": "y"}, False),
        ("a|contains|neq: x", {"a": "axb"}, False),
        ("a|neq: x", {"a": ["w", "x"]}, False),
        # exists asks for the field, not for a value
        ("a|exists: true", {"a": None}, True),
        ("a|exists: true", {}, False),
        ("a|exists: false", {}, True),
        ("a|exists: false", {"a": ""}, False),
        # regular expressions: searched, case-sensitive, with flags
        ("a|re: 'o{2}'", {"a": "foo"}, True),
        ("a|re: '^o'", {"a": "foo"}, False),
        ("a|re: 'OO'", {"a": "foo"}, False),
        ("a|re|i: 'OO'", {"a": "foo"}, True),
        ("a|re: 'a.b'", {"a": "a\nb"}, False),
        ("a|re|s: 'a.b'", {"a": "a\nb"}, True),
        ("a|re: '^b'", {"a": "a\nb"}, False),
        ("a|re|m: '^b'", {"a": "a\nb"}, True),
        ("a|re|i|m|s: '^B.c'", {"a": "a\nb\nc"}, True),
        (r"a|re: '\d+'", {"a": 42}, True),
        ("a|re: x", {}, False),
        ("a|re|startswith: 'o|f'", {"a": "foo"}, True),
        ("a|re|startswith: 'o'", {"a": "foo"}, False),
        ("a|re|endswith: 'f'", {"a": "foo"}, False),
        ("a|re|contains: 'o'", {"a": "fox"}, True),
        # comparisons take numbers, and text that is a plain decimal number
        ("a|gt: 5", {"a": 6}, True),
        ("a|gt: 5", {"a": 5}, False),
        ("a|gte: 5", {"a": "5"}, True),
        ("a|lt: 5", {"a": "4.9"}, True),
        ("a|lte: 5", {"a": 5.0}, True),
        ("a|lt: 5", {"a": "-3"}, True),
        ("a|gt: 5", {"a": "0x10"}, False),
        ("a|gt: 5", {"a": "1e9"}, False),
        ("a|gt: 5", {"a": "६"}, False),
        ("a|gt: 0", {"a": True}, False),
        ("a|lt: 5", {"a": None}, False),
        ("a|lt: 5", {}, False),
        ("a|gt: 5", {"a": [1, 9]}, True),
        ("a|gt: 1.5", {"a": 2}, True),
        # cidr
        ("a|cidr: 10.0.0.0/8", {"a": "10.200.3.4"}, True),
        ("a|cidr: 10.0.0.0/8", {"a": "11.0.0.1"}, False),
        ("a|cidr: 10.0.0.0/8", {"a": "10.0.0"}, False),
        ("a|cidr: 10.0.0.0/8", {"a": "host"}, False),
        ("a|cidr: 10.0.0.0/8", {"a": "::ffff:10.0.0.1"}, False),
        ("a|cidr: 0.0.0.0/0", {"a": "::1"}, False),
        ("a|cidr: 'fe80::/10'", {"a": "FE80::1"}, True),
        ("a|cidr: '::ffff:0:0/96'", {"a": "::ffff:10.0.0.1"}, True),
        ("a|cidr: [10.0.0.0/8, 192.168.0.0/16]", {"a": "192.168.1.1"}, True),
        ("a|cidr: 10.0.0.0/8", {"a": 167772161}, False),
        # fieldref
        ("a|fieldref: b", {"a": "X", "b": "x"}, True),
        ("a|fieldref: b", {"a": "x", "b": "y"}, False),
        ("a|fieldref: b", {"a": None, "b": None}, False),
        ("a|fieldref: b", {}, False),
        ("a|fieldref: b", {"a": 5, "b": "5"}, True),
        ("a|fieldref|startswith: b", {"a": "xyz", "b": "x"}, True),
        ("a|fieldref|endswith: b", {"a": "xyz", "b": "yz"}, True),
        ("a|fieldref|contains: b", {"a": "xyz", "b": "y"}, True),
        # parts of a time, in UTC
        ("a|minute: 7", {"a": "2026-03-09T23:07:00Z"}, True),
        ("a|hour: 23", {"a": "2026-03-09T23:07:00"}, True),
        ("a|hour: 16", {"a": "2026-03-09T23:07:00+07:00"}, True),
        ("a|day: 9", {"a": "2026-03-09 23:07:00"}, True),
        ("a|week: 11", {"a": "2026-03-09T23:07:00Z"}, True),
        ("a|month: 3", {"a": "2026-03-09T23:07:00Z"}, True),
        ("a|year: 2026", {"a": "2026-03-09T23:07:00.123Z"}, True),
        ("a|year: 2025", {"a": 1760000000}, True),
        ("a|year: 2026", {"a": "yesterday"}, False),
        ("a|hour: 1", {}, False),
    ],
)
def test_a_value_matches_as_the_specification_says(item: str, fields: dict[str, Any], expected: bool) -> None:
    assert selects(item, fields) is expected


@pytest.mark.parametrize("dash", DASHES)
@pytest.mark.parametrize("written", ["-", "/", "–"])
def test_windash_takes_any_of_five_dashes_where_one_begins_a_word(written: str, dash: str) -> None:
    assert selects(f"a|windash|contains: ' {written}enc '", {"a": f"x {dash}enc y"})


@pytest.mark.parametrize("first", DASHES)
def test_windash_takes_all_combinations_of_dashes(first: str) -> None:
    assert all(selects("a|windash: 'x -a -b'", {"a": f"x {first}a {second}b"}) for second in DASHES)


@pytest.mark.parametrize("text", ["x-y", "x - y"])
def test_windash_leaves_dashes_alone_that_begin_no_word(text: str) -> None:
    assert selects(f"a|windash: '{text}'", {"a": text})
    assert not selects(f"a|windash: '{text}'", {"a": text.replace("-", "/")})


def test_windash_with_all_needs_each_value_in_some_form() -> None:
    item = "a|windash|contains|all: ['-a', '-b']"
    assert selects(item, {"a": "/a –b"})
    assert not selects(item, {"a": "/a"})


def test_base64_matches_the_encoded_text_only() -> None:
    encoded = base64.b64encode(b"http://").decode()
    assert selects("a|base64|contains: 'http://'", {"a": f"x{encoded}y"})
    assert not selects("a|base64|contains: 'http://'", {"a": "http://"})


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
@pytest.mark.parametrize("after", ["", "1", "12"])
def test_base64offset_matches_at_every_offset(before: str, after: str) -> None:
    encoded = base64.b64encode(f"{before}powershell{after}".encode()).decode()
    assert selects("a|base64offset|contains: powershell", {"a": encoded})


@pytest.mark.parametrize(
    ("modifier", "encoding"), [("wide", "utf-16-le"), ("utf16le", "utf-16-le"), ("utf16be", "utf-16-be")]
)
def test_wide_modifiers_encode_before_base64(modifier: str, encoding: str) -> None:
    encoded = base64.b64encode("ping ".encode(encoding)).decode()
    assert selects(f"a|{modifier}|base64offset|contains: 'ping '", {"a": encoded})
    assert not selects(
        f"a|{modifier}|base64offset|contains: 'ping '", {"a": base64.b64encode(b"ping ").decode()}
    )


def test_utf16_puts_a_byte_order_mark_first() -> None:
    encoded = base64.b64encode(b"\xff\xfe" + "ping".encode("utf-16-le")).decode()
    assert selects("a|utf16|base64: ping", {"a": encoded})


@pytest.mark.parametrize(
    ("keywords", "fields", "expected"),
    [
        ("[evil]", {"Message": "so EVIL a thing"}, True),
        ("[evil]", {"evil": "x"}, False),
        ("[evil]", {"deep": {"er": [{"x": ["a", "evil"]}]}}, True),
        ("[4624]", {"EventID": 14624}, True),
        ("['a*z']", {"m": "xx a-z xx"}, True),
        ("['a?z']", {"m": "az"}, False),
        ("[a, b]", {"m": "only b"}, True),
        ("{'|all': [a, b]}", {"m": "a", "n": "b"}, True),
        ("{'|all': [a, b]}", {"m": "a"}, False),
        ("{'|re': 'e[vw]il'}", {"m": "so ewil"}, True),
        ("{'|cased': Evil}", {"m": "evil"}, False),
        ("evil", {"m": None}, False),
        ("['true']", {"m": True}, True),
    ],
)
def test_a_keyword_is_looked_for_in_every_scalar(
    keywords: str, fields: dict[str, Any], expected: bool
) -> None:
    assert fires(f"keywords: {keywords}\ncondition: keywords", fields) is expected


@pytest.mark.parametrize(
    ("detection", "word"),
    [
        ("s: {'a|re': '(?=x)'}\ncondition: s", "invalid"),
        ("s: {'a|re': '('}\ncondition: s", "invalid"),
        ("s: {'a|nosuch': x}\ncondition: s", "modifier"),
        ("s: {'a|contains|expand': '%servers%'}\ncondition: s", "%servers%"),
        ("s: {'a|re|expand': 'x%servers%'}\ncondition: s", "placeholder"),
        ("s: {'a|gt': x}\ncondition: s", "incompatible"),
        ("s: {'a|cidr': 10.0.0.1/8}\ncondition: s", "CIDR"),
        ("s: {a: x}\ncondition: s and t", "'t'"),
        ("s: {a: x}\ncondition: s | count() > 5", "pipe"),
        ("s: {a: x}\ncondition: s and", "found"),
        ("s: {a: x}\ncondition: 1 of t_*", "t_*"),
        ("s: {a: x}", "condition"),
        ("s: {'a|windash': '-a -b -c -d'}\ncondition: s", "windash"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(detection: str, word: str) -> None:
    assert word in refusal(detection)


def test_a_percent_sign_without_expand_is_text() -> None:
    assert selects("a|contains: '%appdata%'", {"a": "C:\\%APPDATA%\\x"})


def test_wildcards_do_not_backtrack_into_exponential_time() -> None:
    stars = "*".join("aaaaaaaaaa")
    assert not selects(f"a: '{stars}*b'", {"a": "a" * 20_000})
    assert not selects("a|re: '(a+)+b'", {"a": "a" * 20_000})
