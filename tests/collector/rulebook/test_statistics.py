"""Figures of rules: summed over runs, judged by the last hour, and written without losing any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.rulebook.models import TextFault
from collector.rulebook.statistics import Figures, Turn, mark_applied
from collector.settings import Detect
from collector.state.tables import RuleChange, RuleFigures
from rules.engine.statistics import RuleStatistics
from tests.collector.pipeline import NOW, T0
from tests.collector.rulebook.conftest import FAILED_ID, RULE_ID

if TYPE_CHECKING:
    from tests.collector.rulebook.conftest import Shelf

pytestmark = pytest.mark.usefixtures("on_both_databases")


def counts(offered: int = 0, matches: int = 0, throttled: int = 0, seconds: float = 0.0) -> RuleStatistics:
    return RuleStatistics(offered, matches, matches, throttled, seconds, T0 if matches else None)


class Keeper:
    """Figures over a store, and what they told."""

    def __init__(self, shelf: Shelf, **settings: float) -> None:
        self.shelf = shelf
        self.figures = Figures(Detect(**settings))  # type: ignore[arg-type] # as given
        with shelf.state.read() as session:
            self.figures.begin(session, {})
        self.told: list[Turn] = []

    def pass_on(self, now: float, counted: RuleStatistics, rule_id: str = RULE_ID) -> None:
        self.told += self.figures.take({rule_id: counted}, self.shelf.book(), now)
        with self.shelf.state.write() as session:
            self.figures.write(session, {}, now)
        self.figures.written()

    def row(self, rule_id: str = RULE_ID) -> RuleFigures:
        with self.shelf.state.read() as session:
            return session.get_one(RuleFigures, rule_id)


def test_what_was_counted_is_added_once_also_where_a_writing_failed(shelf: Shelf) -> None:
    keeper = Keeper(shelf)
    keeper.pass_on(T0, counts(10, 2))
    keeper.figures.take({RULE_ID: counts(15, 3)}, shelf.book(), T0 + 10)  # not written: the store was busy
    keeper.pass_on(T0 + 20, counts(20, 4))
    row = keeper.row()
    assert (row.offered, row.matches, row.hour_matches) == (20, 4, 4)
    assert row.last_match_at == NOW


def test_a_rule_that_was_changed_counts_on_from_its_sum(shelf: Shelf) -> None:
    keeper = Keeper(shelf)
    keeper.pass_on(T0, counts(10, 2))
    keeper.pass_on(T0 + 10, counts(3, 1))
    assert (keeper.row().offered, keeper.row().matches) == (13, 3)


@pytest.mark.parametrize(
    ("offered", "seconds", "state"),
    [(1000, 0.21, "slow"), (1000, 0.19, "ok"), (999, 9.0, "ok")],
)
def test_slow_is_an_average_over_enough_events(
    shelf: Shelf, offered: int, seconds: float, state: str
) -> None:
    keeper = Keeper(shelf, slow_rule_microseconds=200)
    keeper.pass_on(T0, counts(offered, 0, 0, seconds))
    assert [turn.state for turn in keeper.told] == ([state] if state != "ok" else [])
    assert keeper.row().state == state


def test_a_limit_makes_a_noisy_rule_quiet_and_it_does_not_flutter(shelf: Shelf) -> None:
    keeper = Keeper(shelf, noisy_rule_findings=10)
    keeper.pass_on(T0, counts(100, 11))
    keeper.pass_on(T0 + 10, counts(100, 11, 3))  # eight: below the limit, above its half
    keeper.pass_on(T0 + 20, counts(100, 11, 7))
    assert [(turn.before, turn.state) for turn in keeper.told] == [("ok", "noisy"), ("noisy", "ok")]


def test_a_rule_that_only_serves_correlations_is_never_noisy(shelf: Shelf) -> None:
    keeper = Keeper(shelf, noisy_rule_findings=10)
    keeper.pass_on(T0, counts(1000, 1000), FAILED_ID)
    assert keeper.told == []
    assert keeper.row(FAILED_ID).matches == 1000


def test_the_hour_is_forgotten_when_it_is_over_and_kept_in_few_parts(shelf: Shelf) -> None:
    keeper = Keeper(shelf, noisy_rule_findings=10)
    for number in range(400):
        keeper.pass_on(T0 + number * 10, counts(100 * (number + 1), number + 1))
    assert len(keeper.figures._watched[RULE_ID].hour) <= 13
    assert keeper.row().hour_matches <= 391
    keeper.pass_on(T0 + 9000, counts(40_000, 400))
    assert keeper.told[-1].state == "ok"
    assert keeper.row().hour_matches == 0


def test_a_new_run_goes_on_from_the_state_that_was_written(shelf: Shelf) -> None:
    Keeper(shelf, noisy_rule_findings=10).pass_on(T0, counts(100, 11))
    again = Keeper(shelf, noisy_rule_findings=10)
    again.pass_on(T0 + 10, counts(1, 0))
    assert [(turn.before, turn.state) for turn in again.told] == [("noisy", "ok")]
    assert again.row().matches == 11


def test_a_refusal_is_written_and_goes_when_the_rule_runs(shelf: Shelf) -> None:
    keeper = Keeper(shelf)
    for refused, expected in (
        ({RULE_ID: TextFault("no such field", 4)}, ("no such field", 4)),
        ({}, ("", None)),
    ):
        with shelf.state.write() as session:
            keeper.figures.write(session, refused, T0)
        assert (keeper.row().refused, keeper.row().refused_line) == expected


def test_every_change_up_to_the_one_seen_is_marked_and_none_beyond(shelf: Shelf) -> None:
    with shelf.state.write() as session:
        for rule_id in ("a", "b", "c"):
            session.add(RuleChange(rule_id=rule_id, what="write", made_by="lan", made_at=NOW))
    with shelf.state.write() as session:
        mark_applied(session, 2, {"b": TextFault("broken", 7)}, NOW)
    with shelf.state.read() as session:
        rows = [session.get_one(RuleChange, number) for number in (1, 2, 3)]
    assert [(row.applied_at, row.refused, row.refused_line) for row in rows] == [
        (NOW, "", None),
        (NOW, "broken", 7),
        (None, "", None),
    ]
