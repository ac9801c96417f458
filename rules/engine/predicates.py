"""The leaves of a rule's condition, and which of them tell that it may hold."""

from __future__ import annotations

from itertools import count

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
from rules.engine.terms import NEVER, term_of, witness

#: A leaf with more values is judged by its first ones.
_SAMPLE = 8


def leaves_of(node: Node) -> list[Node]:
    """The leaves from left to right."""
    match node:
        case And(nodes) | Or(nodes):
            return [leaf for each in nodes for leaf in leaves_of(each)]
        case Not(inner):
            return leaves_of(inner)
    return [node]


def witness_of(node: Node) -> tuple[int, ...] | None:
    """:func:`rules.engine.terms.witness` of the condition, as places among :func:`leaves_of`."""
    leaves = leaves_of(node)
    places = count()
    return witness(term_of(node, lambda _leaf: next(places)), lambda place: commonness(leaves[place]))


def commonness(leaf: Node) -> float:
    """A guess at how often a leaf holds: long text is rare, an absent field is not."""
    assert isinstance(leaf, (Field, Keywords))  # noqa: S101 - what leaves are
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
            return NEVER
    return 1.0


def compares(leaf: Node) -> bool:
    """Whether the leaf compares two fields of an event."""
    return isinstance(leaf, Field) and isinstance(leaf.values[0], Reference)


def compares_fields(node: Node) -> bool:
    """Whether the condition compares two fields of an event."""
    return any(map(compares, leaves_of(node)))
