"""Sigma correlations over the stream: who listens to which rule, and what an event completes.

Windows slide over event time and hold both ends. Events come in any order of time; a correlation is completed by
the event whose arrival makes its condition true for events that all lie within the timespan, and every further
event while it stays true is a finding too. An event without a group-by field, or without the condition's value,
takes no part. With several values in a group-by field the event is in each of those groups.

The state is in :mod:`rules.engine.correlation_state`, one tracker a correlation.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rules.engine import correlation_snapshot
from rules.engine.correlation_evidence import Evidence
from rules.engine.correlation_kinds import tracker_of
from rules.engine.correlation_reading import Seen, Subscription, merged
from rules.engine.correlation_references import resolve
from rules.engine.correlation_state import EVIDENCE_LIMIT, Tracker
from rules.engine.events import Event, Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from rules.engine.correlation_plan import CorrelationPlan
    from rules.engine.correlation_reading import Fields, Part
    from rules.engine.correlation_state import GroupKey
    from rules.engine.errors import Refusal

__all__ = ["EVIDENCE_LIMIT", "CorrelationStatistics", "Correlations"]

#: What the events kept to show may take, packed.
EVIDENCE_BYTES: Final = 64 << 20
#: After so many events, groups too old to matter are looked for in so many correlations.
_SWEEP_EVENTS: Final = 64
_SWEEP_CORRELATIONS: Final = 8
_INFINITY: Final = float("inf")
_NO_GROUP: Final[Mapping[str, str]] = {}


class CorrelationStatistics(NamedTuple):
    """One correlation's counts since its state began; ``groups`` and ``entries`` are those held now.

    ``late``: events that were older than the lateness allows. ``evicted``: entries forgotten because of a limit.
    """

    occurrences: int
    findings: int
    groups: int
    entries: int
    evicted: int
    late: int


class Correlations:
    """All correlations of an engine and their bounded state.

    ``rules``: the keys of the plain rules that run; ``names``: their names and keys. What cannot be run is added to
    ``refused``. ``state_limit``: entries in all; where it is reached, the correlation that holds most gives up the
    groups that it touched longest ago.
    """

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
        evidence_bytes: int = EVIDENCE_BYTES,
        trackers: Mapping[str, Tracker] | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        self._limits = {
            "state_limit": state_limit,
            "group_limit": group_limit,
            "lateness_seconds": lateness_seconds,
            "report_all": report_all,
            "evidence_bytes": evidence_bytes,
        }
        self._state_limit = state_limit
        self._evidence = evidence or Evidence(evidence_bytes)
        self._recent: deque[float] = deque(maxlen=15)
        self._entries = self._evicted_before = self._taken = self._swept = 0
        #: In the order in which they are fed, inner ones first.
        self._trackers: dict[str, Tracker] = {}
        self._identities: dict[str, Tracker] = {}
        self._subscribers: dict[str, list[Subscription]] = {}
        plans = list(plans)
        names = {**names, **{plan.name: plan.key for plan in plans if plan.name}}
        generated: set[str] = set()
        depths: dict[str, float] = {}
        limits = {"lateness_seconds": lateness_seconds, "group_limit": group_limit}
        for order, one in enumerate(resolve(plans, rules, names, refused)):
            plan = one.plan
            identity = correlation_snapshot.identity_of(one)
            tracker = (trackers or {}).get(identity) or tracker_of(plan, self._evidence, **limits)
            self._trackers[plan.key] = self._identities[identity] = tracker
            for key in dict.fromkeys(one.keys.values()):
                listener = Subscription(tracker, order, one.bits(key), one.fields(key, names))
                self._subscribers.setdefault(key, []).append(listener)
            depths[plan.key] = plan.seconds + max(depths.get(key, 0.0) for key in one.keys.values())
            if plan.generate:
                generated.update(one.keys.values())
        #: The rules and correlations that some correlation listens to.
        self.referenced: frozenset[str] = frozenset(self._subscribers)
        #: Rules that only correlations listen to that no correlation listens to, which report therefore.
        self._direct = {
            key: listeners
            for key, listeners in self._subscribers.items()
            if not any(each.tracker.key in self._subscribers for each in listeners)
        }
        self._silent = frozenset() if report_all else self.referenced - generated
        #: The longest time an event can matter, through correlations over correlations.
        self.longest_timespan_seconds: float = max(depths.values(), default=0.0)

    def __len__(self) -> int:
        return len(self._trackers)

    @property
    def evicted(self) -> int:
        """Entries forgotten because of a limit, those of correlations that are gone included."""
        return self._evicted_before + sum(tracker.evicted for tracker in self._trackers.values())

    def reports(self, key: str) -> bool:
        """Whether a match of this rule is a finding by itself: not where only a correlation asked for it."""
        return key not in self._silent

    def refers_to(self, keys: Collection[str]) -> bool:
        return not self.referenced.isdisjoint(keys)

    def changed(
        self,
        plans: Iterable[CorrelationPlan],
        rules: Collection[str],
        names: Mapping[str, str],
        refused: list[Refusal],
    ) -> Correlations:
        """The same for other rules: what is a correlation as before keeps its state, others begin without any.

        A correlation is as before if its own text asks for the same and refers to rules of the same ids, whatever
        those rules say now. This object is as it was, until an event is given to the new one.
        """
        new = Correlations(
            plans,
            rules,
            names,
            refused,
            **self._limits,  # type: ignore[arg-type]
            trackers=self._identities,
            evidence=self._evidence,
        )
        kept = set(map(id, new._trackers.values()))
        gone = [tracker for tracker in self._trackers.values() if id(tracker) not in kept]
        new._evicted_before = self._evicted_before + sum(tracker.evicted for tracker in gone)
        new._entries = sum(tracker.entries for tracker in new._trackers.values())
        return new

    def statistics(self) -> dict[str, CorrelationStatistics]:
        return {
            key: CorrelationStatistics(
                each.occurrences, each.findings, len(each.groups), each.entries, each.evicted, each.late
            )
            for key, each in self._trackers.items()
        }

    def snapshot(self) -> bytes:
        """The state as bytes, for :meth:`restore` in an engine with the same rules or most of them."""
        return correlation_snapshot.write(self._identities, self._evidence)

    def restore(self, data: bytes) -> bool:
        """Take the state of a snapshot, in place of what there is; False, and nothing changed, if it is of another
        version, damaged, or of none of these correlations. A correlation that has changed since begins anew.
        """
        done = correlation_snapshot.read(data, self._identities, self._evidence)
        self._entries = sum(tracker.entries for tracker in self._trackers.values())
        return done

    def take(self, event: Event, view: Fields, matched: Mapping[str, Mapping[str, str]]) -> list[Finding]:
        """Enter one event's matches: the keys of the rules that it fired, each with the field renames in force.

        Correlations over correlations see what inner ones completed with it.
        """
        findings: list[Finding] = []
        if not -_INFINITY < event.time < _INFINITY:
            return findings
        keys = [key for key in matched if key in self._subscribers]
        if len(keys) == 1:
            direct = self._direct.get(keys[0])
            if direct is not None:
                renames = matched[keys[0]]
                seen: Fields = Seen(view, renames, _NO_GROUP) if renames else view
                self._enter_directly(direct, event, seen, findings)
                return findings
        parts: list[Part] = []
        for key in keys:
            renames = matched[key]
            seen = Seen(view, renames, _NO_GROUP) if renames else view
            parts.extend((each, seen, renames) for each in self._subscribers[key])
        if parts:
            self._enter_in_order(parts, event, view, matched, findings)
            self._make_room(event.time)
        return findings

    def _enter_directly(
        self, listeners: list[Subscription], event: Event, seen: Fields, findings: list[Finding]
    ) -> None:
        """The short way of nearly all events: one rule matched, and no correlation listens to those that do."""
        record: int | None = None
        time = event.time
        for listener in listeners:
            mark = listener.bits if listener.mark is None else listener.mark(seen)
            if mark.__class__ is tuple and not mark:
                continue
            tracker = listener.tracker
            held = tracker.entries
            for key in listener.keys(seen):
                if record is None:
                    record = self._evidence.keep(event)
                if tracker.add(key, time, mark, record):
                    group = listener.group(key, seen)
                    findings.append(Finding(tracker.key, event, group, tracker.recall(key, event, record)))
            self._entries += tracker.entries - held
        self._make_room(time)

    def _make_room(self, time: float) -> None:
        if self._entries > self._state_limit:
            self._evict()
        self._taken += 1
        if not self._taken % _SWEEP_EVENTS:
            self._sweep(time)

    def _enter_in_order(
        self,
        parts: list[Part],
        event: Event,
        view: Fields,
        matched: Mapping[str, Mapping[str, str]],
        findings: list[Finding],
    ) -> None:
        """Several correlations, or one that others listen to: inner ones first."""
        waiting: dict[int, list[Part]] = {}
        for part in parts:
            waiting.setdefault(part[0].order, []).append(part)
        orders = list(waiting)
        heapq.heapify(orders)
        renames = next(iter(matched.values()))
        record: int | None = None
        while orders:
            parts = waiting.pop(heapq.heappop(orders))
            completed: list[Mapping[str, str]] = []
            record = self._enter(parts, event, record, findings, completed)
            for each in self._subscribers.get(parts[0][0].tracker.key, ()) if completed else ():
                if each.order not in waiting:
                    waiting[each.order] = []
                    heapq.heappush(orders, each.order)
                waiting[each.order].extend((each, Seen(view, renames, group), renames) for group in completed)

    def _enter(
        self,
        parts: list[Part],
        event: Event,
        record: int | None,
        findings: list[Finding],
        completed: list[Mapping[str, str]],
    ) -> int | None:
        """One event in one correlation; the groups that it completes go to ``completed``.

        ``record`` is the number of the event as kept to show, once any correlation has kept it.
        """
        listener, seen, _ = part = parts[0]
        tracker = listener.tracker
        shows = tracker.key not in self._silent
        held = tracker.entries
        entries: Iterable[tuple[GroupKey, Any, Part]]
        if len(parts) > 1:
            entries = merged(parts)
        else:
            mark = listener.bits if listener.mark is None else listener.mark(seen)
            if mark.__class__ is tuple and not mark:
                return record
            entries = [(key, mark, part) for key in listener.keys(seen)]
        for key, mark, (listener, seen, _) in entries:
            if shows and record is None:
                record = self._evidence.keep(event)
            if tracker.add(key, event.time, mark, record if shows else None):
                group = listener.group(key, seen)
                if shows:
                    findings.append(Finding(tracker.key, event, group, tracker.recall(key, event, record)))
                completed.append(group)
        self._entries += tracker.entries - held
        return record

    def _evict(self) -> None:
        """Make room, a little more than needed, so that this is rare."""
        goal = self._state_limit - self._state_limit // 128
        while self._entries > goal:
            most = max(self._trackers.values(), key=lambda tracker: tracker.entries)
            fair = most.entries - most.entries // 64
            while self._entries > goal and most.entries >= fair and len(most.groups) > 1:
                self._entries -= most.evict()
            if len(most.groups) <= 1:
                return

    def _sweep(self, time: float) -> None:
        """Forget groups that events of now are too late for, in some of the correlations.

        Now is the middle one of some recent events' times: a few clocks that run ahead move nothing.
        """
        recent = self._recent
        recent.append(time)
        now = sorted(recent)[len(recent) // 2]
        trackers = list(self._trackers.values())
        for at in range(self._swept, self._swept + min(_SWEEP_CORRELATIONS, len(trackers))):
            tracker = trackers[at % len(trackers)]
            held = tracker.entries
            tracker.expire(now)
            self._entries += tracker.entries - held
        self._swept = (self._swept + _SWEEP_CORRELATIONS) % len(trackers)
