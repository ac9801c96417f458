"""``vonggac-agent update apply`` on Windows, where the service itself starts it beside it, or an administrator."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from agent.settings import DEFAULT_CONFIG
from agent.update import commands
from agent.update.applying import Apply, is_sound
from agent.update.errors import ReleaseError
from agent.update.following import FOLDER, READY
from agent.update.health import Health
from agent.update.manifest import is_version
from agent.update.place import DONE, ROLLED_BACK
from agent.update.sources import Folder
from agent.update.windows_environment import make
from agent.update.windows_place import WindowsInstallation
from agent.windows.scm import restart

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from pathlib import Path

    from agent.settings import StateDirectory
    from agent.update.place import Record
    from agent.update.sources import Source
    from agent.windows.scm import Manager


def apply(arguments: Namespace, state: StateDirectory) -> tuple[Record | None, str]:
    """As :func:`agent.update.commands.apply`, of the service of this machine."""
    from agent.update.place import own_installation
    from agent.windows.scm_api import WindowsManager  # type: ignore[attr-defined,unused-ignore]

    own = own_installation()
    if own is None:
        raise ReleaseError(
            "place", rf"{sys.prefix}: not an installation of the form <folder>\versions\<version>"
        )
    manager = WindowsManager()
    return attempt(arguments, state, WindowsInstallation(own.root, manager), manager)


def attempt(
    arguments: Namespace,
    state: StateDirectory,
    place: WindowsInstallation,
    manager: Manager,
    make: Callable[[Path, Path, str, Path | None], None] = make,
) -> tuple[Record | None, str]:
    """As :func:`agent.update.commands.apply`, with everything that it needs of Windows.

    Raises:
        ReleaseError: this is not the place or the moment for it; nothing was changed.
        OSError: Windows refuses.
    """
    if arguments.restart:
        raise ReleaseError("place", "--restart: on Windows it is the service that is restarted")
    offered = None if arguments.file is not None else take_offer(state.root)
    if not is_sound(place):
        raise ReleaseError(
            "place", f"{place.root}: no service runs a version of it: vonggac-agent service install"
        )
    work = _Apply(
        place,
        arguments.key,
        Health(state.status, arguments.health_seconds),
        config=arguments.config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None),
        restart=lambda: restart(manager),
        say=lambda line: print(line, file=sys.stderr),  # noqa: T201 - a command's own words
        make=make,
    )
    return commands.carry_out(work, place, arguments, offered)


class _Apply(Apply):
    def __init__(self, place: WindowsInstallation, *arguments: Any, **options: Any) -> None:
        super().__init__(place, *arguments, **options)
        self._windows = place

    def _note(self, record: Record, state: str, code: str, detail: str) -> Record:
        if state in (DONE, ROLLED_BACK):  # first: where it is cut off here, the next attempt comes by again
            try:
                self._windows.settle()
            except OSError as error:
                self._say(f"what Windows runs at the third failure: {error}")
        return super()._note(record, state, code, detail)

    def _keep_only(self, *versions: str) -> None:
        super()._keep_only(*versions, self._windows.packaged_version)

    def keep_launcher(self) -> None:
        """Nothing is started before the service's own command here: what stands outside the versions is what people
        call, and a switch writes that."""


def take_offer(state: Path) -> Source | None:
    """What the running agent says is complete. The word is taken away before anything else, so that it is looked at
    once, however that ends. The folder is SYSTEM's and the administrators', as the agent is.

    Raises:
        ReleaseError: the word cannot be taken away.
    """
    ready = state / FOLDER / READY
    try:
        version = ready.read_text(encoding="ascii", errors="replace")[:64]
        ready.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReleaseError("disk", f"{ready}: cannot be taken away: {error.strerror}") from error
    return Folder(state / FOLDER / version) if is_version(version) else None
