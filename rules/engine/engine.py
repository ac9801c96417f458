"""The engine: rules in, changed while it runs; events in, findings out."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from rules.engine.correlation import Correlations
from rules.engine.errors import Refusal, RuleError
from rules.engine.events import Event, Finding
from rules.engine.fields import View
from rules.engine.guard import Guard
from rules.engine.index import Budget
from rules.engine.loading import Loader
from rules.engine.offers import Counts, Offer
from rules.engine.routing import Router, Sources, sources_of
from rules.engine.splitting import Split
from rules.engine.statistics import RuleStatistics, Tally, Throttle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from sigma.processing.pipeline import ProcessingPipeline

    from rules.engine.keywords import Sieve
    from rules.engine.matcher import Matcher
    from rules.engine.ruleset import Compiled

#: Rules that were added since the engine was made are matched apart; when they are more, all are laid out anew.
_ADDED_LIMIT: Final = 128
_KINDS_LIMIT: Final = 4096


class Change(NamedTuple):
    """What a change did: ids of rules, correlations and filters."""

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]


class Match(Protocol):
    """:meth:`rules.engine.matcher.Matcher.match`."""

    def __call__(
        self, fields: dict[str, Any], raw: bytes = b"", *, no_keywords: bool = False
    ) -> tuple[Offer, ...]: ...


class _Kind(NamedTuple):
    """Events of the same log sources. ``sieve``: none where several matchers would each want their own."""

    match: Match
    sieve: Sieve | None
    matchers: tuple[Matcher | Split, ...]


class Matched(NamedTuple):
    """An :class:`~rules.engine.offers.Offer` that holds for an event, as it travels between processes."""

    key: str
    renames: Mapping[str, str]


class Engine:
    """Sigma rules over a stream of events. Not thread-safe; one engine a worker.

    ``state_limit``: how many events correlations may keep in all; the longest untouched groups are dropped first.
    ``group_limit``: how many one group may keep (more only where a condition's number asks for it), so that a flood
    costs a bounded time an event; the oldest go first. What both drop is counted in :attr:`evicted`.
    ``lateness_seconds``: how much older than its group's newest an event may be and still count (beyond the
    timespan); ``None``: any. ``report_all``: findings also of rules that only serve correlations (for tests of
    rules). ``pipelines``: pySigma processing pipelines, applied to each rule. ``cache``: a folder for compiled rules.
    ``values_bytes``: what the caches of values may hold.
    """

    def __init__(
        self,
        rules: Iterable[Path | str],
        *,
        state_limit: int = 200_000,
        group_limit: int = 2_000,
        lateness_seconds: float | None = 86_400.0,
        report_all: bool = False,
        pipelines: Sequence[ProcessingPipeline] = (),
        cache: Path | None = None,
        values_bytes: int = 96 << 20,
    ) -> None:
        self._loader = Loader(pipelines, cache)
        self._rules = self._loader.load(rules)
        self._loader.save()
        self.guard = Guard()
        self._budget = Budget(values_bytes)
        self._counts: dict[str, Counts] = {}
        self._tally = Tally()
        self._throttle = Throttle()
        self._effective = self._rules.effective()
        self._lay_out()
        refused: list[Refusal] = []
        self._correlations = Correlations(
            self._rules.correlations.values(),
            self._effective.keys(),
            self._rules.names(),
            refused,
            state_limit=state_limit,
            group_limit=group_limit,
            lateness_seconds=lateness_seconds,
            report_all=report_all,
        )
        self._refused_correlations = refused
        #: When each correlation was completed last, by event time.
        self._completed: dict[str, float] = {}

    @property
    def unsupported(self) -> list[Refusal]:
        """Rules that were not loaded, each with its reason."""
        return [*self._rules.refused, *self._refused_correlations, *self._rules.idle_filters()]

    @property
    def rules_loaded(self) -> int:
        """How many rules and correlations run."""
        return len(self._effective) + len(self._correlations)

    @property
    def longest_timespan_seconds(self) -> float:
        """The longest time an event can matter to a correlation, through correlations over correlations."""
        return self._correlations.longest_timespan_seconds

    @property
    def evicted(self) -> int:
        """Events that correlations had to forget before their time because of a limit."""
        return self._correlations.evicted

    # -- events ------------------------------------------------------------------------------------------------

    def route(self, event: Event) -> tuple[str, ...]:
        """The ids of the rules that are offered ``event`` (correlations are not: their rules are)."""
        sources = sources_of(event.product, event.category, event.service)
        kind = self._kinds.get(sources) or self._kind(sources)
        offers = (offer for matcher in kind.matchers for offer in matcher.offers)
        return tuple(dict.fromkeys(offer.key for offer in offers if offer.key in self._effective))

    def process(self, event: Event, sources: Sources | None = None) -> list[Finding]:
        """The findings that ``event`` completes: rules first, then correlations, each at most once a group.

        ``sources`` stand for the event's own product, category and service where it has several.
        """
        if sources is None:
            sources = sources_of(event.product, event.category, event.service)
        fields = event.fields
        matched = self.match(fields if isinstance(fields, dict) else dict(fields), sources)
        return self.correlate(event, matched) if matched else []

    def match(self, fields: dict[str, Any], sources: Sources, raw: bytes = b"") -> tuple[Offer, ...]:
        """The rules that hold for an event with these ``fields``, without correlations and without being counted as
        matches: half of :meth:`process`, which any worker may do for itself."""
        return (self._kinds.get(sources) or self._kind(sources)).match(fields, raw)

    def match_of(
        self, sources: Sources, fields: dict[str, Any], known: Collection[str]
    ) -> tuple[Match, Sieve | None]:
        """:meth:`match` for events of these log sources, and what their keywords may be sieved with; both until the
        rules change. ``known``: names of fields that all these events have the same values of as ``fields``."""
        found = self._kinds.get(sources) or self._kind(sources)
        if len(found.matchers) == 1 and isinstance(only := found.matchers[0], Split) and only.name in known:
            matcher = only.matcher(fields)
            return matcher.match, matcher.sieve
        return found.match, found.sieve

    def correlates(self, keys: Iterable[str]) -> bool:
        """Whether a correlation wants to see the matches of one of these rules."""
        return self._correlations.refers_to(list(keys))

    def shared(self, matched: Iterable[Matched | Offer]) -> list[Matched | Offer]:
        """Those of an event's matches that :meth:`complete` needs: a correlation wants to see them, or the rule may
        speak only so often (:meth:`throttle`)."""
        referenced, throttled = self._correlations.referenced, self._throttle.limits
        return [each for each in matched if each.key in referenced or each.key in throttled]

    def speaking(self, matched: Iterable[Matched | Offer]) -> tuple[str, ...]:
        """The rules that :meth:`report` gives findings of. Counts nothing."""
        limits, reports = self._throttle.limits, self._correlations.reports
        keys = dict.fromkeys(each.key for each in matched)
        return tuple(key for key in keys if key in self._effective and key not in limits and reports(key))

    def report(self, event: Event, matched: Iterable[Matched | Offer]) -> list[Finding]:
        """Count an event's matches, and give the findings of rules that speak for themselves and without a limit: the
        part of :meth:`correlate` that any worker may do for itself."""
        keys = self._count(event, matched)
        throttled = self._throttle.limits
        return [
            Finding(key, event) for key in keys if key not in throttled and self._correlations.reports(key)
        ]

    def complete(self, event: Event, matched: Iterable[Matched | Offer]) -> list[Finding]:
        """The other part, which one worker has to do for all events, in their order: the findings of correlations and
        of rules with a limit. Counts no matches; needs no more than :meth:`shared` gave."""
        once = {offer.key: offer for offer in reversed(tuple(matched))}
        keys = [key for key in reversed(once) if key in self._effective]
        throttled = self._throttle.limits
        findings = [
            Finding(key, event) for key in keys if key in throttled and self._correlations.reports(key)
        ]
        if self._correlations.refers_to(once.keys()):
            renames = {key: once[key].renames for key in keys}
            completed = self._correlations.take(event, View(event.fields), renames)
            self._completed.update((each.rule_id, event.time) for each in completed)
            findings.extend(completed)
        if throttled:
            findings = [each for each in findings if self._throttle.lets(each.rule_id, event.time)]
        return findings

    def correlate(self, event: Event, matched: Iterable[Matched | Offer]) -> list[Finding]:
        """The findings of an event whose rules were matched: :meth:`report` and :meth:`complete`."""
        known = tuple(matched)
        return [*self.report(event, known), *self.complete(event, known)]

    # -- rules -------------------------------------------------------------------------------------------------

    def change(self, put: Iterable[Path | str] = (), drop: Iterable[str] = ()) -> Change:
        """Add or replace the rules of ``put`` (files, folders or YAML text) and remove those named in ``drop``.

        All or nothing, between two events: raise :class:`RuleError` with file, line and reason where something in
        ``put`` cannot be run, and nothing has changed. Correlations that are not changed keep what they have seen.
        """
        new = self._loader.load(put)
        if new.refused:
            first = new.refused[0]
            raise RuleError(f"{first.id}: {first.reason}", first.path, first.line)
        put_keys = [*new.rules, *new.correlations, *new.filters]
        drop_keys = [key for key in dict.fromkeys(drop) if key not in put_keys and self._rules.get(key)]
        replaced = tuple(key for key in put_keys if self._rules.get(key))
        rules = self._rules.copy()
        rules.replace(new, drop_keys)
        effective = rules.effective()
        refused: list[Refusal] = []
        correlations = self._correlations.changed(
            rules.correlations.values(), effective.keys(), rules.names(), refused
        )
        for refusal in refused:
            if refusal.id in put_keys:
                raise RuleError(f"{refusal.id}: {refusal.reason}", refusal.path, refusal.line)
        self._correlations = correlations
        self._refused_correlations = refused
        self._rules = rules
        self._take_over(effective)
        added = tuple(key for key in put_keys if key not in replaced)
        return Change(added, replaced, tuple(drop_keys))

    def throttle(self, limits: Mapping[str, int]) -> None:
        """Rule id → findings an hour at most (these limits and no others); the rest are counted, and correlations
        still see the matches."""
        self._throttle.set(limits)

    def statistics(self) -> dict[str, RuleStatistics]:
        """By rule id, of all that run. A correlation is offered the matches of its rules; its time is not told."""
        found = self._tally.read(
            (matcher for router in self._routers for matcher in router.matchers()),
            {key: counts for key, counts in self._counts.items() if key in self._effective},
            self._throttle.held_back,
        )
        for key, each in self._correlations.statistics().items():
            held_back = self._throttle.held_back[key]
            last = self._completed.get(key)
            found[key] = RuleStatistics(
                each.occurrences, each.occurrences, each.findings, held_back, 0.0, last
            )
        return found

    # -- state -------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The correlations' state, for :meth:`restore` of an engine with the same or other rules."""
        return self._correlations.snapshot()

    def restore(self, data: bytes) -> bool:
        """Take over a snapshot: correlations that are as they were go on where it was made, others begin anew.
        False where it cannot be read, and then all begin anew."""
        return self._correlations.restore(data)

    # -- inside ------------------------------------------------------------------------------------------------

    def _count(self, event: Event, matched: Iterable[Matched | Offer]) -> list[str]:
        """Count the matches; the keys of those rules that are still there."""
        keys = list(dict.fromkeys(offer.key for offer in matched))
        for key in keys:
            counts = self._counts.get(key)
            if counts is not None:  # else the rule went while the event was on its way
                counts.matches += 1
                if isfinite(event.time) and not event.time <= counts.last_match:
                    counts.last_match = event.time
        return [key for key in keys if key in self._effective]

    def _kind(self, sources: Sources) -> _Kind:
        made = (router.matcher(sources) for router in self._routers)
        matchers = tuple(matcher for matcher in made if matcher is not None)

        def match_all(
            fields: dict[str, Any], raw: bytes = b"", *, no_keywords: bool = False
        ) -> tuple[Offer, ...]:
            found = (matcher.match(fields, raw, no_keywords=no_keywords) for matcher in matchers)
            return tuple(offer for offers in found for offer in offers)

        if len(self._kinds) >= _KINDS_LIMIT:  # log sources come from outside: never let them fill memory
            self._kinds.clear()
        if len(matchers) == 1:
            found = _Kind(matchers[0].match, matchers[0].sieve, matchers)
        else:
            found = _Kind(match_all, None, matchers)
        self._kinds[sources] = found
        return found

    def _lay_out(self) -> None:
        """One router for all rules, another for those added since, which are few."""
        self._base = self._router(self._effective)
        self._added: dict[str, Compiled] = {}
        self._routers = [self._base]
        self._kinds: dict[Sources, _Kind] = {}

    def _router(self, rules: Mapping[str, Compiled]) -> Router:
        pairs = ((rule, self._counts.setdefault(key, Counts())) for key, rule in rules.items())
        return Router(pairs, self._budget, self.guard)

    def _take_over(self, effective: dict[str, Compiled]) -> None:
        old, self._effective = self._effective, effective
        gone = {key for key in old if effective.get(key) is not old[key] and effective.get(key) != old[key]}
        new = {key: rule for key, rule in effective.items() if key in gone or key not in old}
        self._tally.keep(matcher for router in self._routers[1:] for matcher in router.matchers())
        self._base.drop(gone)
        self._kinds.clear()
        self._tally.forget(gone)
        for key in gone:
            del self._counts[key]
        self._added = {key: rule for key, rule in self._added.items() if key not in gone} | new
        if len(self._added) > _ADDED_LIMIT:
            self._tally.keep(self._base.matchers())
            self._lay_out()
        elif self._added:
            self._routers = [self._base, self._router(self._added)]
        else:
            self._routers = [self._base]
