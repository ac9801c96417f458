"""Conditions over numbers, where each leaf of rules' conditions has one, and equal leaves have the same.

A *term* is a leaf's number, or :class:`Every`, :class:`Some` or :class:`No` of terms. What it says of an event hangs on
the set of the numbers of the leaves that hold for it. An empty ``Every`` always holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Union

from rules.engine.conditions import And, Field, Keywords, Node, Not, Or

Holds = Callable[[frozenset[int]], bool]
#: How common a leaf is that no index of one field can tell.
NEVER: Final = float("inf")


class Every(NamedTuple):
    """All of them hold."""

    terms: tuple[Term, ...]


class Some(NamedTuple):
    """One of them holds."""

    terms: tuple[Term, ...]


class No(NamedTuple):
    """It does not hold."""

    term: Term


Term = Union[int, Every, Some, No]  # noqa: UP007 - the classes above name it


def term_of(node: Node, number: Callable[[Field | Keywords], int]) -> Term:
    """The condition, its leaves numbered from left to right."""
    if isinstance(node, Field):
        return number(node)
    if isinstance(node, And):
        return Every(tuple([term_of(each, number) for each in node.nodes]))
    if isinstance(node, Or):
        return Some(tuple([term_of(each, number) for each in node.nodes]))
    return No(term_of(node.node, number)) if isinstance(node, Not) else number(node)


def numbers_in(term: Term) -> list[int]:
    """The leaves from left to right."""
    if isinstance(term, int):
        return [term]
    if isinstance(term, No):
        return numbers_in(term.term)
    return [number for each in term.terms for number in numbers_in(each)]


def witness(term: Term, commonness: Callable[[int], float]) -> tuple[int, ...] | None:
    """Leaves of which at least one holds wherever the term does, rare ones where there is a choice; ``None`` where
    there are no such leaves, or one among them is :data:`NEVER` told."""
    found = _witness(term, commonness)
    return None if found is None or max(map(commonness, found), default=0) == NEVER else found


def _witness(term: Term, commonness: Callable[[int], float]) -> tuple[int, ...] | None:
    if isinstance(term, int):
        return (term,)
    if isinstance(term, No):
        return None
    every = [_witness(each, commonness) for each in term.terms]
    if isinstance(term, Every):
        found = [each for each in every if each is not None]
        return min(found, key=lambda leaves: max(map(commonness, leaves), default=0), default=None)
    if any(each is None for each in every):
        return None
    return tuple([number for each in every for number in each or ()])


def holds(term: Term) -> Holds:
    """The term as a test of the set of the numbers that hold."""
    if isinstance(term, int):
        return lambda true: term in true
    if isinstance(term, No):
        inner = holds(term.term)
        return lambda true: not inner(true)
    leaves, others = _split(term.terms)
    if isinstance(term, Every):
        if not others:
            return leaves.issubset
        if not leaves:
            return lambda true: all(each(true) for each in others)
        return lambda true: leaves <= true and all(each(true) for each in others)
    if not others:
        return lambda true: not leaves.isdisjoint(true)
    return lambda true: not leaves.isdisjoint(true) or any(each(true) for each in others)


def _split(terms: Sequence[Term]) -> tuple[frozenset[int], list[Holds]]:
    leaves = frozenset([each for each in terms if isinstance(each, int)])
    return leaves, [holds(each) for each in terms if not isinstance(each, int)]


def settled(term: Term, known: frozenset[int], true: frozenset[int]) -> Term | bool:
    """What is left of the term where the leaves ``known`` are, of which ``true`` hold; a boolean where nothing is."""
    if isinstance(term, int):
        return term in true if term in known else term
    if isinstance(term, No):
        inner = settled(term.term, known, true)
        return not inner if isinstance(inner, bool) else No(inner)
    neutral = isinstance(term, Every)
    left: list[Term] = []
    for each in term.terms:
        found = settled(each, known, true)
        if not isinstance(found, bool):
            left.append(found)
        elif found is not neutral:
            return found
    if not left:
        return neutral
    return left[0] if len(left) == 1 else type(term)(tuple(left))
