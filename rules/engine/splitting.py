"""Events told apart by the one field that most of their rules ask for: the event id, mostly.

Of a log source with many kinds of events each rule is about one or two. So the value of that field is looked at first,
and for each class of values there is a matcher of its own, with only the rules that are left, and with their
conditions as they are once this field is known: it asks for few fields, and has few signatures.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from rules.engine.matcher import Matcher, Settled
from rules.engine.terms import Every, settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules.engine.guard import Guard
    from rules.engine.index import Budget
    from rules.engine.leaves import Leaves
    from rules.engine.offers import Offer
    from rules.engine.terms import Term

#: A field is worth it where so many rules need a value of it, and so large a share of all, or very many.
_FEWEST: Final = 8
_MANY: Final = 64
_SHARE: Final = 0.6
#: Classes of values with a matcher of their own; what comes beyond goes to one for all.
_LIMIT: Final = 512


def matcher_for(offers: Sequence[Offer], leaves: Leaves, budget: Budget, guard: Guard) -> Matcher | Split:
    """What matches events that are offered these rules."""
    wanted = Counter(name for offer in offers for name in offer.needed)
    name, count = max(wanted.items(), key=lambda pair: pair[1], default=("", 0))
    if count < max(_FEWEST, min(_MANY, _SHARE * len(offers))):
        return Matcher(offers, leaves, budget, guard)
    return Split(name, offers, leaves, budget, guard)


class Split:
    """Matchers by the class of one field's value. Offers what a :class:`Matcher` does. Not thread-safe."""

    #: What is known to hold no keyword is known by each matcher alone.
    sieve = None

    def __init__(
        self, name: str, offers: Sequence[Offer], leaves: Leaves, budget: Budget, guard: Guard
    ) -> None:
        self.name = name
        self.offers = tuple(offers)
        self._leaves = leaves
        self._budget = budget
        self._guard = guard
        #: Places of the offers that need a leaf of the field, by its number, and of those that need none.
        self._bound: dict[int, list[int]] = {}
        self._free: list[int] = []
        for place, offer in enumerate(self.offers):
            needed = offer.needed.get(name)
            if needed is None:
                self._free.append(place)
            else:
                self._bound.setdefault(needed, []).append(place)
        numbers = leaves.by_field(dict.fromkeys(number for offer in offers for number in offer.numbers))[name]
        self._known = frozenset(numbers)
        self._index = leaves.index(name, numbers)
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
                self._rest = Matcher(self.offers, self._leaves, self._budget, self._guard)
                self._rest.drop(self._gone)
            return self._rest
        places = {*self._free, *(place for each in true for place in self._bound.get(each, ()))}
        left: list[Offer] = []
        terms: list[Term] = []
        for place in sorted(places):
            offer = self.offers[place]
            term = offer.term
            if not self._known.isdisjoint(offer.numbers):
                term = settled(term, self._known, true)
            if term is not False:
                left.append(offer)
                terms.append(Every(()) if term is True else term)
        found = Matcher(left, self._leaves, self._budget, self._guard, Settled(terms, true))
        self._matchers[true] = found
        found.drop(self._gone)
        return found
