"""Figures of rules: summed over runs, judged by the last hour, and written without losing any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.rulebook.models import TextFault
from collector.rulebook.statistics import (
    Figures,
    Judge,
    Turn,
    change_everywhere,
    mark_applied,
    write_worker_figures,
)
from collector.settings import Detect
from collector.state.tables import Lease, RuleChange, RuleFigures
from rules.engine.statistics import RuleStatistics
from tests.collector.pipeline import NOW, T0
from tests.collector.rulebook.conftest import FAILED_ID, RULE_ID

if TYPE_CHECKING:
    from tests.collector.rulebook.conftest import Shelf

pytestmark = pytest.mark.usefixtures("on_both_databases")


def counts(offered: int = 0, matches: int = 0, throttled: int = 0, seconds: float = 0.0) -> RuleStatistics:
    return RuleStatistics(offered, matches, matches, throttled, seconds, T0 if matches else None)


class Keeper:
    """Figures of one worker and the judge over a store, and what they told."""

    def __init__(self, shelf: Shelf, **settings: float) -> None:
        self.shelf = shelf
        self.figures = Figures()
        self.figures.begin({})
        self.judge = Judge(Detect(**settings))  # type: ignore[arg-type] # as given
        with shelf.state.read() as session:
            self.judge.begin(session)
        self.told: list[Turn] = []

    def pass_on(self, now: float, counted: RuleStatistics, rule_id: str = RULE_ID) -> None:
        self.figures.take({rule_id: counted})
        with self.shelf.state.write() as session:
            self.figures.write(session, now)
        self.figures.written()
        self.look(now)

    def look(self, now: float, refused: dict[str, TextFault] | None = None) -> None:
        with self.shelf.state.read() as session:
            self.told += self.judge.look(session, self.shelf.book(), now)
        with self.shelf.state.write() as session:
            self.judge.write(session, refused or {}, now)
        self.judge.written()

    def row(self, rule_id: str = RULE_ID) -> RuleFigures:
        with self.shelf.state.read() as session:
            return session.get_one(RuleFigures, rule_id)


def test_what_was_counted_is_added_once_also_where_a_writing_failed(shelf: Shelf) -> None:
    keeper = Keeper(shelf)
    keeper.pass_on(T0, counts(10, 2))
    keeper.figures.take({RULE_ID: counts(15, 3)})  # not written: the store was busy
    keeper.pass_on(T0 + 20, counts(20, 4))
    row = keeper.row()
    assert (row.offered, row.matches, row.hour_matches) == (20, 4, 4)
    assert row.last_match_at == NOW


def test_what_several_workers_count_is_summed_and_judged_together(shelf: Shelf) -> None:
    keepers = [Keeper(shelf, noisy_rule_findings=10) for _ in range(3)]
    for keeper in keepers:
        keeper.figures.take({RULE_ID: counts(10, 4)})
        with shelf.state.write() as session:
            keeper.figures.write(session, T0)
    keepers[0].look(T0)
    assert [turn.state for turn in keepers[0].told] == ["noisy"]
    assert (keepers[0].row().offered, keepers[0].row().matches) == (30, 12)


def test_a_change_runs_everywhere_when_the_last_holder_of_a_partition_has_it(shelf: Shelf) -> None:
    with shelf.state.write() as session:
        assert change_everywhere(session, 7) == 0
        for name, owner in (
            ("partition/00", "one"),
            ("partition/01", "two"),
            ("partition/02", ""),
            ("x", "three"),
        ):
            session.add(Lease(name=name, owner=owner, epoch=1, renewals=1, renewed_at=NOW))
        write_worker_figures(session, "one", {"change": 9}, NOW)
        assert change_everywhere(session, 7) == 0
        write_worker_figures(session, "two", {"change": 6}, NOW)
        assert change_everywhere(session, 7) == 6
        write_worker_figures(session, "two", {"change": 8}, NOW)
        assert change_everywhere(session, 7) == 7


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
    assert len(keeper.judge._watched[RULE_ID].hour) <= 13
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
        keeper.look(T0, refused)
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
