"""Whether a package manager is at work, so that what it changes can be told apart from what somebody changes."""

from __future__ import annotations

import os
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
    """``dpkg`` or ``rpm`` where root runs one now, else empty: what others call so is not believed."""
    try:
        with os.scandir(proc) as entries:
            numbers = [entry.name for entry in entries if entry.name.isdigit()]
    except OSError:
        return ""
    for number in numbers:
        name = (read_bytes(proc / number / "comm", 64) or b"").rstrip(b"\n").decode("ascii", "replace")
        if name in _MANAGERS:
            try:
                if (proc / number).stat().st_uid == 0:
                    return _MANAGERS[name]
            except OSError:
                continue
    return ""


def manager_at(when: float, databases: list[tuple[str, float]]) -> str:
    """The package manager whose database was written within ``NEAR_SECONDS`` of ``when``, else empty."""
    return next((name for name, written in databases if abs(written - when) <= NEAR_SECONDS), "")
