"""Modifiers in all their combinations: what the Sigma specification 2.1 says and ``test_values`` does not show."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.rules.helpers import refusal, selects

MINUTE = "2026-03-09T23:07:00Z"


@pytest.mark.parametrize(
    ("item", "fields", "expected"),
    [
        # all: every value, each in any of the field's values; with one value it changes nothing
        ("a|all: [x, y]", {"a": ["y", "x"]}, True),
        ("a|all: [x, y]", {"a": "x"}, False),
        ("a|all: x", {"a": "X"}, True),
        ("a|startswith|all: [x, xy]", {"a": "xyz"}, True),
        ("a|startswith|all: [x, y]", {"a": ["xa", "yb"]}, True),
        ("a|endswith|all: [yz, x]", {"a": "xyz"}, False),
        ("a|all|contains: [x, z]", {"a": "xyz"}, True),
        ("a|re|all: ['^x', 'z$']", {"a": "xyz"}, True),
        ("a|re|all: ['^x', 'y$']", {"a": "xyz"}, False),
        ("a|cidr|all: [10.0.0.0/8, 10.1.0.0/16]", {"a": "10.1.2.3"}, True),
        ("a|cidr|all: [10.0.0.0/8, 10.1.0.0/16]", {"a": "10.2.2.3"}, False),
        ("a|fieldref|all: [b, c]", {"a": "x", "b": "x", "c": "X"}, True),
        ("a|fieldref|all: [b, c]", {"a": "x", "b": "x"}, False),
        # contains, startswith, endswith: the empty text is in every text, wildcards and escapes stay what they are
        ("a|contains: ''", {"a": ""}, True),
        ("a|contains: ''", {}, False),
        ("a|startswith: 'a?c'", {"a": "abcd"}, True),
        ("a|startswith: 'a?c'", {"a": "acd"}, False),
        ("a|endswith: 'b*d'", {"a": "abcd"}, True),
        ("a|endswith: 'b*d'", {"a": "abcde"}, False),
        (r"a|contains: 'x\*y'", {"a": "-x*y-"}, True),
        (r"a|contains: 'x\*y'", {"a": "-xzy-"}, False),
        (r"a|endswith: '\?'", {"a": "what?"}, True),
        (r"a|endswith: '\?'", {"a": "whatx"}, False),
        (r"a|endswith: '\x.exe'", {"a": r"C:\X.EXE"}, True),
        (r"a|endswith: '\x.exe'", {"a": "x.exe"}, False),
        (r"a|startswith: '\\'", {"a": r"\srv"}, True),
        (r"a|startswith: '\\\\'", {"a": r"\\srv"}, True),
        (r"a|startswith: '\\\\'", {"a": r"\srv"}, False),
        (r"a|contains: '\\\*'", {"a": r"C:\*"}, True),
        (r"a|contains: '\\\*'", {"a": r"C:\x"}, False),
        ("a|contains: '*x*'", {"a": "axb"}, True),
        ("a|contains: 4", {"a": "x"}, None),
        # cased, before and after others
        ("a|cased|contains: Oo", {"a": "fOo"}, True),
        ("a|cased|contains: Oo", {"a": "foo"}, False),
        ("a|cased|startswith: Fo", {"a": "foo"}, False),
        ("a|endswith|cased: Oo", {"a": "FOo"}, True),
        ("a|cased: 'F?o*'", {"a": "Foo--"}, True),
        ("a|cased: 'F?o*'", {"a": "FoO"}, False),
        ("a|cased: [Foo, bar]", {"a": "bar"}, True),
        ("a|cased: [Foo, bar]", {"a": "BAR"}, False),
        ("a|cased|all|contains: [A, b]", {"a": "xAb"}, True),
        ("a|cased|all|contains: [A, b]", {"a": "xab"}, False),
        ("a|cased|neq: Foo", {"a": "foo"}, True),
        ("a|cased|neq: Foo", {"a": "Foo"}, False),
        ("a|cased: đỀ", {"a": "đỀ"}, True),
        ("a|cased: đỀ", {"a": "đề"}, False),
        # neq after others: the negation of all that stands before it
        ("a|neq: null", {"a": "x"}, True),
        ("a|neq: null", {}, False),
        ("a|neq: ''", {"a": ""}, False),
        ("a|neq: ''", {}, True),
        ("a|neq: 5", {"a": "5"}, False),
        ("a|neq: [x, null]", {}, False),
        ("a|startswith|neq: x", {"a": "yx"}, True),
        ("a|contains|all|neq: [x, y]", {"a": "x"}, True),
        ("a|contains|all|neq: [x, y]", {"a": "xy"}, False),
        ("a|re|neq: '^x'", {"a": "xy"}, False),
        ("a|re|neq: '^x'", {}, True),
        ("a|cidr|neq: 10.0.0.0/8", {"a": "10.1.1.1"}, False),
        ("a|cidr|neq: 10.0.0.0/8", {"a": "host"}, True),
        ("a|gt|neq: 5", {"a": 4}, True),
        ("a|gt|neq: 5", {"a": 6}, False),
        ("a|gt|neq: 5", {"a": "x"}, True),
        ("a|fieldref|neq: b", {"a": "x", "b": "X"}, False),
        ("a|fieldref|neq: b", {"a": "x"}, True),
        ("a|exists: [true]", {"a": 0}, True),
        ("a.b|exists: true", {"a": {"b": None}}, True),
        ("a.b|exists: true", {"a": {}}, False),
        ("a.b|exists: false", {"a": "x"}, True),
        ("a|exists: true", {"a": []}, True),
        ("a|exists: true", {"a": {}}, True),
        # windash
        ("a|windash|contains|all: ['-a', '-b']", {"a": "\u2015b \u2013a"}, True),
        ("a|windash|startswith: -x", {"a": "\u2014xyz"}, True),
        ("a|windash|endswith: ' /x'", {"a": "y -x"}, True),
        ("a|windash: --flag", {"a": "-/flag"}, True),
        ("a|windash: --flag", {"a": "//flag"}, False),
        ("a|windash: x-flag", {"a": "x-flag"}, True),
        ("a|windash: x-flag", {"a": "x/flag"}, False),
        ("a|windash: '-'", {"a": "/"}, False),
        ("a|windash: '-đ'", {"a": "/đ"}, True),
        ("a|windash: [-a, -b]", {"a": "/b"}, True),
        ("a|windash|neq: -x", {"a": "/x"}, False),
        ("a|windash: '-a*-b'", {"a": "/a \u2013b"}, True),
        ("a|cased|windash: -Enc", {"a": "/Enc"}, True),
        ("a|cased|windash: -Enc", {"a": "/enc"}, False),
        ("a|windash|contains|cased: -Enc", {"a": "x /enc"}, False),
        # re
        ("a|re: ''", {"a": ""}, True),
        ("a|re: ''", {}, False),
        ("a|re: '^$'", {"a": ""}, True),
        ("a|re: [x, '^y']", {"a": "y"}, True),
        ("a|re|i: 'é'", {"a": "É"}, True),
        (r"a|re: '^\w:\\'", {"a": "C:\\x"}, True),
        ("a|re: 'x$'", {"a": "x\n"}, False),
        ("a|re|m: 'x$'", {"a": "x\ny"}, True),
        ("a|re: '^true$'", {"a": True}, True),
        ("a|re: '^1$'", {"a": [2, 1]}, True),
        ("a|re: '^10$'", {"a": 10.0}, True),
        (r"a|re: '^\*$'", {"a": "*"}, True),
        ("a|re: 'a.c'", {"a": "a\U0001f600c"}, True),
        ("a|re|s|i: 'A.C'", {"a": "a\nc"}, True),
        # comparisons
        ("a|lt: 0", {"a": "-0.5"}, True),
        ("a|lte: -5", {"a": -5}, True),
        ("a|gt: -5", {"a": "+3"}, True),
        ("a|gte: 1.5", {"a": "1.50"}, True),
        ("a|gt: 5", {"a": ""}, False),
        ("a|gt: 5", {"a": " 6"}, False),
        ("a|gt: 5", {"a": "6 "}, False),
        ("a|gt: 5", {"a": "1_000"}, False),
        ("a|gt: 5", {"a": ".9"}, False),
        ("a|lt: 5", {"a": "NaN"}, False),
        ("a|lt: 5", {"a": False}, False),
        ("a|gt: [100, 5]", {"a": 6}, True),
        ("a|gt: 9007199254740992", {"a": 9007199254740993}, True),
        ("a|lt: 5", {"a": {"b": 1}}, False),
        # cidr
        ("a|cidr: 10.0.0.1/32", {"a": "10.0.0.1"}, True),
        ("a|cidr: 10.0.0.1", {"a": "10.0.0.1"}, True),
        ("a|cidr: 0.0.0.0/0", {"a": "255.255.255.255"}, True),
        ("a|cidr: 10.0.0.0/8", {"a": " 10.0.0.1"}, False),
        ("a|cidr: 10.0.0.0/8", {"a": "10.0.0.1:80"}, False),
        ("a|cidr: 10.0.0.0/8", {"a": "010.0.0.1"}, False),
        ("a|cidr: 10.0.0.0/8", {"a": ["x", "10.9.9.9"]}, True),
        ("a|cidr: '2001:db8::/32'", {"a": "2001:0DB8:0:0::1"}, True),
        ("a|cidr: '2001:db8::/32'", {"a": "2001:db9::1"}, False),
        ("a|cidr: '::/0'", {"a": "10.0.0.1"}, False),
        ("a|cidr: 127.0.0.0/8", {"a": "::ffff:127.0.0.1"}, False),
        ("a|cidr: ['::1/128', 127.0.0.0/8]", {"a": "::1"}, True),
        # fieldref
        ("a|fieldref: [b, c]", {"a": "x", "c": "x"}, True),
        ("a|fieldref: b.c", {"a": "x", "b": {"c": "X"}}, True),
        ("a|fieldref: b", {"a": ["w", "x"], "b": ["x", "y"]}, True),
        ("a|fieldref: b", {"a": "", "b": ""}, True),
        ("a|fieldref: b", {"a": 1, "b": 1.0}, True),
        ("a|fieldref: b", {"a": 1, "b": True}, False),
        ("a|fieldref: b", {"a": "x*", "b": "xyz"}, False),
        ("a|fieldref|startswith: b", {"a": "XYZ", "b": "xy"}, True),
        ("a|fieldref|startswith: b", {"a": "xy", "b": "xyz"}, False),
        ("a|fieldref|endswith: b", {"a": "xyz", "b": "xy"}, False),
        ("a|fieldref|contains: b", {"a": "xyz"}, False),
        # parts of a time
        ("a|hour: [22, 23]", {"a": MINUTE}, True),
        ("a|hour: 22", {"a": MINUTE}, False),
        ("a|minute: 7", {"a": [None, MINUTE]}, True),
        ("a|hour|neq: 23", {"a": MINUTE}, False),
        ("a|week: 53", {"a": "2027-01-01T00:00:00Z"}, True),
        ("a|day: 10", {"a": "2026-03-10T01:00:00+01:00"}, True),
        ("a|day: 9", {"a": "2026-03-10T01:00:00+02:00"}, True),
        # expand without a placeholder is the value itself
        ("a|expand: x", {"a": "x"}, True),
    ],
)
def test_modifiers_together(item: str, fields: dict[str, Any], expected: bool | None) -> None:
    if expected is None:  # pySigma takes text only
        assert "incompatible" in refusal(
            f"s: {{'{item.split(': ')[0]}': {item.split(': ')[1]}}}\ncondition: s"
        )
    else:
        assert selects(item, fields) is expected


def encoded(text: str, encoding: str, before: bytes = b"", after: bytes = b"") -> str:
    return base64.b64encode(before + text.encode(encoding) + after).decode()


@pytest.mark.parametrize(
    ("modifiers", "encoding", "mark"),
    [
        ("", "utf-8", b""),
        ("wide|", "utf-16-le", b""),
        ("utf16le|", "utf-16-le", b""),
        ("utf16be|", "utf-16-be", b""),
        ("utf16|", "utf-16-le", b"\xff\xfe"),
    ],
)
@pytest.mark.parametrize("text", ["ping", "http://", "Invoke-WebRequest"])
def test_text_encoded_in_each_way_is_found_by_its_own_modifier_alone(
    modifiers: str, encoding: str, mark: bytes, text: str
) -> None:
    whole = encoded(text, encoding, mark)
    assert selects(f"a|{modifiers}base64: '{text}'", {"a": whole})
    assert selects(f"a|{modifiers}base64|contains: '{text}'", {"a": f"x {whole} y"})
    assert not selects(f"a|{modifiers}base64: '{text}'", {"a": encoded(text + "!", encoding, mark)})
    for before in (b"", b"1", b"12", b"123"):
        part = encoded(text, encoding, before + mark, b"\x00after")
        assert selects(f"a|{modifiers}base64offset|contains: '{text}'", {"a": part}), before


def test_text_beyond_ascii_is_found_in_base64() -> None:
    assert selects("a|base64offset|contains: 'đề án'", {"a": encoded("đề án", "utf-8", b"12")})


@pytest.mark.parametrize("modifier", ["wide", "utf16le", "utf16be", "utf16"])
def test_pysigma_has_no_two_byte_form_of_text_beyond_ascii(modifier: str) -> None:
    assert "only allowed for" in refusal(f"s: {{'a|{modifier}|base64': 'đề án'}}\ncondition: s")


@pytest.mark.parametrize("text", ["x*y", "x?y"])
def test_a_wildcard_cannot_be_encoded(text: str) -> None:
    assert "wildcard" in refusal(f"s: {{'a|base64': '{text}'}}\ncondition: s").lower()


def test_an_escaped_wildcard_is_encoded_as_the_character() -> None:
    assert selects(r"a|base64: 'x\*y'", {"a": encoded("x*y", "utf-8")})


@pytest.mark.parametrize(
    ("item", "word"),
    [
        ("'a|expand': '%x%'", "%x%"),
        ("'a|expand': ['plain', 'b%x%c']", "%x%"),
        ("'a|re|expand': '%x%'", "placeholder"),
        ("'a|windash|re': x", "unmodified"),
        ("'a|re|cased': x", "incompatible"),
        ("'a|re': '(?<=x)y'", "invalid"),
        (r"'a|re': '(x)\1'", "invalid"),
        ("'a|re': 'x{5000}'", "repetition"),
        ("'a|i': x", "modifier"),
        ("'a|gt': '5x'", "incompatible"),
        ("'a|gt': true", ""),
        ("'a|gt': null", "incompatible"),
        ("'a|exists': 'yes'", "incompatible"),
        ("'a|exists': 1", "incompatible"),
        ("'a|cidr': x", "cidr"),
        ("'a|cidr': 300.0.0.0/8", "cidr"),
        ("'a|hour': noon", "incompatible"),
        ("'a|fieldref': 5", "incompatible"),
        ("'a|fieldref': 'b*'", "wildcard"),
        ("'a|contains': null", "incompatible"),
        ("'a|base64': 5", "incompatible"),
        ("a: {b: c}", "unsupported type"),
        ("a: [[x]]", "unsupported type"),
        ("a: 2026-03-09", "unsupported type"),
        ("a: .inf", "number"),
        ("a: .nan", "number"),
    ],
)
def test_what_means_nothing_is_refused_with_a_reason(item: str, word: str) -> None:
    assert word in refusal(f"s: {{{item}}}\ncondition: s").lower()
