"""Rollouts: from ring to ring by time and health, halted by failures and by silence beyond the usual."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collector.steering.releases.rollout import (
    HALTED,
    RUNNING,
    Course,
    Machine,
    Pace,
    count,
    is_due,
    judge,
    unsupported,
)
from collector.steering.releases.standing import told_of

T0 = 1_800_000_000.0
HOUR = 3600.0
NEW = "0.3.0"
PACE = Pace(wait_seconds=24 * HOUR, spread_seconds=4 * HOUR, silent_seconds=2 * HOUR)
COURSE = Course(NEW, RUNNING, 0, T0, PACE)


def fleet(ring: int, size: int, **values: Any) -> list[Machine]:
    common: dict[str, Any] = {"version": "0.2.0", "last_seen": T0 + 30 * HOUR, **values}
    common["told"] = told_of({"update": common.pop("update", {})})
    return [Machine(f"{ring}-{number}-{common['version']}", ring, **common) for number in range(size)]


def rolled_back(code: str = "silent") -> dict[str, Any]:
    return {"last": {"version": NEW, "state": "rolled_back", "code": code, "detail": "no word"}}


def test_in_a_ring_machines_are_told_spread_over_time_and_each_at_its_own_moment() -> None:
    machines = fleet(0, 400)
    told = [sum(is_due(COURSE, each, T0 + hours * HOUR) for each in machines) for hours in (0, 1, 2, 4)]
    assert told[0] <= 1
    assert told[3] == 400
    assert 60 < told[1] < 140
    assert 150 < told[2] < 250
    early = {each.endpoint_id for each in machines if is_due(COURSE, each, T0 + HOUR)}
    assert early <= {each.endpoint_id for each in machines if is_due(COURSE, each, T0 + 2 * HOUR)}


def test_later_rings_and_rollouts_that_stand_still_are_not_told() -> None:
    late = T0 + 5 * HOUR
    assert not any(is_due(COURSE, each, late) for each in fleet(1, 10))
    assert not any(is_due(replace(COURSE, state=HALTED), each, late) for each in fleet(0, 10))
    assert all(is_due(replace(COURSE, ring=1), each, T0) for each in fleet(0, 10))


def test_the_next_ring_follows_when_time_and_share_are_reached() -> None:
    now = T0 + 30 * HOUR
    healthy, others = fleet(0, 9, version=NEW), fleet(2, 50)
    lagging = fleet(0, 1)
    assert judge(COURSE, [*healthy, *lagging, *others], T0 + 23 * HOUR).action == "stay"
    decided = judge(COURSE, [*healthy, *lagging, *others], now)
    assert (decided.action, decided.ring) == ("advance", 2)
    assert judge(COURSE, [*healthy, *fleet(0, 2), *others], now).action == "stay"


def test_machines_that_were_not_heard_do_not_hold_the_ring_and_are_no_proof_either() -> None:
    now = T0 + 30 * HOUR
    away = fleet(0, 50, last_seen=T0 - 100 * HOUR)
    assert judge(COURSE, [*fleet(0, 9, version=NEW), *away, *fleet(1, 5)], now).action == "advance"
    assert judge(COURSE, [*away, *fleet(1, 5)], now).action == "stay"


def test_after_the_last_ring_it_is_finished() -> None:
    assert judge(COURSE, fleet(0, 5, version=NEW), T0 + 30 * HOUR).action == "finish"


def test_an_empty_ring_is_passed_at_once() -> None:
    decided = judge(COURSE, fleet(1, 5), T0 + 1)
    assert (decided.action, decided.ring) == ("advance", 1)


def test_failures_above_the_limit_halt_it_at_once() -> None:
    now = T0 + 5 * HOUR
    good = fleet(0, 96, version=NEW, last_seen=now)
    failed = fleet(0, 6, update=rolled_back(), last_seen=now)
    decided = judge(COURSE, [*good, *failed, *fleet(1, 100, last_seen=now)], now)
    assert (decided.action, decided.why, decided.numbers["failed"]) == ("halt", "failed", 6)
    assert judge(COURSE, [*good, *failed[:4], *fleet(1, 100, last_seen=now)], now).action == "stay"


def test_a_failure_in_an_earlier_ring_halts_it_too() -> None:
    now = T0 + HOUR
    course = replace(COURSE, ring=1)
    machines = [*fleet(0, 5, update=rolled_back(), last_seen=now), *fleet(1, 100, last_seen=now)]
    assert judge(course, machines, now).numbers["ring"] == 0


@pytest.mark.parametrize("code", ["disk", "interrupted", "busy"])
def test_what_passes_by_itself_is_no_failure(code: str) -> None:
    update = {"last": {"version": NEW, "state": "refused", "code": code}}
    assert Machine("a", 0, "0.2.0", T0, told_of({"update": update})).trouble(NEW) == ("", "")


@pytest.mark.parametrize("code", ["disk", "interrupted", "busy"])
def test_what_passes_by_itself_is_no_failure_where_the_agent_says_it_too(code: str) -> None:
    """As an agent tells what root did not take: both as how the last attempt ended and as what it waits for."""
    update = {
        "wanted": NEW,
        "state": "refused",
        "code": code,
        "last": {"version": NEW, "state": "refused", "code": code},
    }
    assert Machine("a", 0, "0.2.0", T0, told_of({"update": update})).trouble(NEW) == ("", "")


def test_a_machine_that_missed_the_collector_counts_only_when_it_has_given_up() -> None:
    now = T0 + 5 * HOUR
    good = fleet(0, 20, version=NEW, last_seen=now)
    waiting = {**rolled_back("unreachable"), "wanted": NEW, "state": "waiting", "code": "unreachable"}
    trying = fleet(0, 10, update=waiting, last_seen=now)
    each = count(COURSE, 0, [*good, *trying], now)
    assert (each.failed, each.healthy) == (0, 20)
    assert all(machine.has_taken(NEW) for machine in trying)
    gone = {**rolled_back("unreachable"), "wanted": NEW, "state": "refused", "code": "failed_before"}
    given_up = fleet(0, 10, update=gone, last_seen=now)
    assert given_up[0].trouble(NEW) == ("unreachable", "no word")
    assert judge(COURSE, [*good, *given_up], now).why == "failed"


@pytest.mark.parametrize(
    "update",
    [3, [], {"last": 3}, {"last": {"version": NEW}}, {"wanted": [NEW], "state": {}}, {"starts": True}],
)
def test_what_a_hostile_document_says_is_no_trouble(update: object) -> None:
    for version in ("0.2.0", NEW):
        assert Machine("a", 0, version, T0, told_of({"update": update})).trouble(NEW) == ("", "")


def test_a_hostile_reason_is_cut_or_left_out() -> None:
    last = {"version": NEW, "state": "refused", "code": [], "detail": "x" * 10_000}
    machine = Machine("a", 0, "0.2.0", T0, told_of({"update": {"last": last}}))
    assert machine.trouble(NEW) == ("refused", "x" * 300)


def test_a_release_that_comes_up_again_and_again_has_failed() -> None:
    now = T0 + 30 * HOUR
    good = fleet(0, 20, version=NEW, update={"starts": 9})
    assert judge(COURSE, [*good, *fleet(1, 5)], now).action == "advance"
    restarting = fleet(0, 2, version=NEW, update={"starts": 10})
    each = count(COURSE, 0, [*good, *restarting], now)
    assert (each.healthy, each.failed) == (20, 2)
    assert judge(COURSE, [*good, *restarting, *fleet(1, 5)], now).why == "failed"


def test_machines_that_fall_silent_with_the_release_halt_it() -> None:
    now = T0 + 10 * HOUR
    quiet = fleet(0, 10, version=NEW, last_seen=now - 3 * HOUR)
    rest = fleet(0, 40, version=NEW, last_seen=now)
    decided = judge(COURSE, [*quiet, *rest, *fleet(1, 100, last_seen=now)], now)
    assert (decided.action, decided.why) == ("halt", "silent")


def test_in_the_evening_when_all_fall_silent_nothing_is_halted() -> None:
    now = T0 + 14 * HOUR
    evening = now - 4 * HOUR
    machines = [*fleet(0, 50, version=NEW, last_seen=evening), *fleet(1, 500, last_seen=evening)]
    assert judge(COURSE, machines, now).action == "stay"
    assert count(COURSE, 0, machines, now).silent == 0


def test_a_version_older_than_the_newest_three_lines_is_not_supported() -> None:
    known = ["0.4.1", "0.4.0", "0.3.2", "0.2.0", "0.1.0"]
    assert [unsupported(each, known) for each in ("0.4.0", "0.3.0", "0.2.9", "0.1.9", "")] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert not unsupported("0.1.0", ["0.2.0", "0.1.0"])


@pytest.mark.parametrize(
    "wrong",
    [{"spread_seconds": 90_000.0}, {"silent_seconds": 1.0}, {"healthy_ratio": 0.0}, {"failure_ratio": 1.0}],
)
def test_a_pace_that_makes_no_sense_is_said_to_make_none(wrong: dict[str, float]) -> None:
    assert Pace().fault() == ""
    assert Pace(**wrong).fault() != ""
