"""Which of many regular expressions a value matches. Each is compiled when a value first holds what is necessary for
it (:mod:`rules.engine.necessary`), which few ever do, and then tried on the values that hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.engine.necessary import LONG_S, necessary
from rules.engine.values import regex_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from rules.engine.conditions import Regex
    from rules.engine.guard import Guard
    from rules.engine.strings import TextTest


class Expressions:
    """Regular expressions, each with the numbers of what it stands for.

    ``parts``: texts to look for in lower case, each with the number below zero that stands for an expression: what
    :meth:`collect` wants to find. ``undecided``: new such numbers.
    """

    def __init__(self, patterns: Iterable[tuple[Regex, int]], undecided: Iterator[int], guard: Guard) -> None:
        self._guard = guard
        numbers: dict[Regex, list[int]] = {}
        for pattern, number in patterns:
            numbers.setdefault(pattern, []).append(number)
        self.parts: list[tuple[str, int]] = []
        self._each: dict[int, _Expression] = {}
        always: list[int] = []
        for pattern, stand_for in numbers.items():
            place = next(undecided)
            texts, length = necessary(pattern.with_flags)
            self.parts.extend((text, place) for text in texts)
            if not texts:
                always.append(place)
            self._each[place] = _Expression(pattern, stand_for, length)
        self._always: AbstractSet[int] = frozenset(always)

    def collect(self, text: str, found: set[int]) -> None:
        """Put the numbers of the expressions that match somewhere in ``text`` into ``found``, in place of what stands
        for those whose necessary texts it holds."""
        named = self._each.keys() & found
        found -= named
        if not text.isascii() and LONG_S in text:
            named = set(self._each)
        length = len(text)
        for place in named | self._always:
            expression = self._each[place]
            if length < expression.length or found.issuperset(expression.numbers):
                continue
            test = expression.test
            if test is None:
                test = expression.test = regex_test(expression.pattern, self._guard)
            if test(text):
                found.update(expression.numbers)


class _Expression:
    """``length``: of the shortest text that it matches in. ``test``: made when it is first needed."""

    __slots__ = ("length", "numbers", "pattern", "test")

    def __init__(self, pattern: Regex, numbers: list[int], length: int) -> None:
        self.pattern = pattern
        self.numbers = numbers
        self.length = length
        self.test: TextTest | None = None
