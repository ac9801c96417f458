"""Whether a package manager is at work, so that what it changes can be told apart from what somebody changes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from agent.collectors.common.files import read_bytes, under

if TYPE_CHECKING:
    from pathlib import Path

#: Programs that change files themselves; what lies above them (apt, a daemon for updates) may stay around for days.
_MANAGERS: Final = {
    "dpkg": "dpkg",
    "rpm": "rpm",
    "dnf": "rpm",
    "dnf5": "rpm",
    "microdnf": "rpm",
    "yum": "rpm",
    "zypper": "rpm",
}
#: What these are started from, for the kernel: of dnf and yum the Python that runs them.
_PROGRAMS: Final = {
    "dpkg": re.compile(r"(?:/usr)?/bin/dpkg", re.ASCII),
    "rpm": re.compile(
        r"(?:/usr)?/bin/(?:rpm|dnf5|microdnf|zypper|python[0-9.]*)|/usr/libexec/platform-python[0-9.]*",
        re.ASCII,
    ),
}
_REAL_USER: Final = re.compile(rb"^Uid:\t([0-9]{1,10})\t", re.MULTILINE)
#: Written at the end of every change of packages.
_DATABASES: Final = (
    ("dpkg", "/var/lib/dpkg/status"),
    ("rpm", "/var/lib/rpm/rpmdb.sqlite"),
    ("rpm", "/usr/lib/sysimage/rpm/rpmdb.sqlite"),
    ("rpm", "/var/lib/rpm/Packages"),
    ("rpm", "/var/lib/rpm/Packages.db"),
)
#: How far from a change of the database a change of a file is still the package manager's.
NEAR_SECONDS: Final = 30.0


def database_times(root: Path) -> list[tuple[str, float]]:
    """``(manager, when its database was written last)`` of those that are here."""
    times = []
    for manager, path in _DATABASES:
        try:
            times.append((manager, under(root, path).stat().st_mtime))
        except OSError:
            continue
    return times


def running_manager(proc: Path) -> str:
    """``dpkg`` or ``rpm`` where root runs one now, else empty.

    A name anybody can give a program, and a setuid program of any name belongs to root in ``proc``. So the real user
    has to be root, who started it, and the program the one that the system has at its own place.
    """
    try:
        with os.scandir(proc) as entries:
            numbers = [entry.name for entry in entries if entry.name.isdigit()]
    except OSError:
        return ""
    for number in numbers:
        name = (read_bytes(proc / number / "comm", 64) or b"").rstrip(b"\n").decode("ascii", "replace")
        manager = _MANAGERS.get(name)
        if manager is not None and _is_roots(proc / number, _PROGRAMS[manager]):
            return manager
    return ""


def _is_roots(process: Path, program: re.Pattern[str]) -> bool:
    user = _REAL_USER.search(read_bytes(process / "status", 4096) or b"")
    try:
        path = os.readlink(process / "exe")  # noqa: PTH115 - a text
    except OSError:
        return False
    # A package manager that replaces itself runs from a file that is gone.
    return (
        user is not None
        and int(user[1]) == 0
        and program.fullmatch(path.removesuffix(" (deleted)")) is not None
    )


def manager_at(when: float, databases: list[tuple[str, float]]) -> str:
    """The package manager whose database was written within ``NEAR_SECONDS`` of ``when``, else empty."""
    return next((name for name, written in databases if abs(written - when) <= NEAR_SECONDS), "")
