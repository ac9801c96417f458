"""Text with wildcards as tests of text, many of one field at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from rules.engine.conditions import ANY_RUN, Text

if TYPE_CHECKING:
    from collections.abc import Iterable

TextTest = Callable[[str], bool]
Parts = tuple[str | int, ...]


def text_test(values: Iterable[Text]) -> TextTest:
    """Text (in lower case, unless the values are cased) is one of ``values``; the simple forms are tried together."""
    exact: set[str] = set()
    starts: list[str] = []
    ends: list[str] = []
    inside: list[str] = []
    tests: list[TextTest] = []
    for value in values:
        match value.parts:
            case ():
                exact.add("")
            case (str(text),):
                exact.add(text)
            case (str(text), last) if last == ANY_RUN:
                starts.append(text)
            case (first, str(text)) if first == ANY_RUN:
                ends.append(text)
            case (first, str(text), last) if first == last == ANY_RUN:
                inside.append(text)
            case (only,) if only == ANY_RUN:
                inside.append("")
            case _:
                tests.append(_glob(value.parts))
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


def _glob(parts: Parts) -> TextTest:
    """Match ``*`` and ``?``: each run between stars is looked for leftmost, so there is nothing to go back to."""
    runs: list[list[str | int]] = [[]]
    for part in parts:
        if part == ANY_RUN:
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


def _run(parts: list[str | int]) -> str:
    return "".join(re.escape(part) if isinstance(part, str) else "." for part in parts)
