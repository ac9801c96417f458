"""Where the parts of a release are read from: a ``.vgrelease`` file, or a folder that its parts were fetched to.

Both may be written by somebody who is not trusted, also while they are read. Nothing follows links, blocks on a pipe or
reads more than it must; what was read counts only by signature and digest.
"""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, Protocol

from agent.runtime.files import open_own
from agent.update.errors import ReleaseError
from agent.update.manifest import MANIFEST, MOST_MANIFEST_BYTES, SIGNATURE, SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHEELS: Final = "wheels"
#: Members of a release's zip: two and the wheels, with room.
_MOST_MEMBERS: Final = 1000


class Source(Protocol):
    def manifest(self) -> bytes: ...

    def signature(self) -> bytes: ...

    def wheel(self, name: str) -> Iterator[bytes]:
        """Its bytes in pieces; the caller counts and digests them."""


class Folder:
    """``manifest.json``, ``manifest.sig`` and the wheels beside them, as the running agent leaves them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def manifest(self) -> bytes:
        return self.read(MANIFEST, MOST_MANIFEST_BYTES + 1)

    def signature(self) -> bytes:
        return self.read(SIGNATURE, SIGNATURE_BYTES + 1)

    def wheel(self, name: str) -> Iterator[bytes]:
        with self._open(name) as file:
            while piece := file.read(1 << 20):
                yield piece

    def read(self, name: str, most: int) -> bytes:
        """The first ``most`` bytes of a file; raise :class:`ReleaseError` where it is none."""
        with self._open(name) as file:
            return file.read(most)

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            descriptor = open_own(self._path / name)
        except OSError as error:
            raise ReleaseError("form", f"{name}: {error.strerror}") from error
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
            yield file


class ReleaseFile:
    """A ``.vgrelease``. Close it."""

    def __init__(self, path: Path) -> None:
        """Raise :class:`ReleaseError` where it is none."""
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise ReleaseError("form", f"{path.name}: {error}") from error
        members = self._zip.infolist()
        self._members = {each.filename: each for each in members}
        if len(members) > _MOST_MEMBERS or len(self._members) != len(members):
            self._zip.close()
            raise ReleaseError("form", f"{path.name}: not a release: its list of members is not sound")

    def close(self) -> None:
        self._zip.close()

    def manifest(self) -> bytes:
        return b"".join(self._pieces(MANIFEST, MOST_MANIFEST_BYTES))

    def signature(self) -> bytes:
        return b"".join(self._pieces(SIGNATURE, SIGNATURE_BYTES))

    def wheel(self, name: str) -> Iterator[bytes]:
        return self._pieces(f"{WHEELS}/{name}", 1 << 40)

    def _pieces(self, name: str, most: int) -> Iterator[bytes]:
        member = self._members.get(name)
        if member is None or member.compress_type != zipfile.ZIP_STORED or member.file_size > most:
            raise ReleaseError("form", f"{name}: missing, compressed or too large")
        try:
            with self._zip.open(member) as file:
                while piece := file.read(1 << 20):
                    yield piece
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise ReleaseError("form", f"{name}: {error}") from error
