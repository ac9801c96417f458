"""Runs a hunt: slices of time through the event store, the engine where SQL cannot be sure, within bounds.

A rule is hunted backwards, so that the newest is found first; a correlation forwards, in the order in which the live
engine saw the events.
"""

from __future__ import annotations

import heapq
from collections import Counter
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rules.engine import Event
from rules.logsources import LogSources
from soc_api.hunting.models import Answer, Day, Found, utc
from soc_api.hunting.queries import Queries, Slice, TooMuchError
from soc_api.hunting.slices import Slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from rules.engine import Engine
    from rules.engine.routing import Sources
    from soc_api.hunting.models import Question
    from soc_api.hunting.queries import Asks
    from soc_api.hunting.subject import Subject

#: Events that one hunt shows to the engine at most.
MOST_CHECKED: Final = 200_000
_PAGE: Final = 5_000
_LOCAL: Final = timedelta(hours=7)


class _StoppedError(Exception):
    """``str()`` is why."""


class Hunt:
    """One hunt, run once by :meth:`run`.

    ``tell`` hears after each slice how far it is (0 to 1) and the hits so far. ``stop`` is asked between queries; a
    query that runs is waited for (the store bounds it).
    """

    def __init__(
        self,
        store: Asks,
        subject: Subject,
        question: Question,
        *,
        tell: Callable[[float, int], None] = lambda _done, _hits: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._subject = subject
        self._question = question
        self._queries = Queries(store, subject.plan, question)
        self._tell = tell
        self._stop = stop
        self._began = monotonic()
        self._sources = LogSources(subject.pipelines)
        self._engine: Engine | None = None
        self._days: Counter[str] = Counter()
        self._found: list[tuple[float, str, Found]] = []
        self._checked = 0

    def run(self) -> Answer:
        """What was found, also where a bound stopped it.

        Raises:
            StoreError: the store does not answer.
        """
        question = self._question
        slices = Slices(question.since, question.until, forwards=self._subject.correlation)
        stopped = ""
        try:
            for part in slices:
                self._go_on()
                try:
                    if self._subject.correlation:
                        self._correlate(part)
                    else:
                        self._match(part)
                except TooMuchError:
                    slices.too_wide(part)
                    continue
                slices.done(part)
                self._tell(slices.share, sum(self._days.values()))
        except _StoppedError as reason:
            stopped = str(reason)
        found = [each for _, _, each in sorted(self._found, key=lambda item: (-item[0], item[1]))]
        return Answer(
            rule_id=self._subject.key,
            title=self._subject.title,
            since=question.since,
            until=question.until,
            days=_all_days(question.since, question.until, self._days),
            found=found,
            hits=sum(self._days.values()),
            complete=not stopped,
            stopped=stopped,
            covered_since=slices.covered.since,
            covered_until=slices.covered.until,
            method="correlated" if self._subject.correlation else "checked" if self._checked else "sql",
            checked=self._checked,
            seconds=round(monotonic() - self._began, 3),
        )

    def _match(self, part: Slice) -> None:
        counts = self._queries.counts(part)
        doubtful = sum(each.doubtful for each in counts) + self._queries.odd(part)
        newest = sorted((each for count in counts for each in count.newest), reverse=True)
        missing = self._question.limit - len(self._found)
        rows = self._queries.bodies(part, newest[:missing]) if newest and missing > 0 else []
        checked: list[tuple[dict[str, Any], Found]] = []
        if doubtful:
            engine = self._engine or self._subject.engine()
            self._engine = engine
            for row, event in self._events(self._queries.doubtful, part):
                fields, sources = self._read(event)
                if any(finding.rule_id == self._subject.key for finding in engine.process(fields, sources)):
                    checked.append((row, _found(row, event.fields)))
        for count in counts:
            self._days[count.day] += count.hits
        for row in rows:
            self._keep(_found(row, msgspec.json.decode(row["body"])))
        for row, found in checked:
            self._days[_day(float(row["received"]))] += 1
            self._keep(found)

    def _correlate(self, part: Slice) -> None:
        engine = self._engine or self._subject.engine()
        self._engine = engine
        days: Counter[str] = Counter()
        found: list[Found] = []
        for row, event in [*self._events(self._queries.possible, part)]:
            read, sources = self._read(event)
            for finding in engine.process(read, sources):
                if finding.rule_id == self._subject.key:
                    days[_day(float(row["received"]))] += 1
                    found.append(_found(row, event.fields, finding.group, len(finding.events)))
        self._days.update(days)
        for each in found:
            self._keep(each)

    def _events(
        self, ask: Callable[[Slice, tuple[int, str], int], list[dict[str, Any]]], part: Slice
    ) -> Iterator[tuple[dict[str, Any], Event]]:
        """Rows and their events, those of one batch by their time (as a new worker is shown them)."""
        after = (0, "")
        while True:
            self._go_on()
            page = ask(part, after, _PAGE)
            self._checked += len(page)
            if self._checked > MOST_CHECKED:
                raise _StoppedError("rows")
            page.sort(key=lambda row: (int(row["log_offset"]), float(row["seconds"])))
            for row in page:
                fields = msgspec.json.decode(row["body"])
                yield (
                    row,
                    Event(
                        row["event_id"],
                        float(row["seconds"]),
                        row["product"],
                        row["category"],
                        row["service"],
                        fields,
                    ),
                )
            if len(page) < _PAGE:
                return
            after = max((int(row["log_offset"]), str(row["event_id"])) for row in page)

    def _read(self, event: Event) -> tuple[Event, Sources]:
        """The event as the worker sees it."""
        own = (event.product, event.category, event.service)
        fields, sources = self._sources.read(*own, dict(event.fields))
        return Event(event.id, event.time, *own, fields), sources

    def _keep(self, found: Found) -> None:
        """Keep the newest, as many as were asked for."""
        if not self._question.limit:
            return
        item = (found.received_at.timestamp(), found.event_id, found)
        if len(self._found) < self._question.limit:
            heapq.heappush(self._found, item)
        elif item[:1] > self._found[0][:1]:
            heapq.heapreplace(self._found, item)

    def _go_on(self) -> None:
        if self._stop():
            raise _StoppedError("cancelled")
        if monotonic() - self._began > self._question.seconds:
            raise _StoppedError("time")


def _found(
    row: Mapping[str, Any], fields: Mapping[str, Any], group: Mapping[str, str] | None = None, events: int = 1
) -> Found:
    return Found(
        event_id=row["event_id"],
        time=utc(float(row["seconds"])),
        received_at=utc(float(row["received"])),
        endpoint_id=row["endpoint_id"],
        agency_id=int(row["agency_id"]),
        product=row["product"],
        category=row["category"],
        service=row["service"],
        fields=fields,
        group=dict(group or {}),
        events=max(events, 1),
    )


def _day(received: float) -> str:
    return (utc(received) + _LOCAL).date().isoformat()


def _all_days(since: datetime, until: datetime, hits: Mapping[str, int]) -> list[Day]:
    first, last = (since + _LOCAL).date(), (until - timedelta(microseconds=1) + _LOCAL).date()
    days = [(first + timedelta(days=at)).isoformat() for at in range(max((last - first).days, 0) + 1)]
    return [Day(day, hits.get(day, 0)) for day in days]
