"""Events told apart by the one field that most of their rules ask for: the event id, mostly.

Of a log source with many kinds of events each rule is about one or two. So the value of that field is looked at first,
and for each class of values there is a matcher of its own, with only the rules that are left, and with their
conditions as they are once this field is known: it asks for few fields, and has few signatures.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from rules.engine.conditions import And, Field, Node, Not, Or, Text
from rules.engine.index import FieldIndex
from rules.engine.matcher import Matcher
from rules.engine.predicates import Predicates, compares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rules.engine.guard import Guard
    from rules.engine.index import Budget
    from rules.engine.matcher import Offer

#: A field is worth it where so many rules need a value of it, and so large a share of all, or very many.
_FEWEST: Final = 8
_MANY: Final = 64
_SHARE: Final = 0.6
#: Classes of values with a matcher of their own; what comes beyond goes to one for all.
_LIMIT: Final = 512


def matcher_for(offers: Sequence[Offer], budget: Budget, guard: Guard) -> Matcher | Split:
    """What matches events that are offered these rules."""
    wanted = Counter(leaf.name for offer in offers for leaf in _needed(offer.condition))
    name, count = max(wanted.items(), key=lambda pair: pair[1], default=("", 0))
    if count < max(_FEWEST, min(_MANY, _SHARE * len(offers))):
        return Matcher(offers, budget, guard)
    return Split(name, offers, budget, guard)


class Split:
    """Matchers by the class of one field's value. Offers what a :class:`Matcher` does. Not thread-safe."""

    #: What is known to hold no keyword is known by each matcher alone.
    sieve = None

    def __init__(self, name: str, offers: Sequence[Offer], budget: Budget, guard: Guard) -> None:
        self.name = name
        self.offers = tuple(offers)
        self._budget = budget
        self._guard = guard
        self._predicates = Predicates()
        #: Places of the offers that need a predicate of the field, by its number, and of those that need none.
        self._bound: dict[int, list[int]] = {}
        self._free: list[int] = []
        for place, offer in enumerate(self.offers):
            for leaf in _leaves(offer.condition, name):
                self._predicates.number(leaf)
            needed = next((leaf for leaf in _needed(offer.condition) if leaf.name == name), None)
            if needed is None:
                self._free.append(place)
            else:
                self._bound.setdefault(self._predicates.number(needed), []).append(place)
        self._index = FieldIndex(name, self._predicates.by_field()[name], budget, guard)
        #: By the predicates of a class: its number may come to stand for another (:meth:`renew`).
        self._matchers: dict[frozenset[int], Matcher] = {}
        self._rest: Matcher | None = None
        self._gone: set[str] = set()
        budget.register_owner(self)

    def match(
        self, fields: dict[str, Any], raw: bytes = b"", *, no_keywords: bool = False
    ) -> tuple[Offer, ...]:
        """As :meth:`rules.engine.matcher.Matcher.match`."""
        return self.matcher(fields).match(fields, raw, no_keywords=no_keywords)

    def matcher(self, fields: dict[str, Any]) -> Matcher:
        """The matcher of events that have the same value of the field."""
        true = self._index.sets[self._index.read(fields)]
        found = self._matchers.get(true)
        return self._make(true) if found is None else found

    def renew(self) -> None:
        """Forget all classes: their number is up to whoever sends lists of values."""
        self._index.renew()

    def drop(self, keys: set[str]) -> None:
        """As :meth:`rules.engine.matcher.Matcher.drop`."""
        self._gone |= keys
        for matcher in self._all():
            matcher.drop(keys)

    def keys(self) -> set[str]:
        """As :meth:`rules.engine.matcher.Matcher.keys`."""
        return {offer.key for offer in self.offers} - self._gone

    def offered(self) -> int:
        """As :meth:`rules.engine.matcher.Matcher.offered`."""
        return sum(matcher.offered() for matcher in self._all())

    def candidates(self) -> dict[str, int]:
        """As :meth:`rules.engine.matcher.Matcher.candidates`."""
        found: Counter[str] = Counter()
        for matcher in self._all():
            found.update(matcher.candidates())
        return dict(found)

    def _all(self) -> Iterable[Matcher]:
        return self._matchers.values() if self._rest is None else (*self._matchers.values(), self._rest)

    def _make(self, true: frozenset[int]) -> Matcher:
        if len(self._matchers) >= _LIMIT:
            if self._rest is None:
                self._rest = Matcher(self.offers, self._budget, self._guard)
                self._rest.drop(self._gone)
            return self._rest
        places = {*self._free, *(place for each in true for place in self._bound.get(each, ()))}
        left: list[Offer] = []
        conditions: list[Node] = []
        for place in sorted(places):
            offer = self.offers[place]
            condition = _settled(
                offer.condition, self.name, lambda leaf: self._predicates.number(leaf) in true
            )
            if condition is not False:
                left.append(offer)
                conditions.append(And(()) if condition is True else condition)
        found = self._matchers[true] = Matcher(left, self._budget, self._guard, conditions)
        found.drop(self._gone)
        return found


def _needed(node: Node) -> Iterable[Field]:
    """The leaves with whole values of one field that the condition cannot hold without."""
    nodes = node.nodes if isinstance(node, And) else (node,)
    return [each for each in nodes if isinstance(each, Field) and all(map(_is_whole, each.values))]


def _is_whole(value: object) -> bool:
    return isinstance(value, Text) and len(value.parts) == 1 and isinstance(value.parts[0], str)


def _leaves(node: Node, name: str) -> Iterable[Field]:
    match node:
        case And(nodes) | Or(nodes):
            for each in nodes:
                yield from _leaves(each, name)
        case Not(inner):
            yield from _leaves(inner, name)
        case Field() if node.name == name and not compares(node):
            yield node


def _settled(node: Node, name: str, holds: Callable[[Field], bool]) -> Node | bool:
    """The condition once the leaves of the field ``name`` are known; ``True`` or ``False`` where nothing is left."""
    match node:
        case And(nodes):
            return _joined(And, nodes, name, holds, neutral=True)
        case Or(nodes):
            return _joined(Or, nodes, name, holds, neutral=False)
        case Not(inner):
            left = _settled(inner, name, holds)
            return not left if isinstance(left, bool) else Not(left)
        case Field() if node.name == name and not compares(node):
            return holds(node)
    return node


def _joined(
    kind: type[And] | type[Or],
    nodes: tuple[Node, ...],
    name: str,
    holds: Callable[[Field], bool],
    *,
    neutral: bool,
) -> Node | bool:
    left: list[Node] = []
    for each in nodes:
        settled = _settled(each, name, holds)
        if isinstance(settled, bool):
            if settled is not neutral:
                return settled
        else:
            left.append(settled)
    if not left:
        return neutral
    return left[0] if len(left) == 1 else kind(tuple(left))
