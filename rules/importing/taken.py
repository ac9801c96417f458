"""The releases that were taken, on disk: ``current.json``, and a folder each with ``manifest.json`` and ``rules/``.

A release's folder never changes once it has its name, and ``current.json`` is replaced in one step, so whoever reads
sees one release or the other. The one before is kept, to go back to; older ones are removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from rules.importing.errors import ImportingError
from rules.importing.manifest import FORMAT, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rules.importing.selection import Selection

_CURRENT: Final = "current.json"
_MANIFEST: Final = "manifest.json"
_RULES: Final = "rules"


class Current(Struct, frozen=True):
    """``release`` is a folder's name, empty where the import was taken back to nothing; ``taken_at`` is ISO 8601."""

    release: str
    previous: str
    taken_at: str


class Imported:
    """``<data>/rules/imported``. Reading needs nothing to exist."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def revision(self) -> str:
        """Changes whenever another release is taken; empty where there is none. Costs one ``stat``."""
        try:
            found = (self.root / _CURRENT).stat()
        except OSError:
            return ""
        return f"{found.st_mtime_ns}-{found.st_ino}"

    def state(self) -> Current:
        """Raise :class:`ImportingError` where ``current.json`` cannot be read."""
        try:
            data = (self.root / _CURRENT).read_bytes()
        except FileNotFoundError:
            return Current("", "", "")
        try:
            current = msgspec.json.decode(data, type=Current)
        except msgspec.MsgspecError as problem:
            raise ImportingError(f"{self.root / _CURRENT} is damaged: import a release again") from problem
        if {"/", "\\"} & set(current.release + current.previous) or current.release.startswith("."):
            raise ImportingError(f"{self.root / _CURRENT} is damaged: import a release again")
        return current

    def folder(self) -> Path | None:
        """The chosen rules of the current release."""
        name = self.state().release
        return self.root / name / _RULES if name else None

    def current(self) -> Manifest | None:
        name = self.state().release
        return self.manifest(name) if name else None

    def manifest(self, name: str) -> Manifest:
        """Raise :class:`ImportingError` where it is missing, damaged or of another version."""
        path = self.root / name / _MANIFEST
        try:
            manifest = Manifest.decoded(path.read_bytes())
        except (OSError, msgspec.MsgspecError) as problem:
            raise ImportingError(f"{path} cannot be read: import the release again ({problem})") from problem
        if manifest.format != FORMAT:
            raise ImportingError(f"{path} is of another version of this program: import the release again")
        return manifest

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        """A folder beside the releases, removed afterwards unless it became one."""
        with tempfile.TemporaryDirectory(prefix=".staging-", dir=self.root) as folder:
            yield self.root / folder

    def take(self, selection: Selection, now: str) -> None:
        """Make ``selection`` the current release; ``now`` is ISO 8601. The one before stays as the previous one."""
        name = selection.manifest.name
        with self._locked():
            state = self._state_or_none()
            with self._staging() as staging:
                made = staging / name
                made.mkdir(mode=0o700)
                for file, text in selection.texts.items():
                    path = made / _RULES / file
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
                (made / _RULES).mkdir(exist_ok=True)
                (made / _MANIFEST).write_bytes(selection.manifest.encoded())
                for path in sorted(made.rglob("*")):
                    _sync(path)
                if (
                    self.root / name
                ).exists():  # the same rules by the same choice: what lies there may be damaged
                    shutil.move(self.root / name, staging / ".before")
                made.rename(self.root / name)
            previous = state.release if state.release != name else state.previous
            self._write(Current(name, previous, now))
            self._forget_others(name, previous)

    def back(self, now: str) -> Current:
        """Make the previous release the current one again (a second time: forth). Returns what is current now.

        Raises:
            ImportingError: nothing was imported before.
        """
        with self._locked():
            state = self.state()
            if not state.release and not state.previous:
                raise ImportingError("nothing was imported: there is nothing to go back to")
            if state.previous:
                self.manifest(state.previous)
            current = Current(state.previous, state.release, now)
            self._write(current)
            return current

    def _state_or_none(self) -> Current:
        try:
            return self.state()
        except ImportingError:
            return Current("", "", "")

    def _write(self, current: Current) -> None:
        passing = self.root / f".{_CURRENT}"
        passing.write_bytes(msgspec.json.encode(current) + b"\n")
        _sync(passing)
        passing.replace(self.root / _CURRENT)
        _sync(self.root)

    def _forget_others(self, *kept: str) -> None:
        for path in self.root.iterdir():
            if path.is_dir() and path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def selected_files(root: Path) -> list[Path]:
    """The files of the current release's chosen rules, in order; none where nothing was imported or it is damaged."""
    try:
        folder = Imported(root).folder()
    except ImportingError:
        return []
    return sorted(folder.rglob("*.yml")) if folder is not None and folder.is_dir() else []


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
