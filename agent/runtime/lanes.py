"""Runs collectors, each at its interval, so that none can hold up or stop another.

There are two lanes, threads that run their collectors one after the other: one for what is polled every few
seconds, one for everything slower. A run that takes longer than its collector may is left behind in its
thread (a thread cannot be killed alone), its result is thrown away when it comes, and the lane goes on in a
new thread. What the run itself raises is its collector's failure, never the lane's.
"""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from agent import reasons
from agent.collectors.registry import CollectorError, NothingToReport, Output
from agent.runtime.costs import cpu_seconds, rest

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.collectors.registry import Collector, Context

#: Slower collectors start this share of their interval earlier or later, so that a province does not march.
JITTER_RATIO: Final = 0.1
#: Collectors due within this time run in one waking.
_SLACK_SECONDS: Final = 0.1
#: A collector that found nothing of its kind is asked again after this at the earliest: it seldom appears.
_NOTHING_SECONDS: Final = 10.0
#: Threads left behind by runs that never end; with so many a lane waits for one to come back.
_LEFT_BEHIND_AT_MOST: Final = 4


class Outcome(Struct, frozen=True):
    """One run: what it found and the memory it leaves, or why it failed, or why there is ``nothing``; what it took, on
    the clock and of a processor."""

    collector: Collector
    duration_seconds: float
    cpu_seconds: float = 0.0
    output: Output | None = None
    memory: dict[str, Any] = {}
    failure: str = ""
    nothing: str = ""


def execute(
    collector: Collector,
    context: Context,
    memory: dict[str, Any],
    monotonic: Callable[[], float],
    cpu: Callable[[], float] = cpu_seconds,
) -> Outcome:
    """Run ``collector`` once. Never raises what the collector raises."""
    started, spent = monotonic(), cpu()
    outcome = _executed(collector, context, memory)
    return structs.replace(
        outcome, duration_seconds=monotonic() - started, cpu_seconds=max(0.0, cpu() - spent)
    )


def _executed(collector: Collector, context: Context, memory: dict[str, Any]) -> Outcome:
    try:
        output = collector.collect(context)
        failure = "" if isinstance(output, Output) else reasons.HANDED_BACK(kind=type(output).__name__)
    except NothingToReport as answer:
        return Outcome(collector, 0.0, nothing=str(answer)[:255])
    except CollectorError as error:
        output, failure = None, str(error)[:255]
    except Exception as error:
        output, failure = None, f"{type(error).__name__}: {error}"[:255]
    if output is None or failure:
        return Outcome(collector, 0.0, failure=failure or reasons.NO_REASON())
    return Outcome(collector, 0.0, output=output, memory=memory)


class _Job(Struct):
    due: float
    order: int
    collector: Collector
    interval: float
    left_behind: bool = False
    told: bool = False
    wanted: bool = True
    running: bool = False

    def __lt__(self, other: _Job) -> bool:
        return (self.due, self.order) < (other.due, other.order)


