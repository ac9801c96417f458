"""The leaves of the conditions of many rules: a number for each, and what looks the values of a field up in them."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from rules.engine.conditions import And, Exists, Field, Keywords, Not, Null, Or, Text, renamed
from rules.engine.index import FieldIndex
from rules.engine.predicates import commonness, compares
from rules.engine.tables import Tables, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rules.engine.conditions import Node, Value
    from rules.engine.guard import Guard
    from rules.engine.index import Budget

#: Tables of fewer leaves are shared by none but those that ask for the same: they cost little, and may be very many.
_FEWEST = 16


class Leaves:
    """Equal leaves have one number, whichever rule they are of. Those of one field that several matchers ask for are
    laid out in tables once. ``null``, ``present``, ``absent``: the leaves that hold for a field that has no value, is
    there, or is not, whatever else."""

    def __init__(self, budget: Budget, guard: Guard) -> None:
        self.null: set[int] = set()
        self.present: set[int] = set()
        self.absent: set[int] = set()
        self._budget = budget
        self._guard = guard
        self._numbers: dict[Field | Keywords, int] = {}
        self._leaves: list[Field | Keywords] = []
        #: The field that a leaf is about; none for keywords, and where two are compared.
        self._fields: list[str | None] = []
        self._commonness: dict[int, float] = {}
        self._whole: dict[int, bool] = {}
        self._rules: dict[str, tuple[list[int], list[int]]] = {}
        self._renamed: dict[tuple[tuple[str, str], ...], dict[int, int]] = {}
        self._tables: dict[str | None, list[Tables]] = {}
        self._wanted: dict[tuple[str | None, frozenset[int]], Wanted] = {}
        self._indexes: dict[Wanted, FieldIndex] = {}
        self._undecided = count(-1, -1)

    def of_rule(self, key: str, condition: Node, renames: Mapping[str, str]) -> tuple[list[int], list[int]]:
        """Of the rule ``key``: all its leaves from left to right, and those with whole values of one field that its
        condition cannot hold without. ``renames``: the event's field name for the rule's."""
        found = self._rules.get(key)
        if found is None:
            numbers: list[int] = []
            needed: list[int] = []
            for node in condition.nodes if isinstance(condition, And) else (condition,):
                self._take(node, numbers)
                if isinstance(node, Field) and self._is_whole(numbers[-1]):
                    needed.append(numbers[-1])
            found = self._rules[key] = numbers, needed
        if not renames:
            return found
        others = self._renamed.setdefault(tuple(sorted(renames.items())), {})
        for number in found[0]:
            if number not in others:
                leaf = renamed(self._leaves[number], renames)
                others[number] = self._number(leaf)  # type: ignore[arg-type]  # a leaf as before
        return [others[number] for number in found[0]], [others[number] for number in found[1]]

    def field(self, number: int) -> str:
        """The field that the leaf is about; ``""`` where it is about several."""
        return self._fields[number] or ""

    def commonness(self, number: int) -> float:
        """A guess at how often the leaf holds."""
        found = self._commonness.get(number)
        if found is None:
            found = self._commonness[number] = commonness(self._leaves[number])
        return found

    def by_field(self, numbers: Iterable[int]) -> dict[str, list[int]]:
        """The leaves that are about one field, by its name."""
        found: dict[str, list[int]] = {}
        fields = self._fields
        for number in numbers:
            name = fields[number]
            if name is not None:
                found.setdefault(name, []).append(number)
        return found

    def compared(self, numbers: Iterable[int]) -> list[int]:
        """The leaves that compare two fields, each once."""
        return [each for each in dict.fromkeys(numbers) if compares(self._leaves[each])]

    def keywords(self, numbers: Iterable[int]) -> list[int]:
        """The leaves that are keywords."""
        return [
            each
            for each in numbers
            if self._fields[each] is None and isinstance(self._leaves[each], Keywords)
        ]

    def values(self, number: int) -> tuple[Value, ...]:
        """The leaf's values."""
        return self._leaves[number].values

    def index(self, name: str, numbers: Iterable[int]) -> FieldIndex:
        """The index of the field ``name`` for these leaves of it: one for all that ask for the same."""
        wanted = self.wanted(name, numbers)
        found = self._indexes.get(wanted)
        if found is None:
            found = self._indexes[wanted] = FieldIndex(name, wanted, self._budget)
        return found

    def wanted(self, name: str | None, numbers: Iterable[int]) -> Wanted:
        """What looks values up in these leaves, all of the field ``name`` (keywords: ``None``)."""
        asked = frozenset(numbers)
        found = self._wanted.get((name, asked))
        if found is None:
            found = self._wanted[name, asked] = Wanted(asked, self._tables_of(name, asked), self)
        return found

    def _tables_of(self, name: str | None, asked: frozenset[int]) -> list[Tables]:
        tables: list[Tables] = []
        left = asked
        known = self._tables.setdefault(name, [])
        for each in known:  # those of which at least half is asked for
            if 2 * len(each.numbers & left) >= len(each.numbers):
                tables.append(each)
                left -= each.numbers
        if left:
            leaves = [(number, self.values(number)) for number in sorted(left)]
            tables.append(made := Tables(leaves, self._undecided, self._guard))
            if len(left) >= _FEWEST:
                known.append(made)
        return tables

    def _take(self, node: Node, numbers: list[int]) -> None:
        if isinstance(node, Field):
            numbers.append(self._number(node))
        elif isinstance(node, (And, Or)):
            for each in node.nodes:
                self._take(each, numbers)
        elif isinstance(node, Not):
            self._take(node.node, numbers)
        else:
            numbers.append(self._number(node))

    def _is_whole(self, number: int) -> bool:
        found = self._whole.get(number)
        if found is None:
            leaf = self._leaves[number]
            found = self._whole[number] = isinstance(leaf, Field) and all(map(_is_whole, leaf.values))
        return found

    def _number(self, leaf: Field | Keywords) -> int:
        found = self._numbers.get(leaf)
        if found is not None:
            return found
        number = self._numbers[leaf] = len(self._leaves)
        self._leaves.append(leaf)
        self._fields.append(leaf.name if isinstance(leaf, Field) and not compares(leaf) else None)
        for value in leaf.values:
            kind = value.__class__
            if kind is Null:
                self.null.add(number)
            elif kind is Exists:
                (self.present if value.wanted else self.absent).add(number)  # type: ignore[union-attr]
        return number


def _is_whole(value: Value) -> bool:
    return isinstance(value, Text) and len(value.parts) == 1 and isinstance(value.parts[0], str)
