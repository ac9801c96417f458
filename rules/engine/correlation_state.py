"""The state of one correlation: its groups, each a log of entries in order of time with a window at its end.

An event that arrives in order of time costs a few steps: it is pushed into what its group knows of the window at the
end, and what left the window is dropped from it. An event that arrives late is put where it belongs, and the windows
that hold it are gone through exactly.

Which windows count. For conditions that more events can only help (``gt``/``gte`` of counts and sums, ``temporal``
without ``not``): any timespan that ends with one of the group's events and holds the arriving one. For all others
(``lt``, ``eq``, averages, ``not`` …): the timespan that ends with the arriving event.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from rules.engine.measures import OPERATORS, RISING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rules.engine.correlation_evidence import Record
    from rules.engine.correlation_plan import CorrelationPlan

#: A finding carries at most this many events.
EVIDENCE_LIMIT: Final = 20
#: However many events a condition asks for, a group keeps no more.
ENTRIES_LIMIT: Final = 1_000_000

#: One group-by value, or several; long or broken text by its digest.
GroupKey = str | bytes | tuple[str | bytes, ...]


class Group:
    """``times`` and ``marks``: the entries in order of time, those before ``start`` no longer there.

    ``low``: where the window that ends with the newest entry begins; ``acc``: what is known of that window.
    """

    __slots__ = ("acc", "evidence", "low", "marks", "start", "times")

    def __init__(self, acc: Any) -> None:
        self.acc = acc
        self.times: list[float] = []
        self.marks: list[Any] = []
        self.evidence: list[Any] = []
        self.start = 0
        self.low = 0


class Tracker:
    """One correlation at work; a subclass a type says what an entry is worth (its mark) and when a window holds."""

    #: Whether only the window that ends with the arriving event counts.
    trailing = False
    #: So few entries never hold.
    least = 1

    def __init__(
        self, plan: CorrelationPlan, *, lateness_seconds: float | None = None, group_limit: int = 2_000
    ) -> None:
        self.plan = plan
        self.key = plan.key
        self.seconds = plan.seconds
        self.keep = float("inf") if lateness_seconds is None else plan.seconds + lateness_seconds
        self.limit = max(group_limit, min(_needed(plan) + 1, ENTRIES_LIMIT))
        self.groups: OrderedDict[GroupKey, Group] = OrderedDict()
        #: The window of the last completion, both ends inside.
        self.window = (0.0, 0.0)
        self.occurrences = self.findings = self.evicted = self.late = self.entries = 0

    # What a type says.

    def fresh(self) -> Any:
        """What is known of an empty window."""
        raise NotImplementedError

    def push(self, acc: Any, time: float, mark: Any, /) -> None:
        """An entry joins the window, none in it is newer."""
        raise NotImplementedError

    def drop(self, acc: Any, mark: Any, /) -> None:
        """The oldest entry leaves the window."""

    def insert(self, group: Group, time: float, mark: Any, /) -> None:
        """An entry, in ``group`` already, joins the window at the end although newer ones are in it."""
        self.push(group.acc, time, mark)

    def holds(self, acc: Any, group: Group, first: int, end: int, /) -> bool:
        """Whether the condition holds for the entries from ``first`` up to ``end``, of which ``acc`` knows."""
        raise NotImplementedError

    # The same for all.

    def add(self, key: GroupKey, time: float, mark: Any, record: Record | None) -> bool:
        """Enter an event; whether it completes the correlation."""
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group(self.fresh())
            times = group.times
        else:
            self.groups.move_to_end(key)
            times = group.times
            if time < times[-1]:
                return self._add_late(group, time, mark, record)
        marks = group.marks
        times.append(time)
        marks.append(mark)
        self.occurrences += 1
        self.entries += 1
        if record is not None:
            self.remember(group, record, mark)
        acc = group.acc
        self.push(acc, time, mark)
        low = group.low
        first = time - self.seconds
        while times[low] < first:
            self.drop(acc, marks[low])
            low += 1
        group.low = low
        end = len(times)
        if times[group.start] < time - self.keep or end - group.start > self.limit:
            self._prune(group)
            low, end = group.low, len(times)
        if self.holds(acc, group, low, end):
            self.window = (first, time)
            self.findings += 1
            return True
        return False

    def _add_late(self, group: Group, time: float, mark: Any, record: Record | None) -> bool:
        times = group.times
        newest = times[-1]
        if time < newest - self.keep:
            self.late += 1
            return False
        at = bisect_right(times, time, group.start)
        times.insert(at, time)
        group.marks.insert(at, mark)
        self.occurrences += 1
        self.entries += 1
        if record is not None:
            self.remember(group, record, mark)
        if time >= newest - self.seconds:
            self.insert(group, time, mark)
        else:
            group.low += 1
        if len(times) - group.start > self.limit:
            before = len(times) - at
            self._prune(group)
            if len(times) - before < group.start:
                return False  # it was the oldest itself
        window = self._window_with(group, time)
        if window is None:
            return False
        self.window = window
        self.findings += 1
        return True

    def _window_with(self, group: Group, time: float) -> tuple[float, float] | None:
        """A window that counts for an entry that is not the newest, and holds."""
        times, marks = group.times, group.marks
        first = bisect_left(times, time - self.seconds, group.start)
        if self.trailing:
            end = bisect_right(times, time, first)
            acc = self.fresh()
            for at in range(first, end):
                self.push(acc, times[at], marks[at])
            return (time - self.seconds, time) if self.holds(acc, group, first, end) else None
        newest = times[-1]
        if time >= newest - self.seconds and self.holds(group.acc, group, group.low, len(times)):
            return newest - self.seconds, newest
        if len(times) - first < self.least:
            return None
        acc = self.fresh()
        end, count = first, len(times)
        while end < count:
            last = times[end]
            begin = last - self.seconds
            if begin > time:
                return None
            while end < count and times[end] == last:
                self.push(acc, last, marks[end])
                end += 1
            while times[first] < begin:
                self.drop(acc, marks[first])
                first += 1
            if last >= time and self.holds(acc, group, first, end):
                return begin, last
        return None

    def _prune(self, group: Group) -> None:
        """Forget what is too old to count, and the oldest of a group that is too large."""
        times, marks = group.times, group.marks
        start = group.start
        oldest = times[-1] - self.keep
        while times[start] < oldest:
            start += 1
        excess = len(times) - start - self.limit
        if excess > 0:
            self.evicted += excess
            start += excess
            for at in range(group.low, start):
                self.drop(group.acc, marks[at])
            group.low = max(group.low, start)
        self.entries -= start - group.start
        if start > 32 and start * 2 > len(times):
            del times[:start]
            del marks[:start]
            group.low -= start
            start = 0
        group.start = start

    def evict(self) -> int:
        """Forget the group that was untouched longest, because of a limit; how many entries it had."""
        gone = self._forget_first()
        self.evicted += gone
        return gone

    def expire(self, now: float) -> None:
        """Forget the groups, longest untouched first, that events of now are too late for."""
        turned = 0
        while self.groups:
            key, group = next(iter(self.groups.items()))
            newest = group.times[-1]
            if newest < now - self.keep:
                self._forget_first()
            elif newest > now + self.keep and turned < 16:  # a clock that runs ahead must not shield the rest
                self.groups.move_to_end(key)
                turned += 1
            else:
                return

    def _forget_first(self) -> int:
        _, group = self.groups.popitem(last=False)
        gone = len(group.times) - group.start
        self.entries -= gone
        return gone

    def rebuild(self, group: Group) -> None:
        """Work out what is known of the window at the end, from its entries."""
        times = group.times
        group.low = bisect_left(times, times[-1] - self.seconds, group.start)
        group.acc = self.fresh()
        for at in range(group.low, len(times)):
            self.push(group.acc, times[at], group.marks[at])

    def replace(self, groups: Mapping[GroupKey, Group]) -> None:
        """Go on with other groups, longest untouched first, of which only the entries are known."""
        self.groups = OrderedDict(groups)
        for group in self.groups.values():
            self.rebuild(group)
        self.entries = sum(len(group.times) for group in self.groups.values())
        for group in self.groups.values():
            if len(group.times) > self.limit:
                self._prune(group)

    def remember(self, group: Group, record: Record, _mark: Any, /) -> None:
        """Keep an event to show."""
        evidence = group.evidence
        evidence.append(record)
        if len(evidence) > 2 * EVIDENCE_LIMIT:
            del evidence[:-EVIDENCE_LIMIT]

    def recall(self, key: GroupKey) -> Sequence[Record]:
        """Events of the window of the last completion, those that arrived last, in order of arrival."""
        first, last = self.window
        evidence = self.groups[key].evidence
        found = [each for each in evidence if first <= each.time <= last and each.packed is not None]
        return found[-EVIDENCE_LIMIT:]


def _needed(plan: CorrelationPlan) -> int:
    return 0 if plan.tree is not None else max(int(min(plan.limit, ENTRIES_LIMIT)), 0)


class Counted(Tracker):
    """``event_count``: entries are worth one each."""

    def __init__(self, plan: CorrelationPlan, **limits: Any) -> None:
        super().__init__(plan, **limits)
        self.trailing = plan.operator not in RISING
        self._compare, self._limit = OPERATORS[plan.operator], plan.limit
        self.least = 0 if self.trailing else _needed(plan)

    def fresh(self) -> None:
        return None

    def push(self, _acc: None, _time: float, _mark: int) -> None:
        pass

    def holds(self, _acc: None, _group: Group, first: int, end: int) -> bool:
        return self._compare(end - first, self._limit)
