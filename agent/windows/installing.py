"""``vonggac-agent service install`` and ``remove``: the service, its folders, and what people call."""

from __future__ import annotations

import shutil
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Final

import agent
from agent.runtime.errors import AgentError
from agent.runtime.files import write_atomically
from agent.update.windows_place import PYTHON, SERVICE
from agent.windows import folders, scm
from agent.windows.registry import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.settings import StateDirectory
    from agent.update.windows_place import WindowsInstallation
    from agent.windows.folders import Security
    from agent.windows.registry import Registry
    from agent.windows.scm import Manager

#: Where Windows says its folder of programs is.
CURRENT_VERSION: Final = r"SOFTWARE\Microsoft\Windows\CurrentVersion"
KEY: Final = "release.pub"


class InstallError(AgentError):
    """The service cannot be installed as it should be."""


class Installing:
    """One installation on one machine.

    Args:
        data: the folder that holds settings, key of releases, log, and usually the state.
        options: ``--config`` and ``--state`` as given, for the service's command.
    """

    def __init__(
        self,
        place: WindowsInstallation,
        manager: Manager,
        security: Security,
        data: Path,
        options: Sequence[str] = (),
    ) -> None:
        self._place = place
        self._manager = manager
        self._security = security
        self._data = data
        self._options = options

    def install(self, state: StateDirectory, programs: str) -> None:
        """Make the folders safe, then the service, or bring the one that is there to this version; start it.

        Args:
            programs: Windows' folder of programs (:func:`program_files`).

        Raises:
            InstallError, FolderError: a place where others may write.
            OSError: Windows refuses; run as administrator.
        """
        if not PureWindowsPath(self._place.root).is_relative_to(PureWindowsPath(programs)):
            raise InstallError(
                f"{self._place.root}: not below {programs}: elsewhere users may write what the service then runs"
            )
        folders.secure(self._security, self._place.root, folders.PROGRAM)
        folders.secure(self._security, self._data, folders.STATE)
        if not state.root.is_relative_to(self._data):
            folders.secure(self._security, state.root, folders.STATE)
        self._lay_down_key()
        scm.stop(self._manager)
        version = agent.__version__
        run = scm.command_line(self._place.python(version), [*scm.MODULE, *SERVICE, *self._options])
        before = self._manager.command()
        try:
            self._manager.define(scm.Commands(run))
            self._place.write_command(version)
            if (
                not self._place.packaged_version
            ):  # else an update's version calls, and the package is still there
                write_atomically(self._place.packaged, version.encode("ascii"))
            scm.start(self._manager)
        except OSError:
            self._undo(before)
            raise
        self._tidy()

    def _tidy(self) -> None:
        """Take away what an installer leaves of a version that it has removed: what Python compiled there."""
        for version in sorted(self._place.versions.iterdir()):
            if not (version / PYTHON).exists():
                shutil.rmtree(version, ignore_errors=True)

    def _undo(self, before: str) -> None:
        """The service as it was, for an installer that fails puts the files back, too."""
        if before:
            self._manager.define(scm.Commands(before))
        else:
            self._manager.delete()

    def _lay_down_key(self) -> None:
        """The public keys that came with the package, where it had any."""
        brought = self._place.root / KEY
        if brought.is_file():
            write_atomically(self._data / KEY, brought.read_bytes())

    def remove(self, *, purge: bool) -> None:
        """Stop the service and take it away, and of the programs whatever no package has put there. ``purge``: also the
        folder of data, with key, settings and what has not been sent.

        Raises:
            OSError: Windows refuses; run as administrator.
        """
        scm.stop(self._manager)
        self._manager.delete()
        place, own = self._place, agent.__version__
        for path in (place.command, place.record, place.lock, place.packaged):
            path.unlink(missing_ok=True)
        shutil.rmtree(place.incoming, ignore_errors=True)
        for version in sorted(place.versions.iterdir()):
            if version.name != own:
                shutil.rmtree(version, ignore_errors=True)
        for compiled in sorted(place.of_version(own).rglob("__pycache__")):
            shutil.rmtree(compiled, ignore_errors=True)
        if purge:
            shutil.rmtree(self._data)


def program_files(registry: Registry) -> str:
    """Windows' folder of programs.

    Raises:
        InstallError: it does not say one.
    """
    found = text(registry.values("HKLM", CURRENT_VERSION), "ProgramFilesDir")
    if not PureWindowsPath(found).is_absolute():
        raise InstallError(f"HKLM\\{CURRENT_VERSION}: no ProgramFilesDir")
    return found
