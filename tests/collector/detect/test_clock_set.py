"""A collector whose clock is set by a day: nobody is called silent for it, and who is silent is told all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.collector.pipeline import Pipeline

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400.0


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_set_by_a_day_makes_nobody_silent(tmp_path: Path, jump: float) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.heartbeat()
    pipeline.work()
    pipeline.turn()

    pipeline.clock.seconds += jump
    pipeline.set_by += jump
    for _ in range(5):
        pipeline.turn()
        pipeline.clock.seconds += 300
        pipeline.heartbeat()
        pipeline.work()
    pipeline.turn()

    assert pipeline.store.of("silence") == []


def test_who_is_silent_after_the_clock_was_set_forward_is_told_once_agents_had_time(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.heartbeat()
    pipeline.work()
    pipeline.turn()
    pipeline.clock.seconds += DAY
    pipeline.set_by += DAY
    pipeline.turn()
    assert pipeline.store.of("silence") == []

    pipeline.clock.seconds += 901
    pipeline.turn()

    assert [each["silence"]["seconds"] for each in pipeline.store.of("silence")] == [86_400]


@pytest.mark.parametrize("spoke", [True, False])
def test_who_falls_silent_after_a_clock_that_was_ahead_was_set_back_is_told(
    tmp_path: Path, spoke: bool
) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.clock.seconds += DAY
    pipeline.set_by += DAY
    pipeline.turn()
    pipeline.heartbeat()
    pipeline.work()
    pipeline.clock.seconds -= DAY
    pipeline.set_by -= DAY
    if spoke:
        pipeline.heartbeat()
        pipeline.work()
    pipeline.turn()

    pipeline.clock.seconds += 3_700
    pipeline.turn()

    assert [each["silence"]["seconds"] for each in pipeline.store.of("silence")] == [3_600]
