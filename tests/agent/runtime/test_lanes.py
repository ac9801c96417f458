from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.collectors.registry import (
    Collector,
    Context,
    DuplicateCollectorError,
    NothingToReport,
    Output,
    collector,
)
from agent.runtime.lanes import JITTER_RATIO, Lane, Outcome, execute
from agent.runtime.log import Log
from agent.runtime.runner import Runner
from agent.settings import CollectorSettings
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

NO_HOST = Path("/nonexistent")


def make(
    name: str, collect: Callable[[Context], Output], interval: float = 60.0, timeout: float = 5.0
) -> Collector:
    return Collector(
        name=name,
        interval_seconds=interval,
        timeout_seconds=timeout,
        platforms=frozenset({"linux"}),
        privileges="none",
        description="",
        module=__name__,
        collect=collect,
    )


def context() -> Context:
    return Context(
        root=NO_HOST, proc=NO_HOST, sys=NO_HOST, now=lambda: 1.0, settings=CollectorSettings(), state={}
    )


class Bench:
    """One lane whose clock moves only when told; collectors run in the test's own thread."""

    def __init__(self, *collectors: Collector, luck: float = 0.5) -> None:
        self.clock = 0.0
        self.spent = 0.0
        self.ran: list[tuple[float, str]] = []
        self.outcomes: list[Outcome] = []
        self.lane = Lane(
            "test",
            [(c, c.interval_seconds) for c in collectors],
            run=self.run,
            deliver=self.outcomes.append,
            monotonic=lambda: self.clock,
            random=lambda: luck,
        )

    def run(self, chosen: Collector) -> Outcome:
        self.ran.append((self.clock, chosen.name))
        return execute(chosen, context(), {}, lambda: self.clock, lambda: self.spent)

    def advance(self, seconds: float) -> None:
        end = self.clock + seconds
        while True:
            wait = self.lane.step()
            assert wait is not None
            if self.clock + wait > end:
                self.clock = end
                return
            self.clock += wait


def fine(_: Context) -> Output:
    return Output()


def test_collectors_run_at_once_and_then_each_at_its_interval() -> None:
    bench = Bench(make("a", fine, 60), make("b", fine, 100))
    bench.advance(200)
    assert bench.ran == [(0, "a"), (0, "b"), (60, "a"), (100, "b"), (120, "a"), (180, "a"), (200, "b")]


@pytest.mark.parametrize("luck", [0.0, 0.999])
def test_slow_collectors_are_spread_and_fast_ones_are_not(luck: float) -> None:
    bench = Bench(make("slow", fine, 600), make("fast", fine, 2), luck=luck)
    bench.advance(661)
    slow = [at for at, name in bench.ran if name == "slow"]
    assert abs(slow[1] - 600) == pytest.approx(600 * JITTER_RATIO, rel=0.01)
    assert [at for at, name in bench.ran if name == "fast"][:3] == [0, 2, 4]


@pytest.mark.parametrize(("interval", "rests"), [(2.0, 4), (60.0, 49)])
def test_a_collector_that_has_more_runs_again_soon_but_keeps_its_budget(interval: float, rests: int) -> None:
    left = [0.5, 0.01, 0.0]  # what each run takes; nothing is left after the last

    def collect(_: Context) -> Output:
        bench.spent += left.pop(0)
        return Output(more=bool(left))

    bench = Bench(make("tail", collect, interval=interval))
    waits = []
    for _ in range(3):
        wait = bench.lane.step()
        assert wait is not None
        waits.append(wait)
        bench.clock += wait
    assert waits == pytest.approx([0.5 * rests, max(0.2, 0.01 * rests), interval])


def test_a_collector_that_takes_too_much_of_the_processor_is_asked_less_often() -> None:
    def collect(_: Context) -> Output:
        bench.spent += 1.5 if bench.clock < 100 else 0.1
        return Output()

    bench = Bench(make("costly", collect, 60), make("cheap", fine, 60))
    bench.advance(260)
    assert [at for at, name in bench.ran if name == "costly"] == pytest.approx([0, 73.5, 147, 207])
    assert [at for at, name in bench.ran if name == "cheap"] == pytest.approx([0, 60, 120, 180, 240])


def test_a_collector_that_raises_stops_nobody() -> None:
    def broken(_: Context) -> Output:
        raise ValueError("bad line")

    bench = Bench(make("broken", broken), make("fine", fine))
    bench.advance(60)
    assert [(o.collector.name, o.failure) for o in bench.outcomes[:2]] == [
        ("broken", "ValueError: bad line"),
        ("fine", ""),
    ]
    assert len(bench.outcomes) == 4


def test_nothing_to_report_is_not_a_failure() -> None:
    def none_here(_: Context) -> Output:
        raise NothingToReport("no journald")

    outcome = execute(make("journal", none_here), context(), {}, lambda: 0.0)
    assert (outcome.failure, outcome.nothing, outcome.output) == ("", "no journald", None)


