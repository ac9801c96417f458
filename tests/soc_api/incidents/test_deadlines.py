"""The law's clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from soc_api.incidents.deadlines import clocks, deadlines

DETECTED = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)


def test_every_deadline_names_its_act_and_the_day_it_came_into_force() -> None:
    assert deadlines()
    for deadline in deadlines():
        assert deadline.hours > 0
        assert "Art." in deadline.source
        assert deadline.in_force.year >= 2026


def test_a_clock_is_overdue_only_after_its_last_moment() -> None:
    day = timedelta(hours=24)
    assert not any(clock.overdue for clock in clocks(DETECTED, None, DETECTED + day))
    late = clocks(DETECTED, None, DETECTED + day + timedelta(seconds=1))
    assert [clock.key for clock in late if clock.overdue] == ["initial_notice"]


def test_clocks_come_with_the_nearest_first_and_count_from_detection() -> None:
    found = clocks(DETECTED, None, DETECTED)
    assert [clock.due_at for clock in found] == sorted(clock.due_at for clock in found)
    assert found[0].due_at == DETECTED + timedelta(hours=24)


def test_a_resolved_incident_is_not_overdue() -> None:
    assert not any(clock.overdue for clock in clocks(DETECTED, DETECTED, DETECTED + timedelta(days=30)))


def test_an_incident_from_before_an_act_is_not_held_to_it() -> None:
    before = datetime(2026, 6, 30, 12, tzinfo=UTC)
    assert [clock.key for clock in clocks(before, None, before)] == ["personal_data"]
    assert clocks(datetime(2025, 1, 1, tzinfo=UTC), None, before) == []
