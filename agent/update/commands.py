"""``vonggac-agent update apply``: the command that root starts, by hand or by the unit that watches for a release."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess  # the service manager, by an argument list of root's
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.runtime.files import read_own
from agent.settings import DEFAULT_CONFIG
from agent.update.applying import Apply, is_sound, put_launcher
from agent.update.errors import ReleaseError
from agent.update.following import FOLDER, READY
from agent.update.health import Health
from agent.update.manifest import is_version
from agent.update.place import DONE, own_installation
from agent.update.sources import Folder, ReleaseFile

if TYPE_CHECKING:
    from argparse import Namespace

    from agent.settings import StateDirectory
    from agent.update.place import Installation, Record
    from agent.update.sources import Source

_SYSTEMD: Final = Path("/run/systemd/system")
_RESTART_SECONDS: Final = 120.0
#: How long another update is waited for: as long as systemd lets one take.
_LOCK_SECONDS: Final = 3600.0
_MOST_READY_BYTES: Final = 64
KEY: Final = DEFAULT_CONFIG.parent / "release.pub"


def apply(arguments: Namespace, state: StateDirectory) -> tuple[Record | None, str]:
    """Finish what was interrupted, then take the release that ``arguments`` or the running agent's folder names.

    Returns the last record (None: there was nothing to do), and a line for people.

    Raises:
        ReleaseError: this is not the place or the moment for it; nothing was changed.
    """
    if sys.platform == "win32":
        from agent.update import windows_commands

        return windows_commands.apply(arguments, state)
    os.umask(0o022)
    with nullcontext() if arguments.file is not None else _Offered(state.root) as offered:
        place = own_installation()
        if place is None or not is_sound(place):
            raise ReleaseError(
                "place", f"{sys.prefix}: not an installation of the form <folder>/versions/<version>/venv"
            )
        if os.geteuid() != place.versions.stat().st_uid:
            raise ReleaseError("place", f"{place.root} belongs to another user: run as root")
        work = Apply(
            place,
            arguments.key,
            Health(state.status, arguments.health_seconds),
            config=arguments.config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None),
            restart=lambda: _restart(arguments.restart),
            say=lambda line: print(line, file=sys.stderr),  # noqa: T201 - a command's own words
        )
        return carry_out(work, place, arguments, offered)


def carry_out(
    work: Apply, place: Installation, arguments: Namespace, offered: Source | None
) -> tuple[Record | None, str]:
    """What :func:`apply` does and returns, as soon as nobody else is at it."""
    work.hold(_LOCK_SECONDS)
    record = work.finish()
    work.keep_launcher()
    if arguments.file is not None:
        with closing(ReleaseFile(arguments.file)) as source:
            record = work.apply(source, again=arguments.again)
    elif offered is not None:
        record = work.apply(offered, again=arguments.again)
    if record is None:
        return None, f"nothing to do: {place.current_version} runs, and no release waits"
    if record.state == DONE:
        return record, f"{record.version} runs"
    return record, f"{record.state}: {record.version or 'the release'}: {record.detail or record.code}"


def put_launcher_here() -> str:
    """Put ``launch`` beside the versions of the installation that this runs from, as an installer does; a line for
    people.

    Raises:
        ReleaseError: it is not such an installation.
        OSError: it cannot be written.
    """
    place = own_installation()
    if place is None or sys.platform == "win32":
        raise ReleaseError("place", f"{sys.prefix}: no installation that a launcher stands beside")
    changed = put_launcher(place)
    return f"{place.launcher}: {'put in place' if changed else 'is in place'}"


def _restart(command: str) -> None:
    """Raise ``OSError`` where the service manager refuses."""
    words = shlex.split(command) or ["systemctl", "restart", "vonggac-agent.service"]
    if not command and not _SYSTEMD.is_dir():
        raise OSError("systemd does not run here: give --restart COMMAND")
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=_RESTART_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{words[0]}: no end within {_RESTART_SECONDS:g} s") from error
    if done.returncode:
        raise OSError(f"{words[0]}: {done.stderr.strip()[-200:] or done.returncode}")


class _Offered:
    """What the running agent says is complete. The word is taken away before anything else: it is looked at once,
    however that ends, and a unit that watches for it is not started by it again and again.

    The folder is the agent's user's: it is opened without following links, and nothing but the one name in it is
    removed.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._descriptor = -1

    def __enter__(self) -> Source | None:
        """None: nothing is offered.

        Raises:
            ReleaseError: the word cannot be taken away.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW
        try:
            outer = os.open(self._state, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReleaseError("place", f"{self._state}: {error.strerror}") from error
        try:
            self._descriptor = os.open(FOLDER, flags, dir_fd=outer)
        except OSError:
            return None
        finally:
            os.close(outer)
        version = self._read()
        try:
            self._take_away()
        except OSError as error:
            self.__exit__()
            raise ReleaseError(
                "disk", f"{self._state / FOLDER / READY}: cannot be removed: {error.strerror}"
            ) from error
        if not is_version(version):
            return None
        return Folder(Path(f"/proc/self/fd/{self._descriptor}") / version)

    def _read(self) -> str:
        """Empty where there is none."""
        try:
            return read_own(READY, _MOST_READY_BYTES, folder=self._descriptor).decode(
                "ascii", errors="replace"
            )
        except OSError:
            return ""

    def _take_away(self) -> None:
        try:
            os.unlink(READY, dir_fd=self._descriptor)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            shutil.rmtree(READY, dir_fd=self._descriptor)

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
