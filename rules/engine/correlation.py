"""Sigma correlations over the stream: their state, their windows, their findings.

Windows slide over event time and hold both ends. Events come in any order of time; a correlation is completed by
the event whose arrival makes its condition true for events that all lie within the timespan, and every further
event while it stays true is a finding too. An event without a group-by field, or without the condition's value,
takes no part. With several values in a group-by field the event is in each of those groups.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right, insort
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rules.engine.correlation_plan import NUMERIC, CorrelationPlan
from rules.engine.errors import Refusal, RuleError
from rules.engine.events import Event, Finding
from rules.engine.measures import Entry, Measure, measure_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from rules.engine.fields import View

#: A finding carries at most this many events.
EVIDENCE_LIMIT: Final = 20
#: An event is in at most so many groups of one correlation.
COMBINATIONS_LIMIT: Final = 64

GroupKey = tuple[str, ...]


class Occurrence(NamedTuple):
    """A rule matched, or a correlation was completed by, this event. ``group``: the inner correlation's group."""

    event: Event
    view: View
    renames: Mapping[str, str]
    group: Mapping[str, str]

    def texts(self, name: str) -> tuple[str, ...]:
        if name in self.group:
            return (self.group[name],)
        return self.view[self.renames.get(name, name)].texts

    def numbers(self, name: str) -> tuple[float, ...]:
        return self.view[self.renames.get(name, name)].numbers


@dataclass(slots=True)
class _Correlation:
    key: str
    references: list[str]
    positions: dict[str, list[int]]
    group_by: list[str]
    aliases: dict[str, dict[str, str]]
    value_fields: list[str]
    numeric: bool
    seconds: float
    measure: Measure
    generate: bool
    #: So many events a group has to keep for the condition's number to be reached at all.
    needs: int = 0
    depth_seconds: float = 0.0

    def field(self, name: str, reference: str) -> str:
        return self.aliases.get(name, {}).get(reference, name)


@dataclass(slots=True)
class _Group:
    """``positions`` counts, for correlations that need several rules, the entries that matched each."""

    entries: list[Entry] = field(default_factory=list)
    positions: Counter[int] = field(default_factory=Counter)


class Correlations:
    """All correlations of an engine and their bounded state."""

    def __init__(
        self,
        plans: Iterable[CorrelationPlan],
        rules: Collection[str],
        names: Mapping[str, str],
        refused: list[Refusal],
        *,
        state_limit: int,
        group_limit: int,
        lateness_seconds: float | None,
        report_all: bool = False,
    ) -> None:
        self._limit = state_limit
        self._group_limit = group_limit
        self._lateness = lateness_seconds
        self._groups: OrderedDict[tuple[str, GroupKey], _Group] = OrderedDict()
        self._entries = 0
        self.evicted = 0
        self._ordered: list[_Correlation] = _build(list(plans), set(rules), dict(names), refused)
        self._referenced: set[str] = {each for one in self._ordered for each in one.references}
        generated = {each for one in self._ordered if one.generate for each in one.references}
        self._silent = set() if report_all else self._referenced - generated
        self.longest_timespan_seconds = max((one.depth_seconds for one in self._ordered), default=0.0)

    def __len__(self) -> int:
        return len(self._ordered)

    def reports(self, key: str) -> bool:
        """Whether a match of this rule is a finding by itself: not where only a correlation asked for it."""
        return key not in self._silent

    def refers_to(self, keys: Collection[str]) -> bool:
        return not self._referenced.isdisjoint(keys)

    def take(self, event: Event, view: View, matched: Mapping[str, Mapping[str, str]]) -> list[Finding]:
        """Enter one event's matches: the keys of the rules that it fired, each with the field renames in force.

        Correlations over correlations see what inner ones completed with it.
        """
        occurrences = {key: [Occurrence(event, view, renames, {})] for key, renames in matched.items()}
        findings: list[Finding] = []
        if event.time != event.time:
            return findings
        for one in self._ordered:  # inner ones first
            if not any(reference in occurrences for reference in one.positions):
                continue
            for values, entry in self._entering(one, event, occurrences):
                completed = self._enter(one, values, entry)
                if completed is None:
                    continue
                group = dict(zip(one.group_by, values, strict=True))
                source = next(iter(occurrences.values()))[0]
                inner = Occurrence(event, source.view, source.renames, group)
                occurrences.setdefault(one.key, []).append(inner)
                if self.reports(one.key):
                    findings.append(Finding(one.key, event, group, completed))
        return findings

    def _entering(
        self, one: _Correlation, event: Event, occurrences: Mapping[str, list[Occurrence]]
    ) -> Iterator[tuple[GroupKey, Entry]]:
        """The groups that the event enters, each with one entry however many rules it matched."""
        found: dict[GroupKey, tuple[set[int], dict[Any, None]]] = {}
        for reference, positions in one.positions.items():
            for occurrence in occurrences.get(reference, ()):
                values = _values(one, reference, occurrence)
                if values is None:
                    continue
                per_field = [occurrence.texts(one.field(name, reference)) for name in one.group_by]
                for key in itertools.islice(itertools.product(*per_field), COMBINATIONS_LIMIT):
                    matched, all_values = found.setdefault(key, (set(), {}))
                    matched.update(positions)
                    all_values.update(dict.fromkeys(values))
        for key, (matched, all_values) in found.items():
            yield key, Entry(event.time, frozenset(matched), tuple(all_values), event)

    def _enter(self, one: _Correlation, key: GroupKey, entry: Entry) -> tuple[Event, ...] | None:
        """Keep the entry; the evidence if it completes the correlation, else ``None``."""
        group = self._groups.get((one.key, key))
        if group is None:
            group = self._groups[one.key, key] = _Group()
        else:
            self._groups.move_to_end((one.key, key))
        entries = group.entries
        insort(entries, entry, key=_time)
        self._entries += 1
        required = one.measure.required
        if required:
            group.positions.update(entry.positions)
        if self._lateness is not None:
            self._drop(
                group, bisect_left(entries, entries[-1].time - one.seconds - self._lateness, key=_time)
            )
        if len(entries) > max(self._group_limit, one.needs):
            self._drop(group, 1)
            self.evicted += 1
        _forget_old_events(entries)
        while self._entries > self._limit and len(self._groups) > 1:
            _, oldest = self._groups.popitem(last=False)
            self._entries -= len(oldest.entries)
            self.evicted += len(oldest.entries)
        if required and not all(group.positions[position] > 0 for position in required):
            return None
        window = _completed_window(one, entries, entry.time)
        if window is None:
            return None
        recent = window[-2 * EVIDENCE_LIMIT :]
        kept = [each.event for each in recent if each.event is not None and each is not entry]
        evidence = [*kept[-(EVIDENCE_LIMIT - 1) :], entry.event]
        return tuple(sorted((each for each in evidence if each is not None), key=lambda each: each.time))

    def _drop(self, group: _Group, count: int) -> None:
        """Forget the group's oldest entries."""
        if count and group.positions:
            for entry in group.entries[:count]:
                group.positions.subtract(entry.positions)
        del group.entries[:count]
        self._entries -= count


