"""Which rules an event is offered: a rule is offered it if each of product, category and service that the rule's
log source names is among the event's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sigma.rule import SigmaLogSource

    from rules.engine.values import Test

#: Field renames, hashable: (rule's name, event's name) pairs.
Renames = tuple[tuple[str, str], ...]
_CACHE_LIMIT: Final = 4096


class Sources(NamedTuple):
    """An event's log sources. ``categories`` pair a category with the field renames of the way it came by."""

    product: str
    services: frozenset[str]
    categories: frozenset[tuple[str, Renames]]


class Offer(NamedTuple):
    """A rule as offered: its key, its test for these sources, and the renames in force (for group-by fields)."""

    key: str
    test: Test
    renames: dict[str, str]


class Route(NamedTuple):
    """A rule and how to compile it for renames."""

    key: str
    logsource: SigmaLogSource
    compile: Callable[[Renames], Test]


def sources_of(product: str, category: str, service: str) -> Sources:
    """The log sources of an event that names each at most once."""
    return Sources(
        product,
        frozenset([service] if service else []),
        frozenset([(category, ())] if category else []),
    )


class Router:
    """Offers by log source, worked out once for each combination of sources that occurs."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_product: dict[str, list[Route]] = {}
        self._order: dict[str, int] = {}
        for at, route in enumerate(routes):
            self._by_product.setdefault(route.logsource.product or "", []).append(route)
            self._order[route.key] = at
        self._offers: dict[Sources, tuple[Offer, ...]] = {}

    def offers(self, sources: Sources) -> tuple[Offer, ...]:
        found = self._offers.get(sources)
        if found is None:
            if len(self._offers) >= _CACHE_LIMIT:  # log sources come from outside: never let them fill memory
                self._offers.clear()
            found = self._offers[sources] = tuple(self._work_out(sources))
        return found

    def _work_out(self, sources: Sources) -> list[Offer]:
        offers: list[Offer] = []
        for product in {sources.product, ""}:
            for route in self._by_product.get(product, ()):
                wanted = route.logsource
                if wanted.service and wanted.service not in sources.services:
                    continue
                if wanted.category:
                    ways = sorted(
                        renames for category, renames in sources.categories if category == wanted.category
                    )
                else:
                    ways = [()]
                offers.extend(Offer(route.key, route.compile(renames), dict(renames)) for renames in ways)
        return sorted(offers, key=lambda offer: self._order[offer.key])
