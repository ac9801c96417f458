"""The state of one correlation: its groups, each a log of entries in order of time with a window at its end.

An event that arrives in order of time costs a few steps: it is pushed into what its group knows of the window at the
end, and what left the window is dropped from it. An event that arrives late is put where it belongs, and the windows
that hold it are gone through exactly.

Which windows count. For conditions that more events can only help (``gt``/``gte`` of counts and sums, ``temporal``
without ``not``): any timespan that ends with one of the group's events and holds the arriving one. For all others
(``lt``, ``eq``, averages, ``not`` …): the timespan that ends with the arriving event.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from rules.engine.correlation_evidence import Shown
from rules.engine.measures import OPERATORS, RISING

if TYPE_CHECKING:
    from rules.engine.correlation_evidence import Evidence
    from rules.engine.correlation_plan import CorrelationPlan
    from rules.engine.events import Event

#: A finding carries at most this many events.
EVIDENCE_LIMIT: Final = 20
#: However many events a condition asks for, a group keeps no more.
ENTRIES_LIMIT: Final = 1_000_000
_TURNED_LIMIT: Final = 256

#: One group-by value, or several; long or broken text by its digest.
GroupKey = str | bytes | tuple[str | bytes, ...]


class Group:
    """``times`` and ``marks``: the entries in order of time, those before ``start`` no longer there.

    ``low``: where the window that ends with the newest entry begins; ``acc``: what is known of that window.
    ``evidence``: numbers of events to show. Arrays, since the garbage collector need not look into them.
    """

    __slots__ = ("acc", "evidence", "low", "marks", "start", "times", "touched")

    def __init__(self, acc: Any, marks: Any) -> None:
        self.acc = acc
        self.times = array("d")
        self.marks = marks
        self.evidence = array("q")
        self.start = 0
        self.low = 0
        #: Since the group was last considered for eviction.
        self.touched = False


class Tracker:
    """One correlation at work; a subclass a type says what an entry is worth (its mark) and when a window holds."""

    #: Whether only the window that ends with the arriving event counts.
    trailing = False
    #: So few entries never hold.
    least = 1

    def __init__(
        self,
        plan: CorrelationPlan,
        evidence: Evidence,
        *,
        lateness_seconds: float | None = None,
        group_limit: int = 2_000,
    ) -> None:
        self.plan = plan
        self.key = plan.key
        self.seconds = plan.seconds
        self.keep = float("inf") if lateness_seconds is None else plan.seconds + lateness_seconds
        self.limit = max(group_limit, min(_needed(plan) + 1, ENTRIES_LIMIT))
        self.evidence = evidence
        self.groups: dict[GroupKey, Group] = {}
        #: The groups in the order in which they are considered for eviction.
        self.queue: deque[GroupKey] = deque()
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

    def no_marks(self) -> Any:
        """An empty sequence of marks."""
        return []

    # The same for all.

    def add(self, key: GroupKey, time: float, mark: Any, record: int | None) -> bool:
        """Enter an event, ``record`` the number of it as kept to show; whether it completes the correlation."""
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group(self.fresh(), self.no_marks())
            self.queue.append(key)
            times = group.times
        else:
            group.touched = True
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
        if times[low] < first:
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

    def _add_late(self, group: Group, time: float, mark: Any, record: int | None) -> bool:
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
        """Forget a group because of a limit; how many entries it had.

        The oldest of those not touched since they were last considered: nearly the one untouched longest, at no
        cost to every event.
        """
        while True:
            key = self.queue.popleft()
            group = self.groups[key]
            if not group.touched:
                gone = self._forget(key, group)
                self.evicted += gone
                return gone
            group.touched = False
            self.queue.append(key)

    def expire(self, now: float) -> None:
        """Forget groups that events of now are too late for, as far as they are next to be considered."""
        turned = 0
        while self.queue and turned < _TURNED_LIMIT:
            key = self.queue.popleft()
            group = self.groups[key]
            newest = group.times[-1]
            if newest < now - self.keep:
                self._forget(key, group)
            elif group.touched or newest > now + self.keep:  # or a clock that runs ahead
                group.touched = False
                self.queue.append(key)
                turned += 1
            else:
                self.queue.appendleft(key)
                return

    def _forget(self, key: GroupKey, group: Group) -> int:
        del self.groups[key]
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

    def replace(self, groups: dict[GroupKey, Group]) -> None:
        """Go on with other groups, of which only the entries are known."""
        self.groups = groups
        self.queue = deque(groups)
        self.entries = sum(len(group.times) for group in groups.values())
        for group in groups.values():
            self.rebuild(group)
            if len(group.times) > self.limit:
                self._prune(group)

    def remember(self, group: Group, record: int, _mark: Any, /) -> None:
        """Keep an event to show."""
        evidence = group.evidence
        evidence.append(record)
        if len(evidence) > 2 * EVIDENCE_LIMIT:
            del evidence[:-EVIDENCE_LIMIT]

    def recall(self, key: GroupKey, event: Event, record: int | None) -> Shown:
        """Events of the window of the last completion, which ``event`` brought, it among them, oldest first."""
        numbers = self.groups[key].evidence[:]
        return Shown(self.evidence, numbers, event, record, self.window, EVIDENCE_LIMIT)


def _needed(plan: CorrelationPlan) -> int:
    return 0 if plan.tree is not None else max(int(min(plan.limit, ENTRIES_LIMIT)), 0)


class Counted(Tracker):
    """``event_count``: entries are worth one each, which its mark, 1, says too."""

    def __init__(self, plan: CorrelationPlan, evidence: Evidence, **limits: Any) -> None:
        super().__init__(plan, evidence, **limits)
        self.trailing = plan.operator not in RISING
        self._compare, self._limit = OPERATORS[plan.operator], plan.limit
        self.least = 0 if self.trailing else _needed(plan)

    def fresh(self) -> None:
        return None

    def no_marks(self) -> bytearray:
        return bytearray()

    def push(self, _acc: None, _time: float, _mark: int) -> None:
        pass

    def holds(self, _acc: None, _group: Group, first: int, end: int) -> bool:
        return self._compare(end - first, self._limit)
