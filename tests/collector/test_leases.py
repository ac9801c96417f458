"""Leases: who holds what, by renewals that everybody counts on a clock of his own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from collector.leases import DEAD_SECONDS, RENEW_SECONDS, LeaseLostError, Leases
from collector.state.tables import Lease
from tests.collector.pipeline import NOW
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")

NAMES = [f"partition/{number:02}" for number in range(8)]


class Member:
    """A process with clocks of its own."""

    def __init__(self, state: StateStore, name: str, began: float = 0.0) -> None:
        self.state, self.monotonic, self.wall = state, began, NOW
        self.leases = Leases(
            state, name, NAMES, group="detect", now=lambda: self.wall, monotonic=lambda: self.monotonic
        )

    def turn(self, seconds: float = RENEW_SECONDS) -> Member:
        self.monotonic += seconds
        self.leases.tick()
        return self

    @property
    def held(self) -> set[str]:
        return set(self.leases.epochs)

    def may_write(self) -> bool:
        with self.state.write() as session:
            try:
                self.leases.check(session, NAMES)
            except LeaseLostError:
                return False
        return True


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    return new_state(tmp_path)


def turn_all(*members: Member, times: int = 1) -> None:
    for _ in range(times):
        for member in members:
            member.turn()


def test_one_holds_everything_at_once_and_more_of_them_share_evenly(state: StateStore) -> None:
    one, two, three = (Member(state, name, began) for name, began in (("a", 5.0), ("b", 9e6), ("c", 0.0)))
    one.turn()
    assert one.held == set(NAMES)
    turn_all(one, two, times=2)
    assert (len(one.held), len(two.held)) == (4, 4)
    turn_all(one, two, three, times=3)
    assert sorted(len(each.held) for each in (one, two, three)) == [2, 3, 3]
    assert one.held | two.held | three.held == set(NAMES)


def test_what_a_dead_one_held_is_free_after_a_while_and_not_before(state: StateStore) -> None:
    one, two = Member(state, "a"), Member(state, "b")
    turn_all(one, two, times=3)
    passed = 0.0
    while len(two.held) < 8:
        two.turn()
        passed += RENEW_SECONDS
        assert passed < 15
    assert passed >= DEAD_SECONDS - RENEW_SECONDS


def test_a_wall_clock_that_jumps_moves_nothing(state: StateStore) -> None:
    one, two = Member(state, "a"), Member(state, "b")
    turn_all(one, two, times=3)
    held = one.held, two.held
    for jump in (timedelta(days=1), timedelta(days=-2), timedelta(days=1)):
        one.wall += jump
        two.wall -= jump
        turn_all(one, two, times=2)
    assert (one.held, two.held) == held


def test_who_was_paused_takes_nothing_from_those_who_were_not_and_may_not_write_what_it_lost(
    state: StateStore,
) -> None:
    one, two = Member(state, "a"), Member(state, "b")
    turn_all(one, two, times=3)
    for _ in range(20):
        two.turn()
    assert len(two.held) == 8
    assert not one.may_write()
    one.turn(20 * RENEW_SECONDS)
    assert one.held <= set(NAMES)
    assert one.held.isdisjoint(two.held)
    turn_all(two, one, times=2)
    assert (len(one.held), len(two.held)) == (4, 4)


def test_while_the_store_was_away_for_all_nobody_loses_anything(state: StateStore) -> None:
    one, two = Member(state, "a"), Member(state, "b")
    turn_all(one, two, times=3)
    held = one.held
    two.turn(600)  # the first to come back sees leases that nobody renewed for ten minutes
    two.turn()
    one.turn(600)
    assert one.held == held


def test_a_restarted_process_has_its_own_again_at_once_under_a_new_epoch(state: StateStore) -> None:
    one = Member(state, "a").turn()
    again = Member(state, "a").turn()
    assert again.held == set(NAMES)
    assert all(again.leases.epochs[name] > one.leases.epochs[name] for name in NAMES)
    assert not one.may_write()
    assert again.may_write()


def test_what_is_given_back_is_taken_at_once(state: StateStore) -> None:
    one, two = Member(state, "a"), Member(state, "b")
    turn_all(one, two, times=3)
    one.leases.release()
    assert two.turn().held == set(NAMES)
    assert not one.may_write()


def test_an_epoch_is_never_given_twice_not_even_after_the_store_was_brought_back(state: StateStore) -> None:
    one = Member(state, "a").turn()
    known = max(one.leases.epochs.values())
    with state.write() as session:
        for row in session.scalars(select(Lease)):
            session.delete(row)
    later = Member(state, "b")
    later.wall += timedelta(seconds=1)
    assert min(later.turn().leases.epochs.values()) > known


def test_in_the_middle_of_a_step_leases_are_kept_and_none_is_taken(state: StateStore) -> None:
    one, two = Member(state, "a"), Member(state, "b")
    one.turn()
    two.turn()
    for _ in range(20):
        one.monotonic += RENEW_SECONDS
        one.leases.keep()
        two.turn()
    assert (len(one.held), len(two.held)) == (8, 0)


def test_members_that_are_long_gone_are_forgotten(state: StateStore) -> None:
    Member(state, "gone").turn()
    one = Member(state, "a")
    one.wall += timedelta(days=30)
    for _ in range(12):
        one.turn()
    assert one.held == set(NAMES)
    with state.read() as session:
        names = session.scalars(select(Lease.name).where(Lease.name.startswith("member/"))).all()
    assert names == ["member/detect/a"]
