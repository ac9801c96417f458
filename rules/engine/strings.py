"""Sigma strings as tests of text: wildcards, case, and many values of one field at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from sigma.types import Placeholder, SigmaCasedString, SigmaString, SpecialChars

from rules.engine.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules.engine.fields import View

TextTest = Callable[[str], bool]
Part = str | SpecialChars

_STAR = SpecialChars.WILDCARD_MULTI


def string_test(field: str, values: Iterable[SigmaString]) -> Callable[[View], bool]:
    """``field`` has one of ``values``, which are either all cased or none."""
    strings = list(values)
    cased = isinstance(strings[0], SigmaCasedString)
    matches = text_test([parts_of(each, cased=cased) for each in strings])

    def test_texts(view: View) -> bool:
        for text in view[field].texts:  # noqa: SIM110 - a loop is a third faster than any() here
            if matches(text):
                return True
        return False

    def test_lows(view: View) -> bool:
        for text in view[field].lows:  # noqa: SIM110 - as above
            if matches(text):
                return True
        return False

    return test_texts if cased else test_lows


def parts_of(value: SigmaString, *, cased: bool) -> list[Part]:
    """Text and wildcards in turn; text in lower case unless ``cased``. Raise :class:`RuleError` for a placeholder."""
    parts: list[Part] = []
    for part in value.s:
        if isinstance(part, Placeholder):
            raise RuleError(f"the placeholder %{part.name}% has no value here (modifier expand)")
        if isinstance(part, str):
            text = part if cased else part.lower()
            if parts and isinstance(parts[-1], str):
                parts[-1] += text
            else:
                parts.append(text)
        elif not (part is _STAR and parts and parts[-1] is part):
            parts.append(part)
    return parts


def text_test(patterns: list[list[Part]]) -> TextTest:
    """Text matches one of ``patterns``; the simple forms of all are tried together."""
    exact: set[str] = set()
    starts: list[str] = []
    ends: list[str] = []
    inside: list[str] = []
    tests: list[TextTest] = []
    for parts in patterns:
        match parts:
            case []:
                exact.add("")
            case [str(text)]:
                exact.add(text)
            case [str(text), last] if last is _STAR:
                starts.append(text)
            case [first, str(text)] if first is _STAR:
                ends.append(text)
            case [first, str(text), last] if first is _STAR and last is _STAR:
                inside.append(text)
            case [only] if only is _STAR:
                inside.append("")
            case _:
                tests.append(_glob(parts))
    return _joined(exact, tuple(starts), tuple(ends), tuple(inside), tuple(tests))


def _joined(
    exact: set[str],
    starts: tuple[str, ...],
    ends: tuple[str, ...],
    inside: tuple[str, ...],
    tests: tuple[TextTest, ...],
) -> TextTest:
    def any_inside(text: str) -> bool:
        for needle in inside:  # noqa: SIM110 - hot
            if needle in text:
                return True
        return False

    found: list[TextTest] = []
    if exact:
        found.append(exact.__contains__)
    if starts:
        found.append(lambda text: text.startswith(starts))
    if ends:
        found.append(lambda text: text.endswith(ends))
    if len(inside) == 1:
        needle = inside[0]
        found.append(lambda text: needle in text)
    elif inside:
        found.append(any_inside)
    found.extend(tests)
    if len(found) == 1:
        return found[0]
    every = tuple(found)
    return lambda text: any(test(text) for test in every)


def _glob(parts: list[Part]) -> TextTest:
    """Match ``*`` and ``?``: each run between stars is looked for leftmost, so there is nothing to go back to."""
    runs: list[list[Part]] = [[]]
    for part in parts:
        if part is _STAR:
            runs.append([])
        else:
            runs[-1].append(part)
    head = re.compile(_run(runs[0]), re.DOTALL)
    if len(runs) == 1:
        return lambda text: head.fullmatch(text) is not None
    middle = [re.compile(_run(run), re.DOTALL) for run in runs[1:-1] if run]
    tail = re.compile(_run(runs[-1]), re.DOTALL)
    tail_length = sum(len(part) if isinstance(part, str) else 1 for part in runs[-1])

    def test(text: str) -> bool:
        found = head.match(text)
        for pattern in middle:
            if found is None:
                return False
            found = pattern.search(text, found.end())
        start = len(text) - tail_length
        return found is not None and start >= found.end() and tail.match(text, start) is not None

    return test


def _run(parts: list[Part]) -> str:
    return "".join(re.escape(part) if isinstance(part, str) else "." for part in parts)
