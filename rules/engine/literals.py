"""Which of many texts with wildcards a value is: whole values and file names at its end by hash tables, all others by
one Aho-Corasick automaton over the longest text of each. Exact, and without states that are made while it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ahocorasick_rs import BytesAhoCorasick, Implementation

from rules.engine.conditions import ANY_RUN, Text
from rules.engine.strings import text_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rules.engine.strings import TextTest

#: Texts of fewer bytes are in most values, over and over: they are looked for one by one.
_SHORTEST: Final = 2
#: So few are looked for faster one by one.
_FEW: Final = 8
#: An automaton of no more bytes gets a table for each state, which is fast and large, once it has been asked about so
#: many times its bytes.
_SMALL: Final = 8_192
_WORTH: Final = 200
_SEPARATORS: Final = "\\/"

Leaf = tuple[int, "Sequence[Text]"]
_Find = Callable[..., list[tuple[int, int, int]]]


class Literals:
    """Texts, all cased or all in lower case, by the numbers of the leaves that they are of."""

    def __init__(
        self, leaves: Iterable[Leaf], undecided: Iterator[int], parts: Iterable[tuple[str, int]] = ()
    ) -> None:
        """``parts``: texts that stand for a number wherever they occur, as ``*part*`` does. ``undecided``: new numbers
        below zero, which stand for tests while something is collected."""
        self._exact: dict[str, list[int]] = {}
        #: By the separator that they begin with, and that is not in them again.
        self._names: dict[str, dict[str, list[int]]] = {}
        #: By the number that stands for it: a test of a value that holds some text, and the numbers that it decides.
        self._tests: dict[int, tuple[TextTest, list[int]]] = {}
        self._undecided = undecided
        exact, names = self._exact, self._names
        inside = _Inside()
        foreign: dict[int, list[str]] = {}
        begins: dict[str, list[int]] = {}
        ends: dict[str, list[int]] = {}
        globs: dict[Text, list[int]] = {}
        for part, number in parts:
            inside.add(part, number)
        for number, patterns in leaves:
            for pattern in patterns:  # of tens of thousands: `match` takes three times as long
                pieces: Sequence[Any] = pattern.parts
                count = len(pieces)
                if count == 3 and pieces[0] == ANY_RUN == pieces[2] and pieces[1].__class__ is str:
                    text = pieces[1]
                    if not text.isascii():
                        foreign.setdefault(number, []).append(text)
                    else:
                        inside.add(text, number)
                elif count == 2 and pieces[0] == ANY_RUN and pieces[1].__class__ is str:
                    text = pieces[1]
                    separator = text[0]
                    if separator in _SEPARATORS and not text.rfind(separator):
                        names.setdefault(separator, {}).setdefault(text, []).append(number)
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
        for text, numbers in begins.items():
            inside.add(text, self._stand_for(_Begins(text), numbers))
        for text, numbers in ends.items():
            inside.add(text, self._stand_for(_Ends(text), numbers))
        for pattern, numbers in globs.items():
            longest = max((part for part in pattern.parts if isinstance(part, str)), key=len, default="")
            inside.add(longest, self._stand_for(_Is(pattern), numbers))
        self._inside = inside.search()
        #: Texts that only a value can hold that is not ASCII alone (some rules list all emoji); and what looks for
        #: them, once one came.
        self._foreign = foreign
        self._in_foreign: _Search | None = None

    def collect(self, text: str, found: set[int]) -> None:
        """Add the numbers of the leaves that have ``text`` among their texts to ``found``."""
        exact = self._exact.get(text)
        if exact is not None:
            found.update(exact)
        for separator, names in self._names.items():
            at = text.rfind(separator)
            if at >= 0:
                numbers = names.get(text[at:])
                if numbers is not None:
                    found.update(numbers)
        if self._inside is not None:
            self._inside.collect(text, found)
        if self._foreign and not text.isascii():
            self._collect_foreign(text, found)
        if self._tests:
            for undecided in self._tests.keys() & found:
                found.discard(undecided)
                test, numbers = self._tests[undecided]
                if test(text):
                    found.update(numbers)

    def _collect_foreign(self, text: str, found: set[int]) -> None:
        if self._in_foreign is None:
            inside = _Inside()
            for number, texts in self._foreign.items():
                for each in texts:
                    inside.add(each, number)
            self._in_foreign = inside.search()
        if self._in_foreign is not None:
            self._in_foreign.collect(text, found)

    def _stand_for(self, test: TextTest, numbers: list[int]) -> int:
        number = next(self._undecided)
        self._tests[number] = test, numbers
        return number


class _Inside:
    """Texts to be looked for inside of values: for each the first number that it stands for, and the others."""

    def __init__(self) -> None:
        self.first: dict[str, int] = {}
        self.others: dict[str, list[int]] = {}

    def add(self, text: str, number: int) -> None:
        if self.first.setdefault(text, number) != number:
            self.others.setdefault(text, []).append(number)

    def search(self) -> _Search | None:
        return _Search(self.first, self.others) if self.first else None


class _Search:
    """Looks for many texts at once."""

    def __init__(self, first: dict[str, int], others: dict[str, list[int]]) -> None:
        least = _SHORTEST if len(first) > _FEW else sys.maxsize
        written = [part.encode("utf-8", "surrogatepass") for part in first]
        sought = [each for each in written if len(each) >= least]
        #: Each with its numbers; the others' by their places in the automaton.
        self._singly: list[tuple[str, list[int]]] = []
        if len(sought) < len(written):
            for (part, number), each in zip(first.items(), written, strict=True):
                if len(each) < least:
                    self._singly.append((part, [number, *others.get(part, ())]))
        self._first: list[int] = []
        self._others: dict[int, list[int]] = {}
        self._find: _Find | None = None
        #: How many more bytes are looked through with what was quickly built.
        self._patience = sys.maxsize
        self._parts: list[bytes] = []
        if sought:
            parts = [part for part, each in zip(first, written, strict=True) if len(each) >= least]
            self._first = [first[part] for part in parts]
            if others:
                self._others = {place: others[part] for place, part in enumerate(parts) if part in others}
            self._find = BytesAhoCorasick(
                sought, implementation=Implementation.ContiguousNFA
            ).find_matches_as_indexes
            size = sum(map(len, sought))
            if size <= _SMALL:
                self._parts = sought
                self._patience = size * _WORTH

    def collect(self, text: str, found: set[int]) -> None:
        """Add the numbers of those that are inside of ``text`` to ``found``."""
        for part, numbers in self._singly:
            if part in text:
                found.update(numbers)
        if self._find is None:
            return
        data = text.encode("utf-8", "surrogatepass")
        hits = self._find(data, overlapping=True)
        if hits:
            places = {hit[0] for hit in hits}
            found.update(map(self._first.__getitem__, places))
            if self._others:
                for place in self._others.keys() & places:
                    found.update(self._others[place])
        self._patience -= len(data)
        if self._patience < 0:
            self._hurry()

    def _hurry(self) -> None:
        self._patience = sys.maxsize
        parts, self._parts = self._parts, []
        self._find = BytesAhoCorasick(parts, implementation=Implementation.DFA).find_matches_as_indexes


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
