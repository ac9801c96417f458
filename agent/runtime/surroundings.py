"""What the machine stands in now: on battery, on a link that is paid by the byte, or just started. An agent that is
gentle waits there with what can wait."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.collectors.common.command import ProgramTooSlowError, find_program, run_program
from agent.collectors.common.files import read_text

if TYPE_CHECKING:
    from collections.abc import Callable

#: How often it is looked at.
LOOK_SECONDS: Final = 300.0
_NMCLI_SECONDS: Final = 5.0
#: There where NetworkManager runs.
_NETWORK_MANAGER: Final = Path("/run/NetworkManager")
#: Shorter ago than this, the machine has just started.
JUST_STARTED_SECONDS: Final = 600.0


class Surroundings(Struct, frozen=True):
    """``metered``: whoever set the link up, or the network itself, says that it is paid by what passes."""

    on_battery: bool = False
    metered: bool = False


def on_battery(sys_root: Path) -> bool:
    """Whether a battery feeds the machine: there is one, and no mains (Linux' sysfs-class-power). A battery of a mouse
    (``scope`` ``Device``) is none."""
    if sys.platform == "win32":
        from agent.windows.power import on_battery as of_windows

        return of_windows()
    battery = False
    with contextlib.suppress(OSError):
        for supply in sorted((sys_root / "class/power_supply").iterdir()):
            kind, scope = _word(supply / "type"), _word(supply / "scope")
            if kind in ("Mains", "USB") and _word(supply / "online") == "1":
                return False
            battery = battery or (
                kind == "Battery" and scope != "Device" and _word(supply / "present") != "0"
            )
    return battery


def _word(path: Path) -> str:
    return (read_text(path, 64) or "").strip()


def parse_metered(answer: str) -> bool:
    """``nmcli --terse --fields GENERAL.STATE,GENERAL.METERED device show``: whether every connected link is metered, as
    far as NetworkManager knows (``yes (guessed)`` counts). Loopback and bridges say ``unknown`` or ``no``."""
    connected = False
    said: list[bool] = []
    for line in answer.splitlines()[:2000]:
        name, _, value = line.partition(":")
        if name == "GENERAL.STATE":
            connected = value.startswith("100 ")
        elif name == "GENERAL.METERED" and connected and not value.startswith("unknown"):
            said.append(value.startswith("yes"))
    return bool(said) and all(said)


def metered() -> bool:
    """Whether the machine's link is, as NetworkManager knows it; where it does not run, nobody knows: then no."""
    program = find_program("nmcli") if _NETWORK_MANAGER.is_dir() else None
    if program is None:
        return False
    try:
        done = run_program(
            [program, "--terse", "--fields", "GENERAL.STATE,GENERAL.METERED", "device", "show"],
            _NMCLI_SECONDS,
        )
    except (OSError, ProgramTooSlowError):
        return False
    return done.status == 0 and parse_metered(done.output.decode("utf-8", "replace"))


def uptime_seconds(proc: Path) -> float | None:
    """For how long the machine has run; ``None`` where it cannot be told."""
    if sys.platform == "win32":
        from agent.windows.power import uptime_seconds as of_windows

        return of_windows()
    try:
        return float((proc / "uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None


class Lookout:
    """What :class:`Surroundings` are now, looked at every :data:`LOOK_SECONDS`. ``link``: ``auto``, or ``metered`` or
    ``unmetered`` where the settings say it. One thread only; who reads ``now`` may be another."""

    def __init__(
        self,
        sys_root: Path,
        link: str,
        *,
        monotonic: Callable[[], float],
        ask: Callable[[], bool] = metered,
    ) -> None:
        self._sys = sys_root
        self._link = link
        self._monotonic = monotonic
        self._ask = ask
        self._due = monotonic()
        self.now = Surroundings()

    def look(self) -> None:
        """May be called as often as one likes."""
        if self._monotonic() < self._due:
            return
        self._due = self._monotonic() + LOOK_SECONDS
        self.now = Surroundings(
            on_battery=on_battery(self._sys),
            metered=self._ask() if self._link == "auto" else self._link == "metered",
        )


def first_wait(
    uptime: float | None, enrolled_for_seconds: float, spread_seconds: float, random: Callable[[], float]
) -> float:
    """How long an agent waits before its first word, in seconds: not at all, but where the machine itself has just
    started, and so perhaps have all of the province's (power came back, the working day begins). Somebody waits for a
    machine that has just enrolled."""
    if uptime is None or uptime >= JUST_STARTED_SECONDS or enrolled_for_seconds < 3600:
        return 0.0
    return spread_seconds * random()
