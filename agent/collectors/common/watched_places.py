"""The stated list of files whose change matters on a Linux machine, and which folders have to be watched for them."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.collectors.common.files import is_folder, read_text, under

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: More homes than this are no machine of its own; the rest is counted as left out.
MAX_HOMES: Final = 256
MAX_FOLDERS: Final = 1024
_NO_HOMES: Final = ("/", "/bin", "/dev", "/nonexistent", "/proc", "/run", "/sbin", "/sys", "/usr", "/tmp")  # noqa: S108
_FAR: Final = frozenset(
    {"afs", "autofs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "nfs", "nfs4", "smb3", "9p"}
)
_EVERY: Final = ("*",)


class Place(Struct, frozen=True):
    """Files of ``folder`` whose names fit one of ``names`` (shell patterns); with ``deep``, also of the folders in it.

    ``home``: the folder lies in this home, where an ordinary user may put anything.
    """

    folder: str
    names: tuple[str, ...] = _EVERY
    deep: bool = False
    home: str = ""

    def wants(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.names)


_ETC: Final = (
    *("passwd", "group", "shadow", "gshadow", "login.defs", "nsswitch.conf"),
    *("sudoers", "doas.conf"),
    *("crontab", "anacrontab", "cron.allow", "cron.deny", "at.allow", "at.deny"),
    *("ld.so.preload", "ld.so.conf", "rc.local", "inittab"),
    *("profile", "bash.bashrc", "bashrc", "environment", "zshenv"),
)

#: What is watched on every machine.
PLACES: Final = (
    Place("/etc", _ETC),
    Place("/etc/ssh", ("sshd_config", "sshrc")),
    Place("/etc/ssh/sshd_config.d"),
    Place("/etc/sudoers.d"),
    Place("/etc/pam.d"),
    Place("/etc/security", ("*.conf",)),
    Place("/etc/cron.d"),
    Place("/etc/cron.hourly"),
    Place("/etc/cron.daily"),
    Place("/etc/cron.weekly"),
    Place("/etc/cron.monthly"),
    Place("/var/spool/cron", deep=True),
    Place("/etc/systemd/system", deep=True),
    Place("/etc/systemd/user", deep=True),
    Place("/usr/local/lib/systemd/system", deep=True),
    Place("/etc/init.d"),
    Place("/etc/rc.d", ("rc.local",)),
    Place("/etc/profile.d"),
    Place("/etc/ld.so.conf.d"),
    Place("/etc/udev/rules.d"),
    Place("/etc/update-motd.d"),
    Place("/root", (".bashrc", ".profile", ".bash_profile", ".bash_login", ".zshrc")),
)


def home_places(home: str) -> tuple[Place, ...]:
    return (
        Place(f"{home}/.ssh", ("authorized_keys", "authorized_keys2", "rc", "environment"), home=home),
        Place(f"{home}/.config/systemd/user", deep=True, home=home),
    )


def parse_homes(passwd: str) -> list[str]:
    """The home folders that a passwd file names, without those that are nobody's."""
    homes: dict[str, None] = {}
    for line in passwd.splitlines():
        parts = line.split(":")
        home = parts[5].rstrip("/") if len(parts) == 7 else ""
        clean = home.startswith("/") and home.isprintable() and "/../" not in f"{home}/" and len(home) < 256
        if clean and not any(home == no or home.startswith(f"{no}/") for no in _NO_HOMES if no != "/"):
            homes[home] = None
    return list(homes)


def parse_far_mounts(mounts: str) -> list[str]:
    """Where a ``/proc/mounts`` has file systems of other machines: looking there may block for minutes."""
    far = []
    for line in mounts.splitlines():
        parts = line.split(" ")
        if len(parts) > 2 and parts[2] in _FAR:
            far.append(parts[1].replace("\\040", " ").rstrip("/"))
    return [each for each in far if each]


class Plan(Struct, frozen=True):
    """``folders`` that are there, by path; ``awaited``: folders that are there, for the names of folders that are to
    come in them; ``left_out``: how many were one too many."""

    folders: dict[str, Place]
    awaited: dict[str, set[str]]
    left_out: int


def make_plan(root: Path, proc: Path) -> Plan:
    """What to watch now, by the users that there are and the folders that exist."""
    far = parse_far_mounts(read_text(proc / "mounts") or "")
    homes = [
        home
        for home in ("/root", *parse_homes(read_text(under(root, "/etc/passwd"), 4 << 20) or ""))
        if not any(home == each or home.startswith(f"{each}/") for each in far)
    ]
    homes = list(dict.fromkeys(homes))
    folders: dict[str, Place] = {}
    awaited: dict[str, set[str]] = {}
    left_out = max(0, len(homes) - MAX_HOMES)
    wanted = [*PLACES, *(place for home in homes[:MAX_HOMES] for place in home_places(home))]
    for place in wanted:
        if not _is_folder(root, place):
            above, _, name = place.folder.rpartition("/")
            while above and not is_folder(under(root, above)):
                above, _, name = above.rpartition("/")
            awaited.setdefault(above or "/", set()).add(name)
            continue
        for folder in (place, *_below(root, place)):
            if len(folders) < MAX_FOLDERS:
                folders.setdefault(folder.folder, folder)
            else:
                left_out += 1
    return Plan(folders=folders, awaited=awaited, left_out=left_out)


def _is_folder(root: Path, place: Place) -> bool:
    """A user's folder has to be one in the user's home itself: a link of theirs is not followed by root."""
    folder = under(root, place.folder)
    try:
        if not is_folder(folder):
            return False
        home = os.path.realpath(under(root, place.home))
        return not place.home or os.path.realpath(folder) == home + place.folder.removeprefix(place.home)
    except (OSError, ValueError):
        return False


def _below(root: Path, place: Place) -> Iterator[Place]:
    if not place.deep:
        return
    try:
        with os.scandir(under(root, place.folder)) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for name in names:
        if name.isprintable():
            yield Place(f"{place.folder}/{name}", place.names, home=place.home)
