"""The leaves of many rules' conditions, numbered, and conditions over those numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rules.engine.conditions import (
    And,
    Compare,
    Exists,
    Field,
    Keywords,
    Node,
    Not,
    Null,
    Or,
    Reference,
    Regex,
    Text,
    Value,
)

#: A leaf with more values is judged by its first ones.
_SAMPLE = 8
_NEVER = 100.0

Holds = Callable[[frozenset[int]], bool]


class Predicates:
    """Numbers for the leaves of conditions; equal leaves of different rules are one predicate."""

    def __init__(self) -> None:
        self._numbers: dict[Node, int] = {}

    def number(self, leaf: Node) -> int:
        return self._numbers.setdefault(leaf, len(self._numbers))

    def take(self, node: Node) -> list[int]:
        """Number the condition's leaves; their numbers in the order of :func:`leaves_of`."""
        numbers = self._numbers
        return [numbers.setdefault(leaf, len(numbers)) for leaf in leaves_of(node)]

    def by_field(self) -> dict[str, list[tuple[int, tuple[Value, ...]]]]:
        """What is asked of each field; leaves that compare two fields are nobody's."""
        found: dict[str, list[tuple[int, tuple[Value, ...]]]] = {}
        for leaf, number in self._numbers.items():
            if isinstance(leaf, Field) and not compares(leaf):
                found.setdefault(leaf.name, []).append((number, leaf.values))
        return found

    def keywords(self) -> list[tuple[int, tuple[Value, ...]]]:
        return [(number, leaf.values) for leaf, number in self._numbers.items() if isinstance(leaf, Keywords)]

    def condition(self, node: Node) -> Holds:
        """The condition over the predicates that hold."""
        match node:
            case And(nodes):
                leaves, others = self._split(nodes)
                if not others:
                    return leaves.issubset
                if not leaves:
                    return lambda true: all(each(true) for each in others)
                return lambda true: leaves <= true and all(each(true) for each in others)
            case Or(nodes):
                leaves, others = self._split(nodes)
                if not others:
                    return lambda true: not leaves.isdisjoint(true)
                return lambda true: not leaves.isdisjoint(true) or any(each(true) for each in others)
            case Not(inner):
                holds = self.condition(inner)
                return lambda true: not holds(true)
        number = self.number(node)
        return lambda true: number in true

    def _split(self, nodes: Sequence[Node]) -> tuple[frozenset[int], list[Holds]]:
        leaves = [self.number(node) for node in nodes if isinstance(node, (Field, Keywords))]
        others = [self.condition(node) for node in nodes if not isinstance(node, (Field, Keywords))]
        return frozenset(leaves), others


def leaves_of(node: Node) -> list[Node]:
    """The leaves from left to right."""
    match node:
        case And(nodes) | Or(nodes):
            return [leaf for each in nodes for leaf in leaves_of(each)]
        case Not(inner):
            return leaves_of(inner)
    return [node]


def witness_of(node: Node) -> tuple[int, ...] | None:
    """Places among :func:`leaves_of` of leaves of which at least one holds wherever the condition does; ``None`` where
    there are no such leaves, or where they compare two fields, which no index of one field can tell."""
    witness = _witness(node)
    if witness is None or any(compares(leaf) for leaf in witness):
        return None
    places = {leaf: place for place, leaf in enumerate(leaves_of(node))}
    return tuple(places[leaf] for leaf in witness)


def _witness(node: Node) -> tuple[Node, ...] | None:
    match node:
        case And(nodes):
            found = [witness for witness in map(_witness, nodes) if witness is not None]
            return min(found, key=lambda leaves: max(map(_commonness, leaves)), default=None)
        case Or(nodes):
            every = [_witness(each) for each in nodes]
            if any(witness is None for witness in every):
                return None
            return tuple(leaf for witness in every for leaf in witness or ())
        case Not():
            return None
    return (node,)


def _commonness(leaf: Node) -> float:
    """A guess at how often a leaf holds: long text is rare, an absent field is not."""
    assert isinstance(leaf, (Field, Keywords))  # noqa: S101 - by witness_of
    return max(map(_value_commonness, leaf.values[:_SAMPLE]))


def _value_commonness(value: Value) -> float:
    match value:
        case Null() | Exists():
            return 10.0
        case Text(parts):
            return 1 / (1 + max((len(part) for part in parts if isinstance(part, str)), default=0))
        case Compare():
            return 2.0
        case Regex():
            return 0.2
        case Reference():
            return _NEVER
    return 1.0


def compares(leaf: Node) -> bool:
    """Whether the leaf compares two fields of an event."""
    return isinstance(leaf, Field) and isinstance(leaf.values[0], Reference)


def compares_fields(node: Node) -> bool:
    """Whether the condition compares two fields of an event."""
    return any(map(compares, leaves_of(node)))
