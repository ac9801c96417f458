"""Which of many rules hold for an event: the fast way, and the sampled check that it is also the right one.

A :class:`Matcher` serves the rules that events of one kind (the same log sources) are offered. Of an event it looks up
the class of each field that a rule asks for (:mod:`rules.engine.index`); the classes together are the event's
*signature*, and what the rules say depends on it alone. So each signature is worked out once: its predicates name the
candidate rules, whose conditions are evaluated over the predicates.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, Final, cast

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
    renamed,
)
from rules.engine.fields import View
from rules.engine.index import Budget, FieldIndex, KeywordIndex
from rules.engine.patterns import Guard
from rules.engine.plain import Test, plain_test
from rules.engine.ruleset import Compiled

log = logging.getLogger("vonggac.rules")

_GET: Final = cast("Callable[[dict[Any, int], Any], int | None]", dict.get)
Holds = Callable[[frozenset[int]], bool]
#: Signatures kept; when there are more, all are worked out anew as they come.
SIGNATURES_LIMIT: Final = 50_000
#: Of so many new signatures one is checked against the plain evaluator, with so many of the rules, in turn.
_CHECK_EVERY: Final = 32
_CHECK_RULES: Final = 16
#: And each time a signature has come so often.
_CHECK_HITS: Final = 4_096


class Counts:
    """What a rule has cost and given since it was loaded, however many kinds of events it is offered."""

    __slots__ = ("last_match", "matches", "nanoseconds")

    def __init__(self) -> None:
        self.matches = 0
        self.nanoseconds = 0
        self.last_match = math.nan


class Offer:
    """A rule as it stands to events of one kind. ``renames``: the event's field name for the rule's."""

    __slots__ = ("_plain", "condition", "counts", "key", "renames")

    def __init__(self, rule: Compiled, renames: Mapping[str, str], counts: Counts) -> None:
        self.key = rule.key
        self.renames = dict(renames)
        self.condition = renamed(rule.condition, self.renames)
        self.counts = counts
        self._plain: Test | None = None

    @property
    def plain(self) -> Test:
        """The rule's condition without index and cache."""
        if self._plain is None:
            self._plain = plain_test(self.condition)
        return self._plain


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


class Matcher:
    """The rules of one kind of events. Not thread-safe."""

    def __init__(self, offers: Sequence[Offer], budget: Budget, guard: Guard) -> None:
        self.offers = tuple(offers)
        self._guard = guard
        self._budget = budget
        predicates = _Predicates()
        self._conditions: list[Holds | None] = []
        self._triggers: dict[int, list[int]] = {}
        self._always: list[int] = []
        for place, offer in enumerate(self.offers):
            self._conditions.append(predicates.condition(offer.condition))
            witness = _witness(offer.condition)
            if witness is None:
                self._always.append(place)
            for leaf in witness or ():
                self._triggers.setdefault(predicates.number(leaf), []).append(place)
        indexes = [FieldIndex(name, found, budget, guard) for name, found in predicates.by_field().items()]
        self._fields = [index for index in indexes if index.direct]
        self._indirect = [index for index in indexes if not index.direct]
        self._names = [index.name for index in self._fields]
        self._caches = [index.cache for index in self._fields]
        keywords = predicates.keywords()
        self._keywords = KeywordIndex(keywords, budget, guard) if keywords else None
        self._verdicts: dict[tuple[Any, ...], Verdict] = {}
        self._gone: set[str] = set()
        self._next_check = 0
        self._worked_out = 0
        self._events_before = 0
        self._candidates_before: dict[str, int] = {}

    def match(self, fields: dict[str, Any]) -> tuple[Offer, ...]:
        """The offers whose rules hold for the event with these ``fields``, in the order of the rules."""
        try:
            signature = tuple(map(_GET, self._caches, map(fields.get, self._names)))
        except TypeError:  # a list or an object, which no dictionary takes as a key
            signature = tuple([index.read(fields) for index in self._fields])
        else:
            if not all(signature):
                signature = tuple(
                    [
                        number or index.read(fields)
                        for number, index in zip(signature, self._fields, strict=True)
                    ]
                )
        if self._indirect:
            signature += tuple([index.read(fields) for index in self._indirect])
        if self._keywords is not None:
            signature += (self._keywords.read(fields),)
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

    def forget_values(self) -> None:
        """Empty the caches of values, to keep memory bounded."""
        for index in (*self._fields, *self._indirect):
            index.clear()
        if self._keywords is not None:
            self._keywords.clear()

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
        for predicate in true:
            places.update(triggers.get(predicate, ()))
        sure, open_, candidates = [], [], []
        for place in sorted(places):
            offer = self.offers[place]
            if offer.key in self._gone:
                continue
            candidates.append(offer)
            holds = self._conditions[place]
            if holds is None:
                open_.append(offer)
                continue
            started = perf_counter_ns()
            if holds(true):
                sure.append(offer)
            offer.counts.nanoseconds += perf_counter_ns() - started
        verdict = Verdict(tuple(sure), tuple(open_), tuple(candidates))
        if len(self._verdicts) >= SIGNATURES_LIMIT:
            self._forget_verdicts()
        self._verdicts[signature] = verdict
        self._worked_out += 1
        if self._worked_out % _CHECK_EVERY == 0:
            self._check(verdict, fields)
        return verdict

    def _true(self, signature: tuple[Any, ...]) -> frozenset[int]:
        indexes = [*self._fields, *self._indirect]
        sets = [index.sets[number] for index, number in zip(indexes, signature, strict=False)]
        if self._keywords is not None:
            sets.extend(self._keywords.sets[number] for number in signature[-1])
        return frozenset().union(*sets)

    def _check(self, verdict: Verdict, fields: dict[str, Any]) -> None:
        """Ask the plain evaluator too, about some of the rules, and go by what it says."""
        if not self.offers:
            return
        view = View(fields)
        first, self._next_check = self._next_check, (self._next_check + _CHECK_RULES) % len(self.offers)
        some = [offer for offer in self.offers[first : first + _CHECK_RULES] if offer.key not in self._gone]
        for offer in some:
            if offer in verdict.open:
                continue
            self._guard.shadow_checks += 1
            if offer.plain(view) is not (offer in verdict.sure):
                self._guard.shadow_misses += 1
                log.error(
                    "the fast matcher and the plain evaluator differ on a rule; the plain one is followed from now on",
                    extra={"rule": offer.key},
                )
                verdict.sure = tuple(each for each in verdict.sure if each is not offer)
                verdict.open = (*verdict.open, offer)
                self._conditions[self.offers.index(offer)] = None
                self._always.append(self.offers.index(offer))

    def _forget_verdicts(self) -> None:
        self._events_before = self.offered()
        self._candidates_before = self.candidates()
        self._verdicts.clear()


