"""Which of many rules hold for an event: the fast way, and the sampled check that it is also the right one.

A :class:`Matcher` serves the rules that events of one kind (the same log sources) are offered. Of an event it looks up
the class of each field that a rule asks for (:mod:`rules.engine.index`); the classes together are the event's
*signature*, and what the rules say depends on it alone. So each signature is worked out once: its predicates name the
candidate rules, whose conditions are evaluated over the predicates.
"""

from __future__ import annotations

import logging
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from rules.engine.fields import View
from rules.engine.index import MEMBER_BYTES, Budget, FieldIndex
from rules.engine.keywords import NO_KEYWORDS, KeywordIndex
from rules.engine.terms import numbers_in, witness

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rules.engine.guard import Guard
    from rules.engine.leaves import Leaves
    from rules.engine.offers import Offer
    from rules.engine.terms import Term

log = logging.getLogger("vonggac.rules")

_GET: Final = cast("Callable[[dict[Any, int], Any], int | None]", dict.get)
#: Signatures kept; when there are more, all are worked out anew as they come.
SIGNATURES_LIMIT: Final = 50_000
#: Rules that ask for more fields than this look at which ones an event has first; so many combinations are kept.
_WIDE: Final = 24
_SHAPES_LIMIT: Final = 2_048
#: Characters of the names of a shape that is kept.
_LONGEST_SHAPE: Final = 8_192
_VERDICT_BYTES: Final = 400
#: Of so many new signatures one is checked against the plain evaluator, with so many of the rules, in turn.
_CHECK_EVERY: Final = 32
_CHECK_RULES: Final = 16
#: And each time a signature has come so often.
_CHECK_HITS: Final = 4_096


class Settled(NamedTuple):
    """What is left of rules' conditions where the leaves of one field are known. ``terms``: by the places of the rules;
    ``true``: the leaves of that field that hold."""

    terms: list[Term]
    true: frozenset[int]


class Verdict:
    """What the rules say of a signature. ``sure``: they hold. ``open``: they may, which only the event itself tells
    (rules that compare two fields). ``hits``: how often the signature came."""

    __slots__ = ("candidates", "hits", "open", "sure")

    def __init__(
        self, sure: tuple[Offer, ...], open_: tuple[Offer, ...], candidates: tuple[Offer, ...]
    ) -> None:
        self.sure = sure
        self.open = open_
        self.candidates = candidates
        self.hits = 0


class _Plan:
    """Which fields are looked up for events of one shape. ``known``: what holds whatever they are."""

    __slots__ = ("caches", "fields", "known", "names")

    def __init__(self, fields: Sequence[FieldIndex], known: frozenset[int]) -> None:
        self.fields = tuple(fields)
        self.names = tuple(index.name for index in fields)
        self.caches = tuple(index.cache for index in fields)
        self.known = known