def test_a_collector_that_hands_back_rubbish_has_failed() -> None:
    def rubbish(_: Context) -> Output:
        return []  # type: ignore[return-value] # what the test is about

    outcome = execute(make("rubbish", rubbish), context(), {}, lambda: 0.0)
    assert outcome.failure == "it handed back a list"
    assert outcome.output is None


def test_a_run_that_never_ends_is_left_behind_and_the_others_go_on() -> None:
    """Real threads here: one that hangs until the test lets it go."""
    hanging, release = threading.Event(), threading.Event()
    delivered: list[str] = []
    others = threading.Semaphore(0)
    clock = [0.0]

    def hang(_: Context) -> Output:
        hanging.set()
        release.wait(20)
        return Output()

    def deliver(outcome: Outcome) -> None:
        delivered.append(outcome.collector.name)
        others.release()

    lane = Lane(
        "test",
        [(make("hang", hang, timeout=5.0), 60.0), (make("other", fine), 60.0)],
        run=lambda chosen: execute(chosen, context(), {}, lambda: clock[0]),
        deliver=deliver,
        monotonic=lambda: clock[0],
        random=lambda: 0.5,
    )
    lane.start()
    assert hanging.wait(20)
    assert lane.overdue() is None
    clock[0] = 5.5
    overdue = lane.overdue()
    assert overdue is not None
    assert overdue.name == "hang"
    assert others.acquire(timeout=20)
    assert lane.overdue() is None
    release.set()
    lane.stop(20)
    assert delivered == ["other"]


def test_a_hang_that_no_thread_is_left_for_is_told_once_and_left_behind_when_another_comes_back() -> None:
    """Real threads here: six that hang until the test lets each go."""
    names = [f"hang{number}" for number in range(1, 7)]
    hanging = {name: threading.Event() for name in names}
    release = {name: threading.Event() for name in names}
    clock = [0.0]

    def hang(name: str) -> Callable[[Context], Output]:
        def collect(_: Context) -> Output:
            hanging[name].set()
            release[name].wait(20)
            return Output()

        return collect

    lane = Lane(
        "test",
        [(make(name, hang(name), timeout=5.0), 600.0) for name in names],
        run=lambda chosen: execute(chosen, context(), {}, lambda: clock[0]),
        deliver=lambda _: None,
        monotonic=lambda: clock[0],
        random=lambda: 0.5,
    )
    lane.start()
    told = []
    for name in names[:5]:
        assert hanging[name].wait(20)
        clock[0] += 5.5
        overdue = lane.overdue()
        told.append(overdue.name if overdue else None)
    assert told == names[:5]
    assert lane.overdue() is None
    assert not hanging["hang6"].is_set()
    release["hang1"].set()
    wait_until(
        lambda: lane.overdue() is None and hanging["hang6"].is_set(), seconds=20, what="the lane to go on"
    )
    for each in release.values():
        each.set()
    lane.stop(20)


def test_hurry_runs_everything_now() -> None:
    bench = Bench(make("a", fine, 3600))
    bench.advance(10)
    bench.lane.hurry()
    bench.advance(1)
    assert bench.ran == [(0, "a"), (10, "a")]


def test_an_error_of_ours_while_taking_an_outcome_does_not_end_the_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def explode(_runner: Runner, _outcome: Outcome) -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(Runner, "_take", explode)
    runner = object.__new__(Runner)
    text = io.StringIO()
    runner._log = Log(text)
    runner.deliver(Outcome(collector=make("host", lambda _: Output()), duration_seconds=0.0))
    assert "a bug of ours" in text.getvalue()


def test_a_stopped_lane_runs_nothing() -> None:
    bench = Bench(make("a", fine))
    bench.lane.stop(0.0)
    assert bench.lane.step() is None
    assert bench.ran == []


def test_a_name_taken_twice_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.collectors.registry._registered", {})
    register = collector(
        "twice", interval_seconds=1, platforms={"linux"}, privileges="none", description="for the test"
    )
    assert register(fine) is fine
    with pytest.raises(DuplicateCollectorError, match="'twice' is registered twice"):
        register(fine)


def test_a_collector_that_finds_nothing_of_its_kind_is_asked_less_often() -> None:
    def none(_: Context) -> Output:
        raise NothingToReport("no journal")

    bench = Bench(make("journal", none, 2), make("fine", fine, 2))
    bench.advance(20)
    assert [at for at, name in bench.ran if name == "journal"] == [0, 10, 20]
    assert len([at for at, name in bench.ran if name == "fine"]) == 11


def test_no_rest_is_longer_than_fifteen_intervals() -> None:
    def collect(_: Context) -> Output:
        bench.spent += 1000.0
        return Output()

    bench = Bench(make("hog", collect, 2))
    bench.advance(65)
    assert [at for at, _ in bench.ran] == [0, 30, 60]


def test_a_lane_that_is_patient_runs_its_collectors_less_often() -> None:
    bench = Bench(make("a", fine, 60))
    bench.lane.patience = 2.0
    bench.advance(200)
    bench.lane.patience = 1.0
    bench.advance(200)
    assert [at for at, _ in bench.ran] == [0, 120, 240, 300, 360]
