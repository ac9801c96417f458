from __future__ import annotations

import calendar
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.common.syslog import parse_syslog_line
from tests.agent.collectors.support import CAPTURED

NEW_YEAR = float(calendar.timegm((2027, 1, 1, 0, 0, 30)))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Nov 21 20:36:22 may-tram-01 sshd[12]: hello", calendar.timegm((2026, 11, 21, 20, 36, 22))),
        ("<38>Nov  1 20:36:22 may-tram-01 sshd[12]: hello", calendar.timegm((2026, 11, 1, 20, 36, 22))),
        (
            "2026-11-21T20:36:22.500000+07:00 may sshd[12]: hello",
            calendar.timegm((2026, 11, 21, 13, 36, 22)) + 0.5,
        ),
        ("<86>1 2026-11-21T20:36:22Z may sshd 12 - - hello", calendar.timegm((2026, 11, 21, 20, 36, 22))),
        (
            '<86>1 2026-11-21T20:36:22Z may sshd 12 - [a b="c"] hello',
            calendar.timegm((2026, 11, 21, 20, 36, 22)),
        ),
    ],
)
def test_all_three_forms_give_time_program_number_and_message(line: str, expected: float) -> None:
    found = parse_syslog_line(line, CAPTURED)
    assert found is not None
    assert (found.time, found.program, found.pid, found.message) == (expected, "sshd", 12, "hello")


def test_a_line_without_zone_is_in_this_machines_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "<+07>-7")
    time.tzset()
    found = parse_syslog_line("Nov 21 20:36:22 may sshd[1]: x", CAPTURED)
    assert found is not None
    assert found.time == calendar.timegm((2026, 11, 21, 13, 36, 22))


def test_a_december_line_read_in_january_is_of_last_year() -> None:
    found = parse_syslog_line("Dec 31 23:59:59 may sshd[1]: x", NEW_YEAR)
    assert found is not None
    assert found.time == calendar.timegm((2026, 12, 31, 23, 59, 59))


def test_a_leap_day_never_falls_into_the_future() -> None:
    found = parse_syslog_line("Feb 29 00:00:00 may sshd[1]: x", NEW_YEAR)
    assert found is None or found.time < NEW_YEAR


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "Nov 99 20:36:22 may sshd: x",
        "Foo 21 20:36:22 may sshd: x",
        "2026-13-41T00:00:00Z a b: c",
    ],
)
def test_other_lines_are_nothing(line: str) -> None:
    assert parse_syslog_line(line, CAPTURED) is None


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    for line in (text, f"Nov 21 20:36:22 {text}", f"<1>1 2026-11-21T20:36:22Z {text}", f"2026-11-21T{text}"):
        found = parse_syslog_line(line, CAPTURED)
        assert found is None or found.pid >= 0
