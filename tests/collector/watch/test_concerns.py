from __future__ import annotations

import pytest

from collector.watch.concerns import CONCERNS, Concern
from collector.watch.processes import NEVER_DAYS, runway_days
from collector.watch.readings import HourCount, LastChange
from rules.catalogue import OWN_RULES, load_catalogue

RISING = Concern("lag", "seconds", (60, 600))
FALLING = Concern("runway", "days", (14, 3), falling=True)


@pytest.mark.parametrize(
    ("concern", "values", "severities"),
    [
        (RISING, (0, 59, 60, 599, 600, 5000), (0, 0, 1, 1, 2, 2)),
        (RISING, (700, 500, 470, 60, 50, 47), (2, 2, 1, 1, 1, 0)),
        (FALLING, (40, 14, 13, 2, 0), (0, 0, 1, 2, 2)),
        (FALLING, (2, 3.5, 3.8, 15, 17.5), (2, 2, 1, 1, 0)),
    ],
)
def test_a_mark_counts_until_the_value_is_clear_of_it(
    concern: Concern, values: tuple[float, ...], severities: tuple[int, ...]
) -> None:
    severity, found = 0, []
    for value in values:
        severity = concern.severity(value, severity)
        found.append(severity)

    assert tuple(found) == severities


def test_the_gravest_mark_that_was_passed_is_told() -> None:
    assert [RISING.mark(severity) for severity in (0, 1, 2)] == [0, 60, 600]


def test_every_concern_has_a_rule_whose_limits_are_marks_of_it() -> None:
    """Else an event would be made at a mark that no rule knows, or a rule wait for a mark that never comes."""
    limits: dict[str, set[float]] = {}
    for info in load_catalogue([OWN_RULES / "collector"]).values():
        text = (OWN_RULES / "collector" / info.path.rpartition("/")[2]).read_text(encoding="utf-8")
        for line in text.splitlines():
            field, _, limit = line.strip().partition(": ")
            name, _, comparison = field.partition("|")
            if comparison in ("gte", "lt") and not name.endswith(".servers"):
                limits.setdefault(name, set()).add(float(limit))

    assert {concern.field for concern in CONCERNS.values()} == set(limits)
    for concern in CONCERNS.values():
        assert limits[concern.field] <= set(concern.marks), concern.name


def test_an_hours_count_forgets_what_is_older_and_survives_a_counter_that_starts_anew() -> None:
    count = HourCount()

    assert [count.add(0, 500), count.add(10, 503), count.add(1800, 510)] == [0, 3, 10]
    assert count.add(1810, 4) == 14  # the process began anew
    assert count.add(3700, 4) == 11
    assert count.add(6000, 4) == 0


def test_standing_still_is_measured_by_what_does_not_change() -> None:
    since: LastChange[int] = LastChange()

    assert [since.age("a", 1, 0), since.age("a", 1, 50), since.age("a", 2, 60), since.age("a", 2, 61)] == [
        0,
        50,
        0,
        1,
    ]
    since.keep(set())
    assert since.age("a", 2, 100) == 0


def test_a_disk_that_fills_has_days_left_and_one_that_does_not_has_not() -> None:
    day = 86_400.0

    assert runway_days([[0, 1000.0]], day, 900.0) == pytest.approx(9)
    assert runway_days([[0, 1000.0]], day, 1100.0) == NEVER_DAYS
    assert runway_days([[0, 1000.0]], 3600, 1.0) == NEVER_DAYS  # an hour is no trend
    assert runway_days([], day, 1.0) == NEVER_DAYS
