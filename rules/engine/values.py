"""Sigma values as tests: one pySigma value becomes a closure over a :class:`~rules.engine.fields.View`.

The semantics are the Sigma specification 2.1's; where it is silent: case-insensitive means lower case of both
sides, wildcards cover line breaks, regular expressions are searched and case-sensitive without ``i``. Matching time
is linear in the value's length for every construct (RE2, no backtracking), so a hostile event cannot stall a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final, Protocol

import re2
from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
    TimestampPart,
)

from rules.engine.errors import RuleError
from rules.engine.fields import View, text_of
from rules.engine.strings import TextTest, parts_of, string_test, text_test

Test = Callable[[View], bool]


class _Pattern(Protocol):
    def search(self, text: str) -> Any: ...


def any_of(tests: tuple[Test, ...]) -> Test:
    def test(view: View) -> bool:
        for each in tests:  # noqa: SIM110 - a loop is a third faster than any() here
            if each(view):
                return True
        return False

    return tests[0] if len(tests) == 1 else test


def all_of(tests: tuple[Test, ...]) -> Test:
    def test(view: View) -> bool:
        for each in tests:  # noqa: SIM110 - as above
            if not each(view):
                return False
        return True

    return tests[0] if len(tests) == 1 else test


def none_of(inner: Test) -> Test:
    return lambda view: not inner(view)


def field_test(field: str, value: SigmaType, rename: Callable[[str], str]) -> Test:
    """``field`` (already the event's own name) has ``value``. Raise :class:`RuleError` for what cannot be supported.

    ``rename`` gives the event's name of a field that the value itself refers to.
    """
    if isinstance(value, SigmaExpansion):
        if all(type(each) is SigmaString for each in value.values):
            return string_test(field, value.values)  # type: ignore[arg-type]  # just looked
        return any_of(tuple(field_test(field, each, rename) for each in value.values))
    if isinstance(value, SigmaTimestampPart):
        return _timestamp_part(field, value)
    if isinstance(value, SigmaString):
        return string_test(field, [value])
    if isinstance(value, (SigmaNumber, SigmaBool)):
        plain = value.number if isinstance(value, SigmaNumber) else value.boolean
        needle = text_of(plain) or ""
        return lambda view: needle in view[field].lows
    if isinstance(value, SigmaNull):
        return lambda view: view[field].null
    if isinstance(value, SigmaExists):
        wanted = value.exists
        return lambda view: view[field].present is wanted
    if isinstance(value, SigmaRegularExpression):
        return _any_text(field, regex_test(value))
    if isinstance(value, SigmaCompareExpression):
        return _compare(field, value)
    if isinstance(value, SigmaCIDRExpression):
        return _any_text(field, _cidr(value))
    if isinstance(value, SigmaFieldReference):
        return _reference(field, rename(value.field), starts=value.starts_with, ends=value.ends_with)
    raise RuleError(f"values of type {type(value).__name__} are not supported")


def keyword_test(value: SigmaType) -> Test:
    """A keyword: ``value`` occurs inside any scalar value of the event, at any depth; key names are not searched."""
    if isinstance(value, SigmaExpansion):
        return any_of(tuple(keyword_test(each) for each in value.values))
    if isinstance(value, (SigmaNumber, SigmaBool)):
        plain = value.number if isinstance(value, SigmaNumber) else value.boolean
        value = SigmaString.from_str(text_of(plain) or "")
    if isinstance(value, SigmaRegularExpression):
        search = regex_test(value)
        return lambda view: any(search(text) for text in view.texts)
    if not isinstance(value, SigmaString):
        raise RuleError(f"a keyword cannot be of type {type(value).__name__}")
    cased = isinstance(value, SigmaCasedString)
    star = SpecialChars.WILDCARD_MULTI
    parts = parts_of(value, cased=cased)
    before, after = [star] * (parts[:1] != [star]), [star] * bool(parts and parts[-1] is not star)
    test = text_test([[*before, *parts, *after]])
    if cased:
        return lambda view: any(test(text) for text in view.texts)
    return lambda view: any(test(text) for text in view.lows)


def _any_text(field: str, matches: TextTest) -> Test:
    return lambda view: any(matches(text) for text in view[field].texts)


# Regular expressions -------------------------------------------------------------------------------------------

_FLAGS: Final = {"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}


def regex_test(value: SigmaRegularExpression) -> TextTest:
    """Search with RE2. What RE2 lacks (look-around, back-references) has been refused when the rule was parsed."""
    if value.contains_placeholder():
        raise RuleError("the regular expression holds a placeholder (modifier expand)")
    flags = "".join(sorted(_FLAGS[flag.name] for flag in value.flags))
    source = str(value.regexp)
    try:
        pattern: _Pattern = re2.compile(f"(?{flags}){source}" if flags else source)
    except re2.error as problem:
        raise RuleError(f"regular expression {source!r}: {problem}") from problem

    def search(text: str) -> bool:
        try:
            return pattern.search(text) is not None
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 has no form for
            return pattern.search(text.encode("utf-8", "replace").decode("utf-8")) is not None

    return search


# Numbers, addresses, other fields, times -----------------------------------------------------------------------


def _compare(field: str, value: SigmaCompareExpression) -> Test:
    limit = value.number.number
    match value.op:
        case CompareOperators.LT:
            return lambda view: any(number < limit for number in view[field].numbers)
        case CompareOperators.LTE:
            return lambda view: any(number <= limit for number in view[field].numbers)
        case CompareOperators.GT:
            return lambda view: any(number > limit for number in view[field].numbers)
        case CompareOperators.GTE:
            return lambda view: any(number >= limit for number in view[field].numbers)
    raise RuleError(f"the comparison {value.op.name} is not supported")


def _cidr(value: SigmaCIDRExpression) -> TextTest:
    network = value.network

    def test(text: str) -> bool:
        try:
            return ip_address(text) in network
        except ValueError:
            return False

    return test


def _reference(field: str, other: str, *, starts: bool, ends: bool) -> Test:
    def same(text: str, wanted: str) -> bool:
        if starts and ends:
            return wanted in text
        if starts:
            return text.startswith(wanted)
        if ends:
            return text.endswith(wanted)
        return text == wanted

    return lambda view: any(same(text, wanted) for text in view[field].lows for wanted in view[other].lows)


def parse_time(text: str) -> datetime | None:
    """ISO 8601 (no offset means UTC) or seconds since the epoch, as UTC; ``None`` for anything else."""
    try:
        if len(text) <= 20 and text.replace(".", "", 1).isdigit():
            return datetime.fromtimestamp(float(text), UTC)
        moment = datetime.fromisoformat(text)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


_PART: Final[dict[TimestampPart, Callable[[datetime], int]]] = {
    TimestampPart.MINUTE: lambda moment: moment.minute,
    TimestampPart.HOUR: lambda moment: moment.hour,
    TimestampPart.DAY: lambda moment: moment.day,
    TimestampPart.WEEK: lambda moment: moment.isocalendar().week,
    TimestampPart.MONTH: lambda moment: moment.month,
    TimestampPart.YEAR: lambda moment: moment.year,
}


def _timestamp_part(field: str, value: SigmaTimestampPart) -> Test:
    part, wanted = _PART[value.timestamp_part], value.number

    def test(text: str) -> bool:
        moment = parse_time(text)
        return moment is not None and part(moment) == wanted

    return _any_text(field, test)
