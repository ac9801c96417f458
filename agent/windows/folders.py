"""Whose the agent's folders are on Windows: SYSTEM's and the administrators', whatever was there before.

Every user may make folders in ProgramData, and read what others make there. Who makes ours first would own the agent's
settings and read its key; so a folder is made with its rights, and one that is there must be an administrator's.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from agent.runtime.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Security descriptors (SDDL): owner Administrators; nothing inherited (P); SYSTEM and Administrators all, of files and
#: folders below, too (OICI). ``PROGRAM``: users read and execute.
STATE: Final = "O:BAG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
PROGRAM: Final = "O:BAG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)"
#: Of what stands inside: no right of its own, only what is inherited.
INSIDE: Final = "O:BAG:SYD:AI"

SYSTEM: Final = "S-1-5-18"
ADMINISTRATORS: Final = "S-1-5-32-544"
TRUSTED_INSTALLER: Final = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
_TRUSTED: Final = (SYSTEM, ADMINISTRATORS, TRUSTED_INSTALLER)
_REPARSE_POINT: Final = 0x400


class FolderError(AgentError):
    """A folder that cannot be made the agent's safely."""


class Security(Protocol):
    """What Windows is asked. Everything raises ``OSError`` where it refuses."""

    def make(self, path: Path, descriptor: str) -> bool:
        """Make a folder that has this descriptor from its first moment; false where something is there already."""

    def owner(self, path: Path) -> str:
        """The SID of whom it belongs to."""

    def set(self, path: Path, descriptor: str) -> None:
        """Give a file or folder this owner and these rights."""


def secure(security: Security, path: Path, descriptor: str) -> None:
    """Let ``path`` be a folder with this descriptor, and all inside have what it inherits and nothing else. A service
    that runs may write and remove files in it meanwhile.

    Raises:
        FolderError: it, or something inside, is a link or belongs to somebody who is no administrator.
        OSError: Windows refuses.
    """
    if security.make(path, descriptor):
        return
    if _is_link(path) or not path.is_dir():
        raise FolderError(f"{path}: not a folder but a link or a file: see who made it, and remove it")
    _check_owner(security, path)
    security.set(path, descriptor)  # from here on nobody else comes in
    for each in _inside(path):
        with suppress(FileNotFoundError):  # gone by now
            _check_owner(security, each)
            security.set(each, INSIDE)


def _check_owner(security: Security, path: Path) -> None:
    owner = security.owner(path)
    if owner not in _TRUSTED:
        raise FolderError(
            f"{path}: belongs to {owner}, who is neither SYSTEM nor the administrators, and may hold what the agent"
            " should not believe: look at it, and remove it"
        )


def _inside(path: Path) -> Iterator[Path]:
    try:
        with os.scandir(path) as entries:
            found = sorted(Path(each.path) for each in entries)
    except FileNotFoundError:
        return
    for each in found:
        try:
            link = _is_link(each)
        except FileNotFoundError:
            continue
        if link:
            raise FolderError(
                f"{each}: a link, which the agent has made nowhere: see who made it, and remove it"
            )
        yield each
        if each.is_dir():
            yield from _inside(each)


def _is_link(path: Path) -> bool:
    """Also a junction, which Python does not call a link."""
    status = path.lstat()
    return stat.S_ISLNK(status.st_mode) or bool(getattr(status, "st_file_attributes", 0) & _REPARSE_POINT)
