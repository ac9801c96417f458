"""Serves the agent's wheels to machines that install it (``/v1/bundle``): a list, and files by name."""

from __future__ import annotations

import hashlib
import re
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,200}\.(?:whl|txt)")
_CHUNK_BYTES = 64 << 10


class Bundle:
    """The files of one folder that look like wheels (or a requirements list); links and others are not seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: dict[tuple[str, int, int], str] = {}

    def listing(self) -> dict[str, Any]:
        """``{"files": [{"name", "size", "sha256"}]}`` by name; empty where there is no folder."""
        return {"files": list(self._files())}

    def find(self, name: str) -> tuple[Path, int] | None:
        """Path and size of a file in the listing; None for any other name."""
        if _NAME.fullmatch(name) is None:
            return None
        path = self._folder / name
        try:
            status = path.lstat()
        except OSError:
            return None
        return (path, status.st_size) if stat.S_ISREG(status.st_mode) else None

    def _files(self) -> Iterator[dict[str, Any]]:
        try:
            names = sorted(entry.name for entry in self._folder.iterdir())
        except FileNotFoundError:
            return
        for name in names:
            found = self.find(name)
            if found is not None:
                yield {"name": name, "size": found[1], "sha256": self._digest(found[0])}

    def _digest(self, path: Path) -> str:
        status = path.stat()
        key = (path.name, status.st_mtime_ns, status.st_size)
        if key not in self._digests:
            with path.open("rb") as file:
                self._digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[key]


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
