"""``vonggac-agent remove``: take the agent off a Linux machine and leave nothing behind.

What of it is still there is looked for first (:func:`survey`), so the same command shows what it would do, goes on
where an earlier one was cut off, and says at the end what it could not take away. No link is followed: a link in the
place of one of the agent's folders is removed itself, and what it leads to stays, and is said.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess  # systemctl and userdel, by argument lists
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.runtime.diagnosis import is_running
from agent.runtime.locking import OPEN_FLAGS, hold
from agent.settings import DEFAULT_CONFIG, Settings, StateDirectory, load
from agent.settings_file import SettingsError
from agent.update.errors import ReleaseError
from agent.update.following import FOLDER
from agent.update.place import Installation, own_installation

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_ROOT: Final = Path("/opt/vonggac-agent")
#: In the order in which they are stopped: what would start the agent again first.
UNITS: Final = ("vonggac-agent-update.path", "vonggac-agent-update.service", "vonggac-agent.service")
#: A folder of such a name, but not at the root, is the agent's alone; in another only what is known is.
_OWN: Final = "vonggac-agent"
_BESIDE_VERSIONS: Final = frozenset({"wheels", "installed.json", "launches.json"})
#: A link among what is removed that leads to what is removed.
_CURRENT: Final = "current"
_UNFINISHED: Final = (".tmp", ".new")
_COMMAND_SECONDS: Final = 120.0
_SYSTEM_UIDS: Final = range(1, 1000)
#: Of a user, behind the name (passwd(5)).
_COLUMNS: Final = ("password", "uid", "gid", "comment", "home", "shell")


@dataclass(frozen=True)
class Places:
    """Where a machine's agent is. ``config``: its file of settings. ``system``: the root of the file system that the
    units and the users are of; ``systemd``: there where systemd runs."""

    installation: Installation
    config: Path
    state: StateDirectory
    system: Path = Path("/")
    systemd: Path = Path("/run/systemd/system")

    @property
    def units(self) -> Path:
        return self.system / "etc/systemd/system"


@dataclass
class Survey:
    """What there is of an agent: ``units`` with what enables them; ``trees`` that go whole (a link goes, not what it
    leads to); ``folders`` that go where nothing else is in them; ``user``, the one that was made for it, or empty."""

    units: list[Path] = field(default_factory=list)
    trees: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    user: str = ""

    def lines(self) -> list[str]:
        """For people."""
        named = [str(each) for each in (*self.units, *self.trees, *self.folders)]
        return [*named, f"user {self.user}"] if self.user else named


def places_of(config: Path | None, state: Path | None) -> Places:
    """Of the agent that this program is, as a command line may name its settings and state. Settings that cannot be
    read, or are gone, name the usual state directory: half an agent is to be removed, too.

    Raises:
        ReleaseError: this is not root, or not Linux.
    """
    if sys.platform == "win32":
        raise ReleaseError(
            "place", "on Windows the agent is removed by its installer (docs/agent-windows.md)"
        )
    if os.geteuid() != 0:
        raise ReleaseError("place", "only root can remove the agent: run as root")
    try:
        settings = load(config)
    except (SettingsError, ValueError):
        settings = Settings()
    root = state if state is not None else Path(settings.agent.state_dir)
    return Places(
        own_installation() or Installation(DEFAULT_ROOT),
        (DEFAULT_CONFIG if config is None else config).absolute(),
        StateDirectory(root.absolute()),
    )


def survey(places: Places) -> Survey:
    """Look for all of it; changes nothing.

    Raises:
        PermissionError: only root may look.
    """
    found = Survey(user=_user(places))
    found.units = [path for name in UNITS for path in _of_unit(places.units, name)]
    state, installation = places.state, places.installation
    _look(found, state.root, _named(state) | {FOLDER})
    _look(found, places.config.parent, {places.config.name, "release.pub"})
    _look(found, installation.root, _named(installation) | _BESIDE_VERSIONS)
    return found


def remove(places: Places) -> list[str]:
    """Remove what :func:`survey` finds. Returns what is left of it, and why; empty where nothing is.

    Raises:
        ReleaseError: an agent runs that no unit has started, or an update is at work: nothing was removed.
        PermissionError: only root may look.
    """
    found, left = survey(places), list[str]()
    systemd = places.systemd.is_dir()
    for name in UNITS if systemd else ():
        if places.units / name in found.units:
            left += _run("systemctl", "disable", "--now", name)
        else:  # its file is gone already; it may run all the same
            _run("systemctl", "stop", name)
    if is_running(places.state):
        raise ReleaseError("busy", f"an agent still runs with {places.state.root}: stop it first")
    _refuse_update(places.installation)
    for path in found.units:
        left += _take(path)
    if systemd:
        left += _run("systemctl", "daemon-reload")
        _run("systemctl", "reset-failed", *UNITS)
    for path in found.trees:
        left += _take(path)
    for path in found.folders:
        with suppress(FileNotFoundError):
            if not any(path.iterdir()):
                path.rmdir()
            elif path != places.config.parent:
                left.append(f"{path}: holds what is not known to be the agent's")
    if found.user:
        elsewhere = () if places.system == Path("/") else ("--prefix", str(places.system))
        left += _run("userdel", *elsewhere, found.user)
        if _has_group(places, found.user):  # whether it goes with its user is a matter of login.defs
            left += _run("groupdel", *elsewhere, found.user)
    return left


def _named(owner: object) -> set[str]:
    """The names of all that a place names."""
    root: Path = vars(owner)["root"]
    return {each.name for each in vars(owner).values() if isinstance(each, Path) and each.parent == root}


def _of_unit(folder: Path, name: str) -> Iterator[Path]:
    """A unit's file, what was set beside it, and the links that enable it."""
    yield from (path for path in (folder / name, folder / f"{name}.d") if os.path.lexists(path))
    for kind in ("wants", "requires"):
        yield from (link for each in sorted(folder.glob(f"*.{kind}")) if (link := each / name).is_symlink())


