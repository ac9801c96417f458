"""The files of releases: taken out of a ``.vgrelease`` into the data directory, and found there by the agents' port."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.update.errors import ReleaseError
from agent.update.manifest import MANIFEST, SIGNATURE, is_version

if TYPE_CHECKING:
    from agent.update.manifest import Manifest
    from agent.update.sources import Source

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,200}\.whl|manifest\.json|manifest\.sig")


def place(source: Source, manifest: Manifest, folder: Path) -> None:
    """Put all of a release whose manifest was verified into ``folder/<version>``, whole or not at all.

    Raises:
        ReleaseError: a file is not what the manifest says.
        OSError: no room, no right.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / manifest.version
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as made:
        new = Path(made) / "release"
        new.mkdir(mode=0o700)
        for wheel in manifest.wheels:
            digest, size = hashlib.sha256(), 0
            with (new / wheel.name).open("xb") as file:
                for piece in source.wheel(wheel.name):
                    size += len(piece)
                    if size > wheel.size:
                        break
                    digest.update(piece)
                    file.write(piece)
            if size != wheel.size or digest.hexdigest() != wheel.sha256:
                raise ReleaseError("digest", f"{wheel.name}: not the file that was signed")
        (new / MANIFEST).write_bytes(source.manifest())
        (new / SIGNATURE).write_bytes(source.signature())
        if target.exists():
            target.rename(Path(made) / "old")
        new.rename(target)


def remove(folder: Path, version: str) -> None:
    """Nothing where it is not there."""
    if is_version(version):
        shutil.rmtree(folder / version, ignore_errors=True)


def find(folder: Path, path: str) -> tuple[Path, int] | None:
    """Path and size of ``<version>/<name>``; None for what is no file of a release."""
    version, _, name = path.partition("/")
    if not is_version(version) or _NAME.fullmatch(name) is None:
        return None
    found = folder / version / name
    try:
        status = found.lstat()
    except OSError:
        return None
    return (found, status.st_size) if stat.S_ISREG(status.st_mode) else None
