"""Where an installed agent stands on Windows.

``<root>\\versions\\<version>`` are Pythons of their own with the agent in them. Which one runs is what the service's
command says, which Windows replaces as a whole; ``<root>\\vonggac-agent.cmd`` is for people, and follows.
"""

from __future__ import annotations

import time
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Final

from agent.runtime.files import write_atomically
from agent.update.manifest import is_version
from agent.update.place import Installation
from agent.windows.scm import MODULE, Commands, command_line, program_of

if TYPE_CHECKING:
    from pathlib import Path

    from agent.update.place import Record
    from agent.windows.scm import Manager

_VERSIONS: Final = "versions"
PYTHON: Final = "python.exe"
#: What the service is given behind the module, before what its settings are.
SERVICE: Final = ("service", "run")
#: Somebody may just be reading the record, which Windows does not let replace then.
_TRIES: Final = 20
_TRY_AGAIN_SECONDS: Final = 0.1


class WindowsInstallation(Installation):
    """An installation whose version is told, and switched, by the service ``manager``."""

    def __init__(self, root: Path, manager: Manager) -> None:
        super().__init__(root)
        self._manager = manager
        self.command = root / "vonggac-agent.cmd"
        #: Names the version that a package has laid down, whose programs remove the rest when the package goes.
        self.packaged = root / "packaged"

    def environment(self, version: str) -> Path:
        return self.of_version(version)

    @property
    def current_version(self) -> str:
        """Empty where there is no service, or one that runs something else."""
        program = PureWindowsPath(program_of(self._manager.command())[0])
        folder = program.parent
        ours = program.name.lower() == PYTHON and folder.parent == PureWindowsPath(self.versions)
        return folder.name if ours and is_version(folder.name) else ""

    @property
    def packaged_version(self) -> str:
        """Empty where none is noted, or it is not there any more."""
        try:
            version = self.packaged.read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return ""
        return version if is_version(version) and (self.of_version(version) / PYTHON).exists() else ""

    def switch(self, version: str) -> None:
        """Let the service run ``version`` from its next start on, with the options it has; and Windows run the version
        before, to go back, where that fails again and again.

        Raises:
            OSError: Windows refuses.
        """
        before = self.current_version
        rest = program_of(self._manager.command())[1]
        rescue = ""
        if before not in ("", version):
            options = rest.partition(" ".join(SERVICE))[2]
            rescue = command_line(self.python(before), [*MODULE, "update", "apply"]) + options
        self._manager.define(Commands(f"{command_line(self.python(version), ())} {rest}", rescue))
        self.write_command(version)

    def settle(self) -> None:
        """A switch has been judged: Windows goes on restarting a service that fails. It would leave it down after the
        command that goes back, which has nothing to do any more.

        Raises:
            OSError: Windows refuses.
        """
        self._manager.define(Commands(self._manager.command()))

    def python(self, version: str) -> str:
        return str(self.environment(version) / PYTHON)

    def write_command(self, version: str) -> None:
        """What people call: one line, for Windows goes on reading the file behind a command that replaced it."""
        words = rf'@"%~dp0{_VERSIONS}\{version}\{PYTHON}" {" ".join(MODULE)} %* & exit /b'
        write_atomically(self.command, f"{words}\r\n".encode("ascii"))

    def write_record(self, record: Record) -> None:
        for _ in range(_TRIES):
            try:
                super().write_record(record)
            except PermissionError:
                time.sleep(_TRY_AGAIN_SECONDS)
            else:
                return
        super().write_record(record)


def installation_of(prefix: Path) -> Installation | None:
    """The installation of a Python that stands in ``prefix``; None where it is not of that form. It cannot be switched:
    that is :class:`WindowsInstallation`'s."""
    if prefix.parent.name.lower() != _VERSIONS or not is_version(prefix.name):
        return None
    return Installation(prefix.parent.parent)
