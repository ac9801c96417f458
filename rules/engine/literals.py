"""Which of many texts with wildcards a value is: whole values by a hash table, all others by one Aho-Corasick automaton
over the longest text of each. Exact, and without states that are made while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ahocorasick_rs import AhoCorasick, Implementation

from rules.engine.conditions import ANY_RUN, Text
from rules.engine.strings import TextTest, text_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Shorter texts are in most values, over and over: they are looked for one by one.
_SHORTEST: Final = 2
#: So few are looked for faster one by one.
_FEW: Final = 3
#: Automata of no more characters take a table for each state, which is fast, and large.
_SMALL: Final = 400

Found = tuple[int, ...]


class Literals:
    """Texts, all cased or all in lower case, each standing for some predicates."""

    def __init__(self, patterns: Mapping[Text, Iterable[int]]) -> None:
        self._exact: dict[str, Found] = {}
        inside: dict[str, list[tuple[TextTest | None, Found]]] = {}
        for pattern, predicates in patterns.items():
            found = tuple(predicates)
            match pattern.parts:
                case ():
                    self._exact[""] = found
                case (str(text),):
                    self._exact[text] = found
                case (first, str(text), last) if first == last == ANY_RUN:
                    inside.setdefault(text, []).append((None, found))
                case (str(text), last) if last == ANY_RUN:
                    inside.setdefault(text, []).append((_Begins(text), found))
                case (first, str(text)) if first == ANY_RUN:
                    inside.setdefault(text, []).append((_Ends(text), found))
                case parts:
                    longest = max((part for part in parts if isinstance(part, str)), key=len, default="")
                    inside.setdefault(longest, []).append((_Is(pattern), found))
        self._singly: list[tuple[str, list[tuple[TextTest | None, Found]]]] = []
        self._standing: list[list[tuple[TextTest | None, Found]]] = []
        self._automaton = self._build(inside)

    def collect(self, text: str, found: set[int]) -> None:
        """Add the predicates of the patterns that ``text`` is to ``found``."""
        exact = self._exact.get(text)
        if exact is not None:
            found.update(exact)
        for part, standing in self._singly:
            if part in text:
                _add(standing, text, found)
        if self._automaton is not None:
            for place in self._inside(self._automaton, text):
                _add(self._standing[place], text, found)

    def _inside(self, automaton: AhoCorasick, text: str) -> Iterable[int]:
        try:
            return {hit[0] for hit in automaton.find_matches_as_indexes(text, overlapping=True)}
        except UnicodeEncodeError:  # a lone surrogate, which the automaton has no form for
            return [place for place, part in enumerate(self._parts) if part in text]

    def _build(self, inside: dict[str, list[tuple[TextTest | None, Found]]]) -> AhoCorasick | None:
        self._parts: list[str] = []
        few = len(inside) <= _FEW
        for part, standing in inside.items():
            if few or len(part) < _SHORTEST or not _encodable(part):
                self._singly.append((part, standing))
            else:
                self._parts.append(part)
                self._standing.append(standing)
        if not self._parts:
            return None
        small = sum(map(len, self._parts)) <= _SMALL
        kind = Implementation.DFA if small else Implementation.ContiguousNFA
        return AhoCorasick(self._parts, implementation=kind, store_patterns=False)


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


def _add(standing: Iterable[tuple[TextTest | None, Found]], text: str, found: set[int]) -> None:
    for test, predicates in standing:
        if test is None or test(text):
            found.update(predicates)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
