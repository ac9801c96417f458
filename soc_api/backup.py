"""The data directory as one consistent file, and back.

A backup is a tar file: ``manifest.json`` first, then the directory's files. The state store and the log are taken by
SQLite's online backup (a state store in PostgreSQL as the same file, copied row by row from one moment), the event
store by hard-linked snapshots of its immutable parts (``ALTER TABLE … FREEZE``) and of the archive beside it, so the
processes keep running. The order makes it consistent: the state store first (it says how far the worker was), the log
after it (it holds everything since), the event store last; on the next start the worker deletes what lies beyond its
checkpoint and works it again. A log and events on servers of their own stay there. The file holds the private keys:
mode 0600, keep it as safe as them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from collector.errors import CollectorError
from collector.state import transfer
from collector.state.database import StateStore, is_made, place_of_state
from collector.state.migrate import upgrade
from soc_api import backup_archive
from soc_api.events_here import with_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from collector.settings import DataDirectory, Settings
    from collector.state.postgres import Database
    from collector.store.client import StoreClient
    from collector.store.engine import Engine

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_PLAIN: Final = ("ca", "bundle", "releases", "release.pub", "rules", "vonggac.toml")
_CHUNK: Final = 1 << 20
_MANIFEST_BYTES: Final = 256 << 20


class BackupError(CollectorError):
    """A backup that cannot be made or brought back; ``str()`` says what to do."""


@dataclass(frozen=True, slots=True)
class BackupResult:
    path: Path
    files: int
    bytes: int
    #: Whether the event store's owner was running (its parts were frozen by it) or the store was opened for
    #: this.
    live: bool


def make(
    data: DataDirectory, settings: Settings, target: Path, now: datetime, progress: Callable[[str], None]
) -> BackupResult:
    """Write a backup of ``data`` to ``target``, which must not exist. ``progress`` gets one line a step.

    Raises:
        BackupError: no data directory, the target exists, or a store cannot be read.
    """
    if not is_made(settings, data):
        raise BackupError(f"{data.root} is not a data directory: name another with --data")
    if target.exists():
        raise BackupError(f"{target} exists: a backup never overwrites; name another file")
    name = f"backup{os.getpid()}"
    shadow = data.events / "shadow" / name
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=data.root) as passing:
        files: dict[str, Path] = {}
        try:
            progress("state …")
            files[data.state.name] = Path(passing) / data.state.name
            _copy_state(place_of_state(settings, data), files[data.state.name])
            if data.log.exists():
                progress("log …")
                files[data.log.name] = Path(passing) / data.log.name
                _copy_database(data.log, files[data.log.name])
            live = False
            if data.events.exists() and not settings.events.url:
                progress("events …")
                before = backup_archive.archived(data.archive)
                live = _freeze(data, name)
                files |= dict(_event_files(data.events, shadow))
                files |= backup_archive.pin(data.archive, before, shadow, Path(passing) / "archive")
            for entry in _PLAIN:
                files |= dict(_walk(data.root / entry, PurePosixPath(entry)))
            progress(f"writing {len(files)} files …")
            size = _write(target, files, now)
        finally:
            shutil.rmtree(shadow, ignore_errors=True)
    return BackupResult(target, len(files), size, live)


def bring_back(source: Path, target: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Unpack the backup ``source`` to ``target``, which must not exist or be empty; return its manifest.

    Every file is checked against the manifest's SHA-256; where one differs nothing is left behind.

    Raises:
        BackupError: the target is not empty, or the backup is damaged or not one of ours.
    """
    if target.exists() and any(target.iterdir()):
        raise BackupError(f"{target} is not empty: restore never overwrites; name another directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=target.parent) as passing:
        try:
            with tarfile.open(source, "r:") as archive:
                manifest = _read_manifest(archive)
                progress(f"{len(manifest['files'])} files …")
                _unpack(archive, manifest["files"], Path(passing))
        except (tarfile.TarError, EOFError) as error:
            raise BackupError(f"{source} is damaged or not a backup: {error}") from error
        for link, to in manifest["links"].items():
            place = Path(passing) / _safe(link)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.symlink_to(_safe_link(link, to))
        if target.exists():
            target.rmdir()
        Path(passing).chmod(0o700)
        Path(passing).rename(target)
        Path(passing).mkdir()  # for the context manager to remove
    return manifest


def _copy_state(where: Path | Database, target: Path) -> None:
    if isinstance(where, Path):
        _copy_database(where, target)
        return
    upgrade(target)
    with closing(StateStore(where)) as source, closing(StateStore(target)) as copy:
        transfer.copy(source, copy, lambda _line: None)
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _copy_database(source: Path, target: Path) -> None:
    read_only = f"{source.as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(read_only, uri=True)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new, pages=4096)
            new.execute("PRAGMA journal_mode=DELETE")
            verdict = new.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupError(f"{source}: {error}") from error
    if verdict != "ok":
        raise BackupError(f"{source} is damaged ({verdict}): bring back an older backup")


def _freeze(data: DataDirectory, name: str) -> bool:
    """Pin the event store's parts; whether its owner did it."""

    def by_owner(client: StoreClient) -> bool:
        client.freeze(name)
        return True

    def here(engine: Engine) -> bool:
        engine.freeze(name)
        return False

    return with_events(data, by_owner, here)


def _event_files(events: Path, shadow: Path) -> Iterator[tuple[str, Path]]:
    """The frozen parts where they belong, the tables' definitions, and each table's format file."""
    yield from _walk(shadow / "store", PurePosixPath("events/store"))
    for path in (events / "store").rglob("*"):
        if path.is_file() and (path.suffix == ".sql" or path.name == "format_version.txt"):
            yield str(PurePosixPath("events") / path.relative_to(events)), path
    yield from _walk(events / "metadata", PurePosixPath("events/metadata"))


def _walk(path: Path, name: PurePosixPath) -> Iterator[tuple[str, Path]]:
    if path.is_symlink() or path.is_file():
        yield str(name), path
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            yield from _walk(child, name / child.name)


def _write(target: Path, files: dict[str, Path], now: datetime) -> int:
    digests: dict[str, str] = {}
    links: dict[str, str] = {}
    for name, path in files.items():
        if path.is_symlink():
            links[name] = str(path.readlink())
        else:
            with path.open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = {"format": FORMAT, "made_at": now.isoformat(), "files": digests, "links": links}
    passing = target.with_name(target.name + ".new")
    descriptor = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
                _add(archive, MANIFEST, json.dumps(manifest, indent=1).encode())
                for name in digests:
                    archive.add(files[name], arcname=name, recursive=False)
            out.flush()
            os.fsync(out.fileno())
        passing.rename(target)
    finally:
        passing.unlink(missing_ok=True)
    return target.stat().st_size


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o600
    archive.addfile(entry, io.BytesIO(content))


def _read_manifest(archive: tarfile.TarFile) -> dict[str, Any]:
    entry = archive.next()
    content = archive.extractfile(entry) if entry is not None and entry.name == MANIFEST else None
    if entry is None or content is None or entry.size > _MANIFEST_BYTES:
        raise BackupError("not a backup of Vọng Gác: it does not begin with its manifest")
    try:
        manifest: dict[str, Any] = json.loads(content.read())
        known, files, links = manifest["format"], manifest["files"], manifest["links"]
        whole = all(
            isinstance(text, str) for pairs in (files, links) for pair in pairs.items() for text in pair
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise BackupError("the backup's manifest is damaged: use another backup")
    if known != FORMAT:
        raise BackupError(f"the backup has format {known}; this program knows {FORMAT}")
    return manifest


def _unpack(archive: tarfile.TarFile, digests: dict[str, str], target: Path) -> None:
    waiting = dict(digests)
    while (entry := archive.next()) is not None:
        expected = waiting.pop(entry.name, None)
        content = archive.extractfile(entry) if entry.isfile() else None
        if expected is None or content is None:
            raise BackupError(f"the backup holds {entry.name!r}, which its manifest does not name")
        place = target / _safe(entry.name)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = 0o644 if place.suffix == ".crt" else 0o600
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            if _pour(content, out) != expected:
                raise BackupError(f"{entry.name} in the backup is damaged: use another backup")
    if waiting:
        raise BackupError(f"the backup is cut off: {min(waiting)} is missing; use another backup")


def _pour(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


def _safe(name: str) -> Path:
    """``name`` as a path below the target; raise where it would lead out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise BackupError(f"the backup names a path outside of itself: {name!r}")
    return Path(path)


def _safe_link(name: str, to: str) -> str:
    """A link may only lead to somewhere within the backup."""
    resolved = PurePosixPath(os.path.normpath(PurePosixPath(name).parent / to))
    if PurePosixPath(to).is_absolute():
        raise BackupError(f"the backup holds a link outside of itself: {name!r}")
    _safe(str(resolved))
    return to