class Lane:
    """``run`` runs a collector and returns its outcome, ``deliver`` takes it where it came in time.

    ``monotonic`` is the clock deadlines run on, ``random()`` gives floats in [0, 1).
    """

    def __init__(
        self,
        name: str,
        collectors: list[tuple[Collector, float]],
        *,
        run: Callable[[Collector], Outcome],
        deliver: Callable[[Outcome], None],
        monotonic: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.name = name
        self._run = run
        self._deliver = deliver
        self._monotonic = monotonic
        self._random = random
        self._condition = threading.Condition()
        self._generation = 0
        self._left_behind = 0
        self._stopping = False
        self._current: tuple[_Job, float] | None = None
        self._delivering = False
        #: Intervals are so many times as long for now.
        self.patience = 1.0
        self._known: dict[str, _Job] = {}
        self._jobs: list[_Job] = []
        self.plan(collectors)

    def start(self) -> None:
        threading.Thread(
            target=self._work, args=(self._generation,), name=f"lane-{self.name}", daemon=True
        ).start()

    def plan(self, collectors: list[tuple[Collector, float]]) -> None:
        """Run these from now on, each at its interval, and no others; what is new runs at once. A run under way ends,
        and its outcome is delivered."""
        with self._condition:
            now = self._monotonic()
            for job in self._known.values():
                job.wanted = False
            for collector, interval in collectors:
                job = self._known.setdefault(
                    collector.name, _Job(now, len(self._known), collector, interval, wanted=False)
                )
                waits = job in self._jobs
                job.interval, job.wanted = interval, True
                job.due = min(job.due, now + interval) if waits else now
            self._jobs = [job for job in self._known.values() if job.wanted and not job.running]
            heapq.heapify(self._jobs)
            self._condition.notify_all()

    def stop(self, timeout_seconds: float) -> None:
        """Let the run under way end, if it does in time, and start no other."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
            self._condition.wait_for(lambda: not self._busy, timeout=timeout_seconds)
            self._generation += 1

    @property
    def _busy(self) -> bool:
        return self._current is not None or self._delivering

    def hurry(self) -> None:
        """Run every collector now, whatever its interval."""
        with self._condition:
            for job in self._jobs:
                job.due = self._monotonic()
            heapq.heapify(self._jobs)
            self._condition.notify_all()

    def overdue(self) -> Collector | None:
        """Leave a run behind that takes too long, and return whose it was.

        Each such run is returned once. With as many left behind as may be, the lane waits for it, and leaves it
        behind as soon as another has come back.
        """
        with self._condition:
            if self._current is None:
                return None
            job, started = self._current
            if self._monotonic() - started <= job.collector.timeout_seconds:
                return None
            told, job.told = job.told, True
            free = self._left_behind < _LEFT_BEHIND_AT_MOST
            if free:
                job.left_behind = True
                self._left_behind += 1
                self._generation += 1
                self._current = None
        if free:
            self.start()
        return None if told else job.collector

    def step(self, generation: int = 0) -> float | None:
        """Run what is due, and return in how many seconds the next is (``None``: nothing is scheduled)."""
        while True:
            with self._condition:
                if self._stopping or generation != self._generation:
                    return None
                now = self._monotonic()
                if not self._jobs:
                    return None
                if self._jobs[0].due > now + _SLACK_SECONDS:
                    return self._jobs[0].due - now
                job = heapq.heappop(self._jobs)
                job.told, job.running = False, True
                self._current = (job, now)
            outcome = self._run(job.collector)
            in_time = self._back(job, generation, outcome)
            if in_time:
                try:
                    self._deliver(outcome)
                finally:
                    with self._condition:
                        self._delivering = False
                        self._condition.notify_all()

    def _back(self, job: _Job, generation: int, outcome: Outcome) -> bool:
        with self._condition:
            if job.left_behind:
                job.left_behind = False
                self._left_behind -= 1
            spread = 0.0 if job.collector.fast else JITTER_RATIO * (2 * self._random() - 1)
            pause = job.interval * self.patience * (1 + spread)
            if outcome.output is not None and outcome.output.more:
                pause = min(pause, 2 * _SLACK_SECONDS)
            if outcome.nothing:
                pause = max(pause, _NOTHING_SECONDS)
            pause = max(pause, rest(outcome.cpu_seconds, job.interval, fast=job.collector.fast))
            job.due = self._monotonic() + pause
            job.running = False
            if job.wanted:
                heapq.heappush(self._jobs, job)
            self._condition.notify_all()
            if generation != self._generation:
                return False
            self._current = None
            self._delivering = True
            return True

    def _work(self, generation: int) -> None:
        while True:
            wait = self.step(generation)
            with self._condition:
                if self._stopping or generation != self._generation:
                    return
                if self._jobs:  # may have been hurried since
                    wait = self._jobs[0].due - self._monotonic()
                if wait is None or wait > 0:
                    self._condition.wait(wait)