def _look(found: Survey, root: Path, known: set[str]) -> None:
    """Enter what of the folder ``root`` is to go: itself where it is the agent's alone, else what is known in it."""
    if root.is_symlink():
        found.trees.append(root)
    elif root.is_dir():
        if root.name.startswith(_OWN) and root.parent != root.parents[-1]:
            found.trees.append(root)
            return
        for each in sorted(root.iterdir()):
            name = each.stem if each.suffix in _UNFINISHED else each.name
            if name in known:
                found.trees.append(each)
        found.folders.append(root)


def _take(path: Path) -> list[str]:
    """Remove a file, a link or a folder with all that is in it; why not, where it cannot be."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            shutil.rmtree(path)  # by descriptors: who owns a part of it cannot lead it elsewhere meanwhile
            return []
        target = path.parent / path.readlink() if stat.S_ISLNK(mode) else None
        path.unlink()
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{error.filename or path}: {error.strerror}"]
    if target is not None and target.is_dir() and path.name != _CURRENT:
        return [f"{target}: {path} led there; no link is followed"]
    return []


def _run(*command: str) -> list[str]:
    """What went wrong, if anything did."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"{command[0]}: {error}"[:300]]
    if done.returncode == 0:
        return []
    return [f"{' '.join(command)}: {done.stderr.strip()[-200:] or done.returncode}"]


def _refuse_update(place: Installation) -> None:
    try:
        descriptor = os.open(place.lock, os.O_RDWR | OPEN_FLAGS | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        if not hold(descriptor):
            raise ReleaseError("busy", f"{place.root}: an update is at work: wait until it has ended")
    finally:
        os.close(descriptor)


def _user(places: Places) -> str:
    """The user that was made for the agent: one of the system's that cannot sign in, with the state directory as home.
    Another one that it runs as is not the agent's to remove."""
    table = places.system / "etc/passwd"
    for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
        name, *rest = line.split(":")
        if len(rest) == len(_COLUMNS) and _is_made_for(places, dict(zip(_COLUMNS, rest, strict=True))):
            return name
    return ""


def _has_group(places: Places, user: str) -> bool:
    """Whether there is a group of the user's name that nobody else is in."""
    table = (places.system / "etc/group").read_text(encoding="utf-8", errors="replace")
    return any(
        line.startswith(f"{user}:") and line.rpartition(":")[2] in ("", user) for line in table.splitlines()
    )


def _is_made_for(places: Places, user: dict[str, str]) -> bool:
    uid = user["uid"]
    known = user["home"] == str(places.state.root) and user["shell"].endswith("/nologin")
    return known and uid.isdecimal() and int(uid) in _SYSTEM_UIDS