def _time(entry: Entry) -> float:
    return entry.time


def _forget_old_events(entries: list[Entry]) -> None:
    """Only the newest entries keep their event; the others only count, so a busy group weighs little."""
    at = len(entries) - 2 * EVIDENCE_LIMIT - 1
    if at >= 0 and entries[at].event is not None:
        entries[at] = entries[at]._replace(event=None)


def _completed_window(one: _Correlation, entries: list[Entry], at: float) -> list[Entry] | None:
    """The entries of a window with the arriving event in which the condition holds."""
    first = bisect_left(entries, at - one.seconds, key=_time)
    end = bisect_right(entries, at, key=_time)
    if one.measure.trailing or end == len(entries):  # nothing later: the window that ends here is the largest
        window = entries[first:end]
        return window if one.measure.holds(window) else None
    for start in range(first, end):
        if start > first and entries[start].time == entries[start - 1].time:
            continue
        window = entries[start : bisect_right(entries, entries[start].time + one.seconds, key=_time)]
        if one.measure.holds(window):
            return window
    return None


def _values(one: _Correlation, reference: str, occurrence: Occurrence) -> tuple[Any, ...] | None:
    """The occurrence's values of the condition's field or fields; ``None`` where it has none and needs them."""
    if not one.value_fields:
        return ()
    fields = [one.field(name, reference) for name in one.value_fields]
    if one.numeric:
        return occurrence.numbers(fields[0]) or None
    combined = itertools.product(*(occurrence.texts(name) for name in fields))
    return tuple(itertools.islice(combined, COMBINATIONS_LIMIT)) or None


def _build(
    plans: list[CorrelationPlan], rules: set[str], names: dict[str, str], refused: list[Refusal]
) -> list[_Correlation]:
    """Inner before outer; what refers to a missing or refused rule, or to itself, is refused with the reason."""
    names.update({each.name: each.key for each in plans if each.name})
    waiting = {each.key: each for each in plans}
    built: dict[str, _Correlation] = {}
    while waiting:
        ready = [
            each
            for each in waiting.values()
            if not any(key in waiting for key in _reference_keys(each, names).values())
        ]
        for each in ready:
            del waiting[each.key]
            try:
                built[each.key] = _correlation(each, rules | built.keys(), names, built)
            except RuleError as problem:
                refused.append(Refusal(each.key, problem.reason, each.path))
        if not ready:
            circle = "correlations refer to each other in a circle"
            refused.extend(Refusal(each.key, circle, each.path) for each in waiting.values())
            break
    return list(built.values())


def _reference_keys(plan: CorrelationPlan, names: Mapping[str, str]) -> dict[str, str]:
    """A correlation's references as written, in order, and the keys they stand for."""
    return {each: names.get(each, each.lower()) for each in plan.rules}


def _correlation(
    plan: CorrelationPlan, known: Collection[str], names: Mapping[str, str], built: Mapping[str, _Correlation]
) -> _Correlation:
    references = _reference_keys(plan, names)
    missing = [written for written, key in references.items() if key not in known]
    if missing:
        raise RuleError(f"refers to a rule that is not loaded: {', '.join(missing)}")
    written_positions: dict[str, list[int]] = {}
    for position, written in enumerate(plan.rules):
        written_positions.setdefault(written, []).append(position)
    positions: dict[str, list[int]] = {}
    for written, places in written_positions.items():
        positions.setdefault(references[written], []).extend(places)
    inner_seconds = max(
        (built[key].depth_seconds for key in references.values() if key in built), default=0.0
    )
    return _Correlation(
        key=plan.key,
        references=list(dict.fromkeys(references.values())),
        positions=positions,
        group_by=list(plan.group_by),
        aliases={
            alias: {names.get(reference, reference): target for reference, target in mapping.items()}
            for alias, mapping in plan.aliases.items()
        },
        value_fields=list(plan.fields),
        numeric=plan.kind in NUMERIC,
        seconds=plan.seconds,
        measure=measure_of(plan, written_positions),
        generate=plan.generate,
        needs=0 if plan.tree is not None else min(int(plan.limit) + 1, 1_000_000),
        depth_seconds=plan.seconds + inner_seconds,
    )