class _Predicates:
    """Numbers for the leaves of conditions; equal leaves of different rules are one predicate."""

    def __init__(self) -> None:
        self._numbers: dict[Node, int] = {}

    def number(self, leaf: Node) -> int:
        return self._numbers.setdefault(leaf, len(self._numbers))

    def by_field(self) -> dict[str, list[tuple[int, tuple[Value, ...]]]]:
        found: dict[str, list[tuple[int, tuple[Value, ...]]]] = {}
        for leaf, number in self._numbers.items():
            if isinstance(leaf, Field):
                found.setdefault(leaf.name, []).append((number, leaf.values))
        return found

    def keywords(self) -> list[tuple[int, tuple[Value, ...]]]:
        return [(number, leaf.values) for leaf, number in self._numbers.items() if isinstance(leaf, Keywords)]

    def condition(self, node: Node) -> Holds | None:
        """The condition over the predicates that hold, or ``None`` where it compares two fields of the event."""
        if _refers(node):
            # Its other leaves may still be asked for, as what makes the rule a candidate.
            return None
        return self._holds(node)

    def _holds(self, node: Node) -> Holds:
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
                holds = self._holds(inner)
                return lambda true: not holds(true)
        number = self.number(node)
        return lambda true: number in true

    def _split(self, nodes: Sequence[Node]) -> tuple[frozenset[int], list[Holds]]:
        leaves = [self.number(node) for node in nodes if isinstance(node, (Field, Keywords))]
        others = [self._holds(node) for node in nodes if not isinstance(node, (Field, Keywords))]
        return frozenset(leaves), others


def _refers(node: Node) -> bool:
    match node:
        case And(nodes) | Or(nodes):
            return any(_refers(each) for each in nodes)
        case Not(inner):
            return _refers(inner)
        case Field(_, values):
            return any(isinstance(value, Reference) for value in values)
    return False


def _witness(node: Node) -> tuple[Node, ...] | None:
    """Leaves of which at least one holds wherever the condition does; ``None`` where there are no such leaves."""
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
        case Field() if _refers(node):
            return None
    return (node,)


def _commonness(leaf: Node) -> float:
    """A guess at how often a leaf holds: long text is rare, an absent field is not."""
    assert isinstance(leaf, (Field, Keywords))  # noqa: S101 - by _witness
    return max(map(_value_commonness, leaf.values))


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
    return 1.0
