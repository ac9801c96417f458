"""The leaves of conditions about one field (or about all values: keywords), laid out by how values are looked up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rules.engine.conditions import Compare, Network, Reference, Regex, Text, TimePart, Value
from rules.engine.expressions import Expressions
from rules.engine.fields import number_of
from rules.engine.literals import Literals
from rules.engine.values import Networks, number_test, time_test

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules.engine.fields import FieldValues
    from rules.engine.guard import Guard
    from rules.engine.leaves import Leaves
    from rules.engine.strings import TextTest

#: Numbers of leaves.
Numbers = frozenset[int]
CollectText = Callable[[str, set[int]], None]
CollectNumber = Callable[[float | str, set[int]], None]


class Tables:
    """Leaves by their numbers, each with its values. What they are looked for in is built when the first value comes:
    many fields of many rules never have one.

    ``in_low``, ``in_text``, ``in_number``: to be called in this order, the first two for each text of a field (in lower
    case, as it is), the last for each number; each adds the leaves that hold to a set. ``undecided``: new numbers below
    zero, for what they leave there to each other.
    """

    def __init__(
        self, leaves: Sequence[tuple[int, tuple[Value, ...]]], undecided: Iterator[int], guard: Guard
    ) -> None:
        self.numbers = frozenset([number for number, _ in leaves])
        self.in_low: list[CollectText] = []
        self.in_text: list[CollectText] = []
        self.in_number: list[CollectNumber] = []
        self._waiting = leaves
        self._undecided = undecided
        self._guard = guard

    def build(self) -> None:
        """To be called before anything is collected, by each that does."""
        if not self._waiting:
            return
        leaves, self._waiting = self._waiting, ()
        low: list[tuple[int, Sequence[Text]]] = []
        cased: list[tuple[int, Sequence[Text]]] = []
        regexes: list[tuple[Regex, int]] = []
        networks: list[tuple[Network, int]] = []
        times: list[tuple[TextTest, int]] = []
        compares: list[tuple[Callable[[float], bool], int]] = []
        for number, values in leaves:
            texts: list[Text] = []
            for value in values:
                if isinstance(value, Text):
                    texts.append(value)
                elif isinstance(value, Regex):
                    regexes.append((value, number))
                elif isinstance(value, Compare):
                    compares.append((number_test(value), number))
                elif isinstance(value, Network):
                    networks.append((value, number))
                elif isinstance(value, TimePart):
                    times.append((time_test(value), number))
                elif isinstance(value, Reference):
                    raise TypeError("a reference to another field is not looked up")
            if as_they_are := [text for text in texts if text.cased]:
                cased.append((number, as_they_are))
                texts = [text for text in texts if not text.cased]
            if texts:
                low.append((number, texts))
        parts: list[tuple[str, int]] = []
        if cased:
            self.in_text.append(Literals(cased, self._undecided).collect)
        if regexes:
            found = Expressions(regexes, self._undecided, self._guard)
            parts = found.parts
            self.in_text.append(found.collect)
        if networks:
            self.in_text.append(Networks(networks).collect)
        if times:
            self.in_text.append(partial(_collect_tested, times))
        if low or parts:
            self.in_low.append(Literals(low, self._undecided, parts).collect)
        if compares:
            self.in_number.append(partial(_collect_compared, compares))


def _collect_tested(tests: list[tuple[TextTest, int]], text: str, found: set[int]) -> None:
    for test, number in tests:
        if number not in found and test(text):
            found.add(number)


def _collect_compared(
    compares: list[tuple[Callable[[float], bool], int]], value: float | str, found: set[int]
) -> None:
    known = number_of(value)
    if known is not None:
        found.update([number for compare, number in compares if compare(known)])


class Wanted:
    """Leaves of one field that are asked for, among those of tables that others may share."""

    def __init__(self, numbers: Numbers, tables: Sequence[Tables], leaves: Leaves) -> None:
        self._numbers = numbers
        self._waiting = tables
        self._shared = any(not each.numbers <= numbers for each in tables)
        self._null = numbers & leaves.null
        self._present = numbers & leaves.present
        self._absent = numbers & leaves.absent
        self._in_low: tuple[CollectText, ...] = ()
        self._in_text: tuple[CollectText, ...] = ()
        self._in_number: tuple[CollectNumber, ...] = ()

    def of_text(self, text: str) -> Numbers:
        """The leaves that hold for a field whose one value is ``text``."""
        if self._waiting:
            self._prepare()
        found: set[int] = set()
        low = text.lower()
        for collect in self._in_low:
            collect(low, found)
        for collect in self._in_text:
            collect(text, found)
        for collect_number in self._in_number:
            collect_number(text, found)
        if self._shared:
            found &= self._numbers
        if self._present:
            found |= self._present
        return frozenset(found)

    def of(self, values: FieldValues) -> Numbers:
        """The leaves that hold for a field with these values."""
        if self._waiting and values.texts:
            self._prepare()
        found: set[int] = set()
        for text, low in zip(values.texts, values.lows, strict=True):
            for collect in self._in_low:
                collect(low, found)
            for collect in self._in_text:
                collect(text, found)
        for number in values.numbers:
            for collect_number in self._in_number:
                collect_number(number, found)
        found &= self._numbers
        found |= self._present if values.present else self._absent
        if values.null:
            found |= self._null
        return frozenset(found)

    def _prepare(self) -> None:
        tables, self._waiting = self._waiting, ()
        for each in tables:
            each.build()
        self._in_low = tuple(collect for each in tables for collect in each.in_low)
        self._in_text = tuple(collect for each in tables for collect in each.in_text)
        self._in_number = tuple(collect for each in tables for collect in each.in_number)
