"""What a version of the agent is on Windows: a Python with the packages unpacked beside it, and nothing else of the
machine's.

The Python is python.org's embeddable one: a flat folder that is not registered anywhere. Its ``._pth`` file makes it
take its modules from that folder alone, whatever ``PYTHONPATH``, the registry or a user's own packages say. Packaging
lays a version out by the same functions by which an update does.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Final

from agent.update import environment
from agent.update.errors import ReleaseError
from agent.update.manifest import PRODUCT
from agent.update.windows_place import PYTHON
from agent.windows.scm import MODULE

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES: Final = "Lib/site-packages"
_NAME: Final = re.compile(r"[A-Za-z0-9_.+!@-][A-Za-z0-9_.+!@ -]*")
_MOST_MEMBER_BYTES: Final = 128 << 20
_MOST_MEMBERS: Final = 20_000


def search_path(version: tuple[int, int]) -> tuple[str, bytes]:
    """Name and content of the file that says where this Python finds modules, and nowhere else."""
    name = "python{}{}".format(*version)
    return f"{name}._pth", f"{name}.zip\r\n.\r\n{PACKAGES.replace('/', chr(92))}\r\n".encode("ascii")


def members(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """The files that a wheel puts into ``Lib\\site-packages``, by their path there. Scripts and data have no place; of
    the project's own wheel the agent is taken alone.

    Raises:
        ReleaseError: it is not a wheel, or would write elsewhere.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            infos = archive.infolist()
            if len(infos) > _MOST_MEMBERS:
                raise ReleaseError("form", f"{wheel.name}: too many files")
            for info in sorted(infos, key=lambda each: each.filename):
                path = "" if info.is_dir() else _place_of(info.filename, wheel.name)
                if path:
                    if info.file_size > _MOST_MEMBER_BYTES:
                        raise ReleaseError("form", f"{wheel.name}: {path[:100]}: too large")
                    yield path, archive.read(info)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ReleaseError("form", f"{wheel.name}: {error}"[:300]) from error


def _place_of(name: str, wheel: str) -> str:
    """Where a member of a wheel goes below ``Lib\\site-packages``; empty: nowhere."""
    parts = name.split("/")
    if (
        not all(_NAME.fullmatch(part) and part[-1] not in ". " for part in parts)
        or PureWindowsPath(name).is_reserved()
    ):
        raise ReleaseError("form", f"{wheel}: {name[:100]!r}: not a path that a package has")
    if parts[0].endswith(".data"):
        parts = parts[2:] if parts[1:2] in (["purelib"], ["platlib"]) else []
    elif wheel.startswith(f"{PRODUCT}-") and parts[0] != "agent" and not parts[0].endswith(".dist-info"):
        parts = []
    return "/".join(parts)


def make(
    folder: Path, wheels: Path, version: str, config: Path | None, *, home: Path = Path(sys.prefix)
) -> None:
    """Lay out ``version`` in ``folder``, which is there and empty: the Python that stands in ``home``, and every wheel
    of the folder ``wheels``. Let it say who it is, and whether it understands this machine's settings.

    Raises:
        ReleaseError: it could not be built, or does not run here; what is there is to be removed.
    """
    for each in sorted(home.iterdir()):
        if each.is_file():
            shutil.copy(each, folder)
    name, content = search_path(sys.version_info[:2])
    (folder / name).write_bytes(content)
    for wheel in sorted(wheels.glob("*.whl")):
        for path, data in members(wheel):
            target = folder / PACKAGES / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise ReleaseError("build", f"{wheel.name}: {path[:100]}: there already")
            with target.open("xb") as file:
                file.write(data)
    for each in folder.rglob("*"):
        if each.is_file():
            _sync(each)
    environment.check(str(folder / PYTHON), MODULE, version, config)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
