"""Which of many texts with wildcards a value is: whole values and file names at its end by hash tables, all others by
one Aho-Corasick automaton over the longest text of each. Exact, and without states that are made while it runs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ahocorasick_rs import BytesAhoCorasick, Implementation

from rules.engine.conditions import ANY_RUN, Text
from rules.engine.strings import text_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rules.engine.strings import TextTest

#: Texts of fewer bytes are in most values, over and over: they are looked for one by one.
_SHORTEST: Final = 2
#: So few are looked for faster one by one.
_FEW: Final = 8
#: Automata of no more bytes take a table for each state, which is fast, and large.
_SMALL: Final = 400

_SEPARATORS: Final = "\\/"
_NONE: Final[list[int]] = []

#: Tests of a value that holds a text, each with the numbers of those that it decides.
_Tests = list[tuple["TextTest", list[int]]]


class Literals:
    """Texts, all cased or all in lower case, each with the number of what it stands for."""

    def __init__(
        self,
        patterns: Iterable[tuple[Text, int]],
        parts: Iterable[tuple[str, int]] = (),
        *,
        ascii_apart: bool = True,
    ) -> None:
        """``parts`` stand for something wherever they occur, as ``*part*`` does. ``ascii_apart``: what is not ASCII
        alone is laid out when a value comes that is not (some rules list all emoji)."""
        self._exact: dict[str, list[int]] = {}
        #: By the separator that they begin with, and that is not in them again.
        self._names: dict[str, dict[str, list[int]]] = {}
        #: Texts that only a value can hold that is not ASCII; and what looks for them, once one came.
        self._foreign: list[tuple[Text, int]] = []
        self._in_foreign: Literals | None = None
        exact, foreign = self._exact, self._foreign if ascii_apart else None
        inside: dict[str, list[int]] = {}
        begins: dict[str, list[int]] = {}
        ends: dict[str, list[int]] = {}
        globs: dict[Text, list[int]] = {}
        for text, number in parts:
            inside.setdefault(text, []).append(number)
        for pattern, number in patterns:  # of tens of thousands: `match` takes three times as long
            pieces: Sequence[Any] = pattern.parts
            count = len(pieces)
            if count == 3 and pieces[0] == ANY_RUN == pieces[2] and pieces[1].__class__ is str:
                text = pieces[1]
                if foreign is None or text.isascii():
                    inside.setdefault(text, []).append(number)
                else:
                    foreign.append((pattern, number))
            elif count == 2 and pieces[0] == ANY_RUN and pieces[1].__class__ is str:
                text = pieces[1]
                separator = text[0]
                if separator in _SEPARATORS and not text.rfind(separator):
                    self._names.setdefault(separator, {}).setdefault(text, []).append(number)
                else:
                    ends.setdefault(text, []).append(number)
            elif count == 1 and pieces[0].__class__ is str:
                exact.setdefault(pieces[0], []).append(number)
            elif count == 2 and pieces[1] == ANY_RUN and pieces[0].__class__ is str:
                begins.setdefault(pieces[0], []).append(number)
            elif count == 0:
                exact.setdefault("", []).append(number)
            else:
                globs.setdefault(pattern, []).append(number)
        tested: dict[str, _Tests] = {}
        for text, numbers in begins.items():
            tested.setdefault(text, []).append((_Begins(text), numbers))
        for text, numbers in ends.items():
            tested.setdefault(text, []).append((_Ends(text), numbers))
        for pattern, numbers in globs.items():
            longest = max((part for part in pattern.parts if isinstance(part, str)), key=len, default="")
            tested.setdefault(longest, []).append((_Is(pattern), numbers))
        self._lay_out(inside, tested)

    def collect(self, text: str, found: set[int]) -> None:
        """Add the numbers of the patterns that ``text`` is to ``found``."""
        exact = self._exact.get(text)
        if exact is not None:
            found.update(exact)
        for separator, names in self._names.items():
            at = text.rfind(separator)
            if at >= 0:
                numbers = names.get(text[at:])
                if numbers is not None:
                    found.update(numbers)
        for part, numbers, tests in self._singly:
            if part in text:
                found.update(numbers)
                for test, decided in tests:
                    if test(text):
                        found.update(decided)
        if self._foreign and not text.isascii():
            if self._in_foreign is None:
                self._in_foreign = Literals(self._foreign, ascii_apart=False)
            self._in_foreign.collect(text, found)
        if self._find is None:
            return
        hits = self._find(text.encode("utf-8", "surrogatepass"), overlapping=True)
        if hits:
            places = {hit[0] for hit in hits}
            found.update(*map(self._sure.__getitem__, places))
            for place in self._tested.keys() & places:
                for test, decided in self._tested[place]:
                    if test(text):
                        found.update(decided)

    def _lay_out(self, inside: Mapping[str, list[int]], tested: Mapping[str, _Tests]) -> None:
        #: A text, what it stands for by itself, and what hangs on tests.
        self._singly: list[tuple[str, list[int], _Tests]] = []
        #: The same by the place of a text in the automaton.
        self._sure: list[list[int]] = []
        self._tested: dict[int, _Tests] = {}
        self._find: Callable[..., list[tuple[int, int, int]]] | None = None
        parts = list(inside)
        parts.extend(part for part in tested if part not in inside)
        least = _SHORTEST if len(parts) > _FEW else sys.maxsize
        written = [part.encode("utf-8", "surrogatepass") for part in parts]
        for part in [part for part, each in zip(parts, written, strict=True) if len(each) < least]:
            self._singly.append((part, inside.get(part, []), tested.get(part, [])))
        sought = [each for each in written if len(each) >= least]
        if sought:
            parts = [part for part, each in zip(parts, written, strict=True) if len(each) >= least]
            self._sure = [inside.get(part, _NONE) for part in parts]
            if tested:
                self._tested = {place: tested[part] for place, part in enumerate(parts) if part in tested}
            kind = Implementation.DFA if sum(map(len, sought)) <= _SMALL else Implementation.ContiguousNFA
            self._find = BytesAhoCorasick(sought, implementation=kind).find_matches_as_indexes


class _Begins(str):
    """A value begins with this text."""

    __slots__ = ()

    def __call__(self, value: str) -> bool:
        return value.startswith(self)


class _Ends(str):
    """A value ends with this text."""

    __slots__ = ()

    def __call__(self, value: str) -> bool:
        return value.endswith(self)


class _Is:
    """A value is this text with wildcards; most are never asked, so it is prepared when it first is."""

    __slots__ = ("_pattern", "_test")

    def __init__(self, pattern: Text) -> None:
        self._pattern = pattern
        self._test: TextTest | None = None

    def __call__(self, value: str) -> bool:
        if self._test is None:
            self._test = text_test([self._pattern])
        return self._test(value)