class Matcher:
    """The rules of one kind of events. ``settled``: where something is known of the events. Not thread-safe."""

    def __init__(
        self,
        offers: Sequence[Offer],
        leaves: Leaves,
        budget: Budget,
        guard: Guard,
        settled: Settled | None = None,
    ) -> None:
        self.offers = tuple(offers)
        self._guard = guard
        self._budget = budget
        self._known = frozenset() if settled is None else settled.true
        #: The rules that only the plain evaluator is trusted with.
        self._untold: set[int] = set()
        self._triggers: dict[int, list[int]] = {}
        self._always: list[int] = []
        numbers: dict[int, None] = {}
        for place, offer in enumerate(self.offers):
            found: Sequence[int] | None = offer.witness
            if settled is None:
                numbers.update(dict.fromkeys(offer.numbers))
            else:
                term = settled.terms[place]
                numbers.update(dict.fromkeys(numbers_in(term)))
                if found is not None and not settled.true.isdisjoint(found):
                    found = witness(
                        term, leaves.commonness
                    )  # of what is left: the other tells nothing any more
            if found is None:
                self._always.append(place)
            for number in found or ():
                self._triggers.setdefault(number, []).append(place)
        indexes = [leaves.index(name, of_field) for name, of_field in leaves.by_field(numbers).items()]
        self._fields = [index for index in indexes if index.direct]
        self._indirect = [index for index in indexes if not index.direct]
        keywords = leaves.keywords(numbers)
        self._keywords = (
            KeywordIndex(map(leaves.values, keywords), leaves.wanted(None, keywords), budget)
            if keywords
            else None
        )
        #: Tells for most events at once that they hold none of the keywords; ``None`` where nothing can.
        self.sieve = self._keywords.sieve if self._keywords is not None else None
        self._whole = _Plan(self._fields, self._known)
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._by_shape: dict[tuple[str, ...], _Plan] = {}
        self._wide = len(self._fields) > _WIDE
        self._verdicts: dict[tuple[Any, ...], Verdict] = {}
        self._gone: set[str] = set()
        self._next_check = 0
        self._worked_out = 0
        self._events_before = 0
        self._candidates_before: dict[str, int] = {}
        budget.register_owner(self)

    def match(
        self, fields: dict[str, Any], raw: bytes = b"", *, no_keywords: bool = False
    ) -> tuple[Offer, ...]:
        """The offers whose rules hold for the event with these ``fields``, in the order of the rules.

        ``raw``: the JSON text that the fields came from, where it is at hand: keywords are looked for in it first.
        ``no_keywords``: that :attr:`sieve` holds back the event is known.
        """
        plan = self._plan(tuple(fields)) if self._wide else self._whole
        try:
            signature: tuple[Any, ...] = (plan, *map(_GET, plan.caches, map(fields.get, plan.names)))
        except TypeError:  # a list or an object, which no dictionary takes as a key
            signature = (plan, *[index.read(fields) for index in plan.fields])
        else:
            if not all(signature):
                known = zip(signature[1:], plan.fields, strict=True)
                signature = (plan, *[number or index.read(fields) for number, index in known])
        if self._indirect:
            signature += tuple([index.read(fields) for index in self._indirect])
        if self._keywords is not None:
            signature += (NO_KEYWORDS if no_keywords else self._keywords.read(fields, raw),)
        verdict = self._verdicts.get(signature)
        if verdict is None:
            verdict = self._work_out(signature, fields)
        verdict.hits = hits = verdict.hits + 1
        if hits % _CHECK_HITS == 0:
            self._check(verdict, fields)
        return self._opened(verdict, fields) if verdict.open else verdict.sure

    def drop(self, keys: set[str]) -> None:
        """Offer these rules no more."""
        if any(offer.key in keys for offer in self.offers):
            self._gone |= keys
            self._forget_verdicts()

    def renew(self) -> None:
        """Forget all classes, and all that hangs on them."""
        self._forget_verdicts()
        for index in (*self._fields, *self._indirect, *([self._keywords] if self._keywords else ())):
            index.renew()

    def keys(self) -> set[str]:
        """The rules that are offered events here."""
        return {offer.key for offer in self.offers} - self._gone

    def offered(self) -> int:
        """How many events came."""
        return self._events_before + sum(verdict.hits for verdict in self._verdicts.values())

    def candidates(self) -> dict[str, int]:
        """How often each rule was a candidate."""
        found = {key: count for key, count in self._candidates_before.items() if key not in self._gone}
        for verdict in self._verdicts.values():
            for offer in verdict.candidates:  # of rules that are still offered: verdicts go with a rule
                found[offer.key] = found.get(offer.key, 0) + verdict.hits
        return found

    def _opened(self, verdict: Verdict, fields: dict[str, Any]) -> tuple[Offer, ...]:
        view = View(fields)
        started = perf_counter_ns()
        found = [offer for offer in verdict.open if offer.plain(view)]
        share = (perf_counter_ns() - started) // len(verdict.open)
        for offer in verdict.open:
            offer.counts.nanoseconds += share
        if not found:
            return verdict.sure
        chosen = {*verdict.sure, *found}
        return tuple(offer for offer in self.offers if offer in chosen)

    def _work_out(self, signature: tuple[Any, ...], fields: dict[str, Any]) -> Verdict:
        true = self._true(signature)
        triggers = self._triggers
        places = set(self._always)
        for number in triggers.keys() & true:
            places.update(triggers[number])
        sure, open_, candidates = [], [], []
        offers, gone, untold = self.offers, self._gone, self._untold
        started = perf_counter_ns()
        for place in sorted(places):
            offer = offers[place]
            if gone and offer.key in gone:
                continue
            candidates.append(offer)
            found = offer.tells(true) if offer.compares else offer.holds(true)
            if found is None or place in untold:
                open_.append(offer)
            elif found:
                sure.append(offer)
            now = perf_counter_ns()
            offer.counts.nanoseconds += now - started
            started = now
        verdict = Verdict(tuple(sure), tuple(open_), tuple(candidates))
        if len(self._verdicts) >= SIGNATURES_LIMIT:
            self._forget_verdicts()
        self._verdicts[signature] = verdict
        members = len(signature) + len(sure) + len(open_) + len(candidates)
        self._budget.derived_bytes += _VERDICT_BYTES + MEMBER_BYTES * members
        if self._budget.renew_if_full():  # the signature was the last use of the numbers in it
            self._events_before += 1  # its hit, which nobody will find
        self._worked_out += 1
        if self._worked_out % _CHECK_EVERY == 0:
            self._check(verdict, fields)
        return verdict

    def _plan(self, shape: tuple[str, ...]) -> _Plan:
        """The plan for events with these fields: many rules' many fields are not looked up where they cannot be."""
        found = self._by_shape.get(shape)
        if found is None:
            names = set(shape)
            here = [index for index in self._fields if index.name in names]
            key = tuple(index.name for index in here)
            if len(self._plans) >= _SHAPES_LIMIT:
                self._by_shape.clear()
                self._plans.clear()
                self._forget_verdicts()
            found = self._plans.get(key)
            if found is None:
                away = [index.absent for index in self._fields if index.name not in names]
                found = self._plans[key] = _Plan(here, self._known.union(*away))
            if sum(map(len, shape)) <= _LONGEST_SHAPE:  # names come from outside
                if len(self._by_shape) >= _SHAPES_LIMIT:
                    self._by_shape.clear()
                self._by_shape[shape] = found
        return found

    def _true(self, signature: tuple[Any, ...]) -> frozenset[int]:
        plan: _Plan = signature[0]
        indexes = [*plan.fields, *self._indirect] if self._indirect else plan.fields
        sets = [index.sets[number] for index, number in zip(indexes, signature[1:], strict=False)]
        if self._keywords is not None:
            sets.extend([self._keywords.sets[number] for number in signature[-1]])
        return plan.known.union(*sets)

    def _check(self, verdict: Verdict, fields: dict[str, Any]) -> None:
        """Ask the plain evaluator too, about some of the rules, and go by what it says."""
        if not self.offers:
            return
        view = View(fields)
        first, self._next_check = self._next_check, (self._next_check + _CHECK_RULES) % len(self.offers)
        some = [offer for offer in self.offers[first : first + _CHECK_RULES] if offer.key not in self._gone]
        differ: list[Offer] = []
        for offer in some:
            if offer in verdict.open:
                continue
            self._guard.shadow_checks += 1
            if offer.plain(view) is not (offer in verdict.sure):
                differ.append(offer)
        if differ:
            self._mistrust(differ)
            verdict.sure = tuple(each for each in verdict.sure if each not in differ)
            verdict.open = (*verdict.open, *differ)

    def _mistrust(self, offers: Sequence[Offer]) -> None:
        """Go by the plain evaluator for these from now on."""
        self._guard.shadow_misses += len(offers)
        for offer in offers:
            log.error(
                "the fast matcher and the plain evaluator differ on a rule; the plain one is followed from now on",
                extra={"rule": offer.key},
            )
            place = self.offers.index(offer)
            self._untold.add(place)
            self._always.append(place)
        self._forget_verdicts()  # which the fast matcher gave

    def _forget_verdicts(self) -> None:
        self._events_before = self.offered()
        self._candidates_before = self.candidates()
        self._verdicts.clear()
