"""The engine: rules loaded once, events in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from rules.engine.compiling import compile_rule
from rules.engine.correlation import Correlations
from rules.engine.correlation_plan import plans_of
from rules.engine.errors import Refusal, RuleError
from rules.engine.events import Event, Finding
from rules.engine.fields import View
from rules.engine.loading import Loaded, apply_filters, load
from rules.engine.routing import Offer, Renames, Route, Router, Sources, sources_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rules.engine.values import Test


class Engine:
    """Sigma rules over a stream of events. Not thread-safe; one engine a worker.

    ``state_limit``: how many events correlations may keep in all; the longest untouched groups are dropped first.
    ``group_limit``: how many one group may keep (more only where a condition's number asks for it), so that a flood
    costs a bounded time an event; the oldest go first. What both drop is counted in :attr:`evicted`.
    ``lateness_seconds``: how much older than its group's newest an event may be and still count (beyond the
    timespan); ``None``: any. ``report_all``: findings also of rules that only serve correlations (for tests of
    rules).
    """

    def __init__(
        self,
        rules: Iterable[Path | str],
        *,
        state_limit: int = 200_000,
        group_limit: int = 2_000,
        lateness_seconds: float | None = 86_400.0,
        report_all: bool = False,
    ) -> None:
        loading = load(rules)
        apply_filters(loading)
        #: Rules that were not loaded, each with its reason.
        self.unsupported: list[Refusal] = loading.refused
        routes: list[Route] = []
        names: dict[str, str] = {}
        for each in loading.rules:
            route = self._route(each)
            if route is not None:
                routes.append(route)
                names.update(_names(each))
        self._router = Router(routes)
        self._correlations = Correlations(
            plans_of(loading.correlations, self.unsupported),
            {route.key for route in routes},
            names,
            self.unsupported,
            state_limit=state_limit,
            group_limit=group_limit,
            lateness_seconds=lateness_seconds,
            report_all=report_all,
        )
        #: How many rules and correlations run.
        self.rules_loaded = len(routes) + len(self._correlations)
        #: The longest time an event can matter to a correlation, through correlations over correlations.
        self.longest_timespan_seconds: float = self._correlations.longest_timespan_seconds

    @property
    def evicted(self) -> int:
        """Events that correlations had to forget before their time because of a limit."""
        return self._correlations.evicted

    def route(self, event: Event) -> tuple[str, ...]:
        """The ids of the rules that are offered ``event`` (correlations are not: their rules are)."""
        offers = self._router.offers(sources_of(event.product, event.category, event.service))
        return tuple(dict.fromkeys(offer.key for offer in offers))

    def process(self, event: Event, sources: Sources | None = None) -> list[Finding]:
        """The findings that ``event`` completes: rules first, then correlations, each at most once a group.

        ``sources`` stand for the event's own product, category and service where it has several.
        """
        if sources is None:
            sources = sources_of(event.product, event.category, event.service)
        view = View(event.fields)
        matched: dict[str, Offer] = {}
        for offer in self._router.offers(sources):
            if offer.key not in matched and offer.test(view):
                matched[offer.key] = offer
        if not matched:
            return []
        findings = [Finding(key, event) for key in matched if self._correlations.reports(key)]
        if self._correlations.refers_to(matched):
            renames = {key: offer.renames for key, offer in matched.items()}
            findings.extend(self._correlations.take(event, view, renames))
        return findings

    def _route(self, loaded: Loaded) -> Route | None:
        rule = loaded.sigma
        assert isinstance(rule, SigmaRule)  # noqa: S101 - loading sorted them
        compiled: dict[Renames, Test] = {}

        def compiled_for(renames: Renames) -> Test:
            if renames not in compiled:
                compiled[renames] = compile_rule(rule, dict(renames))
            return compiled[renames]

        try:
            compiled_for(())
        except (RuleError, SigmaError, TypeError, ValueError, AttributeError, RecursionError) as problem:
            reason = " ".join(str(problem).split()) or type(problem).__name__
            self.unsupported.append(Refusal(loaded.key, reason, loaded.path))
            return None
        return Route(loaded.key, rule.logsource, compiled_for)


def _names(loaded: Loaded) -> dict[str, str]:
    return {loaded.sigma.name: loaded.key} if loaded.sigma.name else {}
