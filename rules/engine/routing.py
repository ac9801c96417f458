"""Which rules an event is offered: a rule is offered it if each of product, category and service that the rule's
log source names is among the event's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rules.engine.leaves import Leaves
from rules.engine.offers import Offer
from rules.engine.ruleset import LogSource
from rules.engine.splitting import matcher_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules.engine.guard import Guard
    from rules.engine.index import Budget
    from rules.engine.matcher import Matcher
    from rules.engine.offers import Counts
    from rules.engine.ruleset import Compiled
    from rules.engine.splitting import Split

#: Field renames, hashable: (rule's name, event's name) pairs.
Renames = tuple[tuple[str, str], ...]


class Sources(NamedTuple):
    """An event's log sources. ``categories`` pair a category with the field renames of the way it came by."""

    product: str
    services: frozenset[str]
    categories: frozenset[tuple[str, Renames]]


def sources_of(product: str, category: str, service: str) -> Sources:
    """The log sources of an event that names each at most once."""
    return Sources(
        product,
        frozenset([service] if service else []),
        frozenset([(category, ())] if category else []),
    )


class Router:
    """Matchers by log sources, made when the first event of a kind comes. Log sources that get the same rules share
    one matcher, so that their number depends on the rules and not on what comes from outside."""

    def __init__(self, rules: Iterable[tuple[Compiled, Counts]], budget: Budget, guard: Guard) -> None:
        self._rules = list(rules)
        self._budget = budget
        self._guard = guard
        self._by_source: dict[LogSource, list[int]] = {}
        for place, (rule, _) in enumerate(self._rules):
            self._by_source.setdefault(rule.logsource, []).append(place)
        self._leaves = Leaves(budget, guard)
        self._offers: dict[tuple[int, Renames], Offer] = {}
        self._by_offers: dict[tuple[tuple[int, Renames], ...], Matcher | Split] = {}
        self._gone: set[str] = set()

    def matcher(self, sources: Sources) -> Matcher | Split | None:
        """The matcher of events with these log sources, or ``None`` where no rule is offered them."""
        offers = tuple(self._offered(sources))
        if not offers:
            return None
        found = self._by_offers.get(offers)
        if found is None:
            made = [self._offers.get(offer) or self._offer(offer) for offer in offers]
            found = self._by_offers[offers] = matcher_for(made, self._leaves, self._budget, self._guard)
            found.drop(self._gone)
        return found

    def matchers(self) -> Iterable[Matcher | Split]:
        return self._by_offers.values()

    def drop(self, keys: set[str]) -> None:
        """Offer these rules no more."""
        self._gone |= keys
        for matcher in self._by_offers.values():
            matcher.drop(keys)

    def _offer(self, offer: tuple[int, Renames]) -> Offer:
        place, renames = offer
        rule, counts = self._rules[place]
        found = self._offers[offer] = Offer(rule, dict(renames), counts, self._leaves)
        return found

    def _offered(self, sources: Sources) -> list[tuple[int, Renames]]:
        offers: list[tuple[int, Renames]] = []
        for product in {sources.product, ""}:
            for service in {*sources.services, ""}:
                for category, renames in (("", ()), *(each for each in sources.categories if each[0])):
                    places = self._by_source.get(LogSource(product, category, service), ())
                    offers.extend((place, renames) for place in places)
        return sorted(offers)
