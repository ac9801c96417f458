"""New settings take hold while the agent runs, and ``status`` tells of them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from agent import reasons
from agent.collectors.registry import Collector, Output
from agent.messages import StatusDocument
from agent.runtime.diagnosis import diagnose, render
from agent.runtime.lanes import Lane, Outcome
from agent.runtime.log import Log
from agent.runtime.runner import Runner
from agent.runtime.status import SettingsState, Status, write_status
from agent.settings import CollectorSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.collectors.registry import Context
    from agent.settings import StateDirectory


def collected(name: str, interval: float = 60.0) -> Collector:
    def collect(_: Context) -> Output:
        return Output(documents=[StatusDocument(kind=name, observed_at=time.time(), body={"name": name})])

    return Collector(name, interval, 5.0, frozenset({"linux"}), "none", "", __name__, collect)


class Bench:
    """A lane whose clock moves when told."""

    def __init__(self, *plan: tuple[Collector, float]) -> None:
        self.clock = 0.0
        self.ran: list[tuple[float, str]] = []
        self.during: Callable[[], None] = lambda: None
        self.lane = Lane(
            "test",
            list(plan),
            run=self._run,
            deliver=lambda _: None,
            monotonic=lambda: self.clock,
            random=lambda: 0.5,
        )

    def _run(self, collector: Collector) -> Outcome:
        self.ran.append((self.clock, collector.name))
        self.during()
        return Outcome(collector, 0.0, output=Output())

    def until(self, end: float) -> list[tuple[float, str]]:
        """What ran up to ``end``."""
        self.ran = []
        while (wait := self.lane.step()) is not None and self.clock + wait <= end:
            self.clock += wait
        self.clock = end
        return self.ran


def test_a_new_interval_holds_from_now_on() -> None:
    slow = collected("slow")
    bench = Bench((slow, 60))
    assert bench.until(10) == [(0, "slow")]
    bench.lane.plan([(slow, 20)])
    assert bench.until(55) == [(30, "slow"), (50, "slow")]
    bench.lane.plan([(slow, 600)])
    assert bench.until(1000) == [(70, "slow"), (670, "slow")]


def test_what_is_not_wanted_runs_no_more_and_what_is_new_runs_at_once() -> None:
    one, two = collected("one"), collected("two")
    bench = Bench((one, 60))
    bench.until(10)
    bench.lane.plan([(two, 60)])
    assert bench.until(100) == [(10, "two"), (70, "two")]
    bench.lane.plan([])
    assert bench.until(1000) == []
    bench.lane.plan([(one, 60), (two, 60)])
    assert bench.until(1001) == [(1000, "one"), (1000, "two")]


@pytest.mark.parametrize("again", [False, True])
def test_a_collector_that_runs_while_it_is_taken_off_is_not_scheduled_twice(*, again: bool) -> None:
    one = collected("one")
    bench = Bench((one, 60))

    def replan() -> None:
        bench.lane.plan([])
        if again:
            bench.lane.plan([(one, 30)])

    bench.during = replan
    bench.until(1)
    bench.during = lambda: None
    assert bench.until(65) == ([(30, "one"), (60, "one")] if again else [])


def test_the_documents_of_a_collector_that_is_switched_off_are_said_to_be_gone(
    enrolled: StateDirectory,
) -> None:
    one, two = collected("one"), collected("two")
    runner = Runner(Settings(), enrolled, [one, two], Log())
    for each in (one, two):
        runner.deliver(runner.execute(each))
    runner.flush()
    late = runner.execute(two)
    runner.use(Settings(collectors=CollectorSettings(disabled=("two",))))
    assert [c.name for c in runner.collectors] == ["one"]
    assert set(runner.status.collectors) == {"one"}
    runner.deliver(late)
    runner.flush()
    assert not any("two" in key for key in runner.spool.saved.digests)
    assert any("one" in key for key in runner.spool.saved.digests)
    for end in (runner._wake._read, runner._wake._write):
        end.close()


def test_status_says_of_a_collector_that_its_document_is_too_large(enrolled: StateDirectory) -> None:
    bodies = [os.urandom(3 << 20).hex(), "small"]

    def collect(_: Context) -> Output:
        return Output(documents=[StatusDocument("one", time.time(), {"noise": bodies[0]})])

    one = Collector("one", 60.0, 5.0, frozenset({"linux"}), "none", "", __name__, collect)
    runner = Runner(Settings(), enrolled, [one], Log())
    said = []
    for _ in range(2):
        runner.deliver(runner.execute(one))
        runner.flush()
        said.append((runner.status.collectors["one"].ok, runner.status.collectors["one"].reason))
        del bodies[0]
    assert said == [(False, reasons.DOCUMENT_TOO_LARGE(document="one", limit=1024)), (True, "")]
    for end in (runner._wake._read, runner._wake._write):
        end.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (SettingsState(), {"vi": "của riêng máy này", "en": "this machine's own"}),
        (SettingsState(7, "trying"), {"vi": "số 7 từ trung tâm, đang thử", "en": "7 of the data centre, on"}),
        (SettingsState(7, "in_force"), {"vi": "số 7 từ trung tâm", "en": "number 7 of the data centre"}),
    ],
)
def test_status_says_which_settings_are_in_force(
    enrolled: StateDirectory, settings: SettingsState, said: dict[str, str]
) -> None:
    write_status(enrolled.status, Status(version="1", pid=1, started_at=1.0, settings=settings))
    for lang in ("vi", "en"):
        assert said[lang] in render(diagnose(enrolled, lang), lang)


def test_status_says_in_both_languages_that_settings_were_taken_back(enrolled: StateDirectory) -> None:
    state = SettingsState(6, "in_force", 7, "rolled_back", reasons.SETTINGS_NO_ANSWER(seconds=600), 1.8e9)
    write_status(enrolled.status, Status(version="1", pid=1, started_at=1.0, settings=state))
    found = {lang: diagnose(enrolled, lang) for lang in ("vi", "en")}
    assert [problem.code for problem in found["vi"].problems] == ["not_running", "settings_rolled_back"]
    assert "Cấu hình số 7" in render(found["vi"], "vi")
    assert "không nhận được trả lời của máy chủ trong 600 giây" in render(found["vi"], "vi")
    assert "no answer of the collector came within 600 seconds" in render(found["en"], "en")


def test_a_status_of_an_agent_before_this_one_is_read(enrolled: StateDirectory) -> None:
    said = msgspec.to_builtins(Status(version="0.1", pid=1, started_at=1.0))
    del said["settings"]
    enrolled.status.write_bytes(msgspec.json.encode(said))
    assert "this machine's own" in render(diagnose(enrolled, "en"), "en")
