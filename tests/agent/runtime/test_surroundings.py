"""Battery, metered links, and a machine that has just started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.surroundings import (
    LOOK_SECONDS,
    Lookout,
    Surroundings,
    first_wait,
    on_battery,
    parse_metered,
    uptime_seconds,
)

if TYPE_CHECKING:
    from pathlib import Path

#: The form of nmcli(1), terse; one block a device.
WIFI_METERED = "GENERAL.STATE:100 (connected)\nGENERAL.METERED:yes (guessed)\n"
CABLE = "GENERAL.STATE:100 (connected)\nGENERAL.METERED:no (guessed)\n"
LOOPBACK = "GENERAL.STATE:100 (connected (externally))\nGENERAL.METERED:unknown\n"
UNPLUGGED = "GENERAL.STATE:20 (unavailable)\nGENERAL.METERED:no\n"


def supply(sys_root: Path, name: str, **values: str) -> None:
    folder = sys_root / "class/power_supply" / name
    folder.mkdir(parents=True)
    for key, value in values.items():
        (folder / key).write_text(value + "\n", encoding="ascii")


def test_a_machine_without_a_battery_is_on_mains(tmp_path: Path) -> None:
    assert not on_battery(tmp_path)
    supply(tmp_path, "hidpp_battery_0", type="Battery", scope="Device", status="Discharging")
    assert not on_battery(tmp_path)


def test_mains_and_a_charger_by_usb_feed_a_laptop_and_nothing_else_does(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", type="Battery", present="1", status="Discharging")
    assert on_battery(tmp_path)
    supply(tmp_path, "AC", type="Mains", online="0")
    assert on_battery(tmp_path)
    (tmp_path / "class/power_supply/AC/online").write_text("1\n", encoding="ascii")
    assert not on_battery(tmp_path)
    (tmp_path / "class/power_supply/AC/online").write_text("0\n", encoding="ascii")
    supply(tmp_path, "ucsi-source-psy-1", type="USB", online="1")
    assert not on_battery(tmp_path)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (WIFI_METERED + "\n" + LOOPBACK, True),
        (WIFI_METERED + "\n" + CABLE, False),
        (WIFI_METERED + "\n" + UNPLUGGED, True),
        (CABLE, False),
        (LOOPBACK, False),
        ("", False),
    ],
)
def test_a_link_is_metered_where_every_connected_one_is(answer: str, expected: bool) -> None:
    assert parse_metered(answer) is expected


@given(st.text(max_size=300))
def test_no_answer_breaks_the_reader(answer: str) -> None:
    assert parse_metered(answer) in (True, False)


def test_it_is_looked_at_from_time_to_time_and_settings_are_believed(tmp_path: Path) -> None:
    now, asked = [0.0], list[float]()

    def ask() -> bool:
        asked.append(now[0])
        return True

    lookout = Lookout(tmp_path, "auto", monotonic=lambda: now[0], ask=ask)
    assert lookout.now == Surroundings()
    for now[0] in (0.0, 1.0, LOOK_SECONDS):
        lookout.look()
    assert asked == [0.0, LOOK_SECONDS]
    assert lookout.now == Surroundings(metered=True)
    told = Lookout(tmp_path, "unmetered", monotonic=lambda: now[0], ask=ask)
    told.look()
    assert (told.now.metered, len(asked)) == (False, 2)


def test_the_first_word_is_spread_only_where_the_machine_has_just_started(tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("93.51 170.02\n", encoding="ascii")
    started = uptime_seconds(tmp_path)
    assert started == 93.51
    assert first_wait(started, 1e6, 60.0, lambda: 0.25) == 15.0
    assert first_wait(started, 30.0, 60.0, lambda: 0.25) == 0.0
    assert first_wait(86_400.0, 1e6, 60.0, lambda: 0.25) == 0.0
    assert first_wait(uptime_seconds(tmp_path / "none"), 1e6, 60.0, lambda: 0.25) == 0.0
