"""The newest file of a backup, and what is wrong with it. Follows no links: neither a folder's nor a file's."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.probe.backups.settings import System

#: More names in one folder are not looked at.
_MOST_NAMES: Final = 20_000
_CHUNK: Final = 1 << 20
_SUM: Final = re.compile(rb"(?:^|[\s=])([0-9a-fA-F]{64})(?=\s|$)")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Found(Struct, frozen=True):
    """A regular file. ``identity`` changes when the file does."""

    path: str
    size: int
    modified: float
    identity: str


def newest(system: System) -> Found | None:
    """``None`` where no regular file fits.

    Raises:
        OSError: a folder cannot be read (one that is not there counts as empty).
    """
    best: Found | None = None
    for pattern in system.files:
        folder, _, last = pattern.rpartition("/")
        for found in _fitting(folder or "/", last, system.checksum):
            if best is None or found.modified > best.modified:
                best = found
    return best


def judge(system: System, now: float, summed: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document of a system, and what is known of its newest file's checksum (``summed`` is that of last time: a
    file that has not changed is not read again).

    ``state``: ``good``, ``overdue``, ``missing``, ``small``, ``sum_missing``, ``damaged`` or ``unreadable``.
    """
    try:
        found = newest(system)
    except OSError as error:
        return {"state": "unreadable", "reason": (error.strerror or str(error))[:200]}, {}
    if found is None:
        return {"state": "missing"}, {}
    body: dict[str, Any] = {
        "newest_time": round(found.modified, 3),
        "size_bytes": found.size,
        "file": os.path.basename(found.path),  # noqa: PTH119 - a name, not a way to it
    }
    known: dict[str, Any] = {}
    if found.size < system.least_bytes:
        body["state"], body["reason"] = "small", f"{found.size} < {system.least_bytes}"
    elif system.checksum:
        known = dict(summed) if summed.get("identity") == found.identity else _summed(found, system.checksum)
        body["state"] = known["state"]
    else:
        body["state"] = "good"
    if body["state"] == "good" and now - found.modified > system.hours * 3600.0:
        body["state"] = "overdue"
    return body, known


def parse_sum(data: bytes) -> str:
    """The SHA-256 in a file as sha256sum or openssl writes it; empty where there is none."""
    found = _SUM.search(data)
    return found[1].decode().lower() if found is not None else ""


def _fitting(folder: str, pattern: str, checksum: str) -> Iterator[Found]:
    try:
        descriptor = _open_folder(folder)
    except FileNotFoundError:
        return
    try:
        with os.scandir(descriptor) as names:
            for number, entry in enumerate(names):
                if number >= _MOST_NAMES:
                    return
                if not fnmatch.fnmatchcase(entry.name, pattern) or (
                    checksum and entry.name.endswith(checksum)
                ):
                    continue
                with suppress(OSError):
                    told = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(told.st_mode):
                        identity = f"{told.st_dev}:{told.st_ino}:{told.st_size}:{told.st_mtime_ns}"
                        yield Found(f"{folder}/{entry.name}", told.st_size, told.st_mtime, identity)
    finally:
        os.close(descriptor)


def _open_folder(path: str) -> int:
    """A descriptor of the folder, reached step by step so that no part of the way is a link."""
    descriptor = os.open("/", _FOLDER)
    for part in path.split("/"):
        if not part:
            continue
        try:
            below = os.open(part, _FOLDER, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _summed(found: Found, ending: str) -> dict[str, Any]:
    folder, _, name = found.path.rpartition("/")
    try:
        descriptor = _open_folder(folder or "/")
        try:
            wanted = parse_sum(_read(descriptor, name + ending, 4096))
            if not wanted:
                return {"state": "sum_missing"}
            file = os.open(name, _FILE, dir_fd=descriptor)
            digest = hashlib.sha256()
            with os.fdopen(file, "rb") as data:
                while chunk := data.read(_CHUNK):
                    digest.update(chunk)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return {"state": "sum_missing"}
    except OSError:
        return {"state": "unreadable"}
    state = "good" if digest.hexdigest() == wanted else "damaged"
    return {"state": state, "identity": found.identity}


def _read(folder: int, name: str, most: int) -> bytes:
    with os.fdopen(os.open(name, _FILE, dir_fd=folder), "rb") as file:
        return file.read(most)
