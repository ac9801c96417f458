"""The stated list of files whose change matters on a Linux machine, and which folders have to be watched for them."""

from __future__ import annotations

import os
import re
import stat
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.collectors.common.files import is_folder, read_text, under

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

#: More homes than this are no machine of its own; the rest is counted as left out.
MAX_HOMES: Final = 256
#: Folders of units in one home.
MAX_FOLDERS_A_HOME: Final = 32
_NO_HOMES: Final = ("/", "/bin", "/dev", "/nonexistent", "/proc", "/run", "/sbin", "/sys", "/usr", "/tmp")  # noqa: S108
#: File systems of other machines, or of a program of the user's: looking there may block for minutes.
_FAR: Final = frozenset(
    {
        *("9p", "acfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse", "gfs", "gfs2"),
        *("glusterfs", "gpfs", "kafs", "lustre", "ncp", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs"),
        *("pvfs2", "smb3", "smbfs", "virtiofs", "vmhgfs", "wekafs"),
    }
)
_ESCAPED: Final = re.compile(r"\\([0-3][0-7]{2})", re.ASCII)
_MOUNTS_BYTES: Final = 4 << 20
#: Where any user may put files by way of a program (``crontab``, ``at``).
_SPOOL: Final = "/var/spool/cron"
_OF_HOME: Final = re.compile(r"(.+?)(?:/\.ssh|/\.config/systemd/user(?:/.*)?)", re.ASCII | re.DOTALL)
EVERY: Final = ("*",)


class Place(Struct, frozen=True):
    """Files of ``folder`` whose names fit one of ``names`` (shell patterns); with ``deep``, also of the folders in it.

    ``home``: the folder lies in this home, where an ordinary user may put anything.
    """

    folder: str
    names: tuple[str, ...] = EVERY
    deep: bool = False
    home: str = ""

    def wants(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.names)

    @property
    def of_user(self) -> bool:
        """Whether it lies in the home of somebody other than root."""
        return self.home not in ("", "/root")


def crowd_of(folder: str) -> str:
    """Whose limits count for a watched folder: the user's home that it lies in, the spool into which every user may
    put files, or, empty, root's own places, which nobody else can fill."""
    if folder == _SPOOL or folder.startswith(f"{_SPOOL}/"):
        return _SPOOL
    found = _OF_HOME.fullmatch(folder)
    return found[1] if found is not None and found[1] != "/root" else ""


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
    Place(_SPOOL, deep=True),
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
        if len(parts) > 2 and (parts[2] in _FAR or parts[2].startswith("fuse.")):
            far.append(_ESCAPED.sub(lambda escaped: chr(int(escaped[1], 8)), parts[1]).rstrip("/"))
    return [each for each in far if each]


def read_far(proc: Path) -> list[str]:
    """Like :func:`parse_far_mounts`, of the machine as it is now."""
    return parse_far_mounts(read_text(proc / "mounts", _MOUNTS_BYTES) or "")


class Plan(Struct, frozen=True):
    """``folders`` that are there, by path; ``awaited``: folders that are there, for the names of folders that are to
    come in them; ``left_out``: how many were one too many."""

    folders: dict[str, Place]
    awaited: dict[str, set[str]]
    left_out: int


def make_plan(root: Path, proc: Path, known: Collection[str] = ()) -> Plan:
    """What to watch now, by the users that there are and the folders that exist. Where a home has too many, folders
    that are ``known`` stay: a new one is left out, none is taken for gone."""
    far = read_far(proc)
    homes = ["/root", *parse_homes(read_text(under(root, "/etc/passwd"), 4 << 20) or "")]
    homes = list(dict.fromkeys(home for home in homes if not _is_far(home, far)))
    folders: dict[str, Place] = {}
    awaited: dict[str, set[str]] = {}
    left_out = max(0, len(homes) - MAX_HOMES)
    wanted = [*PLACES, *(place for home in homes[:MAX_HOMES] for place in home_places(home))]
    for place in wanted:
        there = reached(root, place, far)
        if there != place.folder:
            name = place.folder[len(there) + 1 :].partition("/")[0]
            awaited.setdefault(there or "/", set()).add(name)
            continue
        below = [each for each in _below(root, place) if not _is_far(each.folder, far)]
        if place.of_user and len(below) >= MAX_FOLDERS_A_HOME:
            below.sort(key=lambda each: each.folder not in known)
            left_out += len(below) - (MAX_FOLDERS_A_HOME - 1)
            del below[MAX_FOLDERS_A_HOME - 1 :]
        for folder in (place, *below):
            folders.setdefault(folder.folder, folder)
    return Plan(folders=folders, awaited=awaited, left_out=left_out)


def reached(root: Path, place: Place, far: Collection[str]) -> str:
    """The deepest folder on the way to the place, the place's own where it is there; empty: the root folder.

    Below a home no link is followed, whoever made it, and no file system that is ``far`` is asked anything.
    """
    there = ""
    for part in place.folder.split("/")[1:]:
        folder = f"{there}/{part}"
        in_home = bool(place.home) and len(folder) > len(place.home)
        if _is_far(folder, far):
            break
        if not (_is_own_folder if in_home else is_folder)(under(root, folder)):
            break
        there = folder
    return there


def _is_far(folder: str, far: Collection[str]) -> bool:
    return any(folder == each or folder.startswith(f"{each}/") for each in far)


def _is_own_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
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
