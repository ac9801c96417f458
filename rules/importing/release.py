"""Reads a release: a folder or a zip file that a person carried here. Hostile: names are never used as paths, links
are not followed, and what is unpacked is bounded by what is read, not by what the archive claims."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from rules.engine.loading import EVIDENCE_SUFFIX
from rules.importing.errors import ImportingError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE_BYTES: Final = 1 << 20
MAX_TOTAL_BYTES: Final = 128 << 20
MAX_ENTRIES: Final = 100_000
MAX_ARCHIVE_BYTES: Final = 512 << 20
#: What the list of an archive's members may take; Python reads it whole before anybody can count them.
MAX_DIRECTORY_BYTES: Final = 16 << 20
_SUFFIXES: Final = (".yml", ".yaml")
_PARTS: Final = 12
_END_OF_DIRECTORY: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
_MAX_COMMENT: Final = 65_535
_ENCRYPTED: Final = 0x1
#: Others (LZMA above all) let a member say how much memory it wants to be unpacked in.
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Passed:
    """A file of the release that was not read, and why. ``name`` is as the release writes it: hostile."""

    name: str
    reason: str


@dataclass(slots=True)
class Release:
    """``files``: a safe relative path to text. ``digest``: SHA-256 over names and content, whatever their order."""

    name: str
    digest: str = ""
    files: dict[str, str] = field(default_factory=dict)
    passed: list[Passed] = field(default_factory=list)


def read_release(path: Path) -> Release:
    """Read every YAML file of the folder or zip file ``path``; evidence and other files are left out.

    Raises:
        ImportingError: it is neither, cannot be read, is beyond the limits, or holds no YAML file.
    """
    release = Release(name=_safe(path.resolve().stem if path.is_file() else path.resolve().name) or "release")
    if path.is_dir():
        members: Iterator[tuple[str, bytes | str]] = _folder(path)
    elif path.is_file():
        members = _archive(path)
    else:
        raise ImportingError(f"{path} is neither a folder nor a file")
    total = 0
    for name, content in members:
        if isinstance(content, str):
            release.passed.append(Passed(name, content))
            continue
        total += len(content)
        if total > MAX_TOTAL_BYTES:
            raise ImportingError(
                f"more than {MAX_TOTAL_BYTES:,} bytes of YAML in {path}: this is no release of rules"
            )
        _take(release, name, content)
    if not release.files:
        raise ImportingError(
            f"no YAML file in {path}: name the folder or zip file of a release of Sigma rules"
        )
    digest = hashlib.sha256()
    for name in sorted(release.files):
        digest.update(f"{name}\0{hashlib.sha256(release.files[name].encode()).hexdigest()}\n".encode())
    release.digest = digest.hexdigest()
    return release


def _take(release: Release, name: str, content: bytes) -> None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        release.passed.append(Passed(name, "not UTF-8"))
        return
    safe = safe_path(name)
    if safe in release.files:
        if release.files[safe] == text:
            return
        mark = hashlib.sha256(f"{name}\0{text}".encode()).hexdigest()[:12]
        safe = f"{safe.rpartition('.')[0]}-{mark}.yml"
    release.files[safe] = text


def safe_path(name: str) -> str:
    """A relative path that is safe to write, and reads like ``name``: letters, digits, ``._-``, no leading dots."""
    parts = [part for part in map(_safe, re.split(r"[/\\]", name)) if part]
    stem = PurePosixPath(parts[-1] if parts else "rule").stem[:100] or "rule"
    return "/".join([*(part[:100] for part in parts[:-1][-_PARTS:]), f"{stem}.yml"])


def _safe(part: str) -> str:
    return _UNSAFE.sub("_", part).strip("._")


def _wanted(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES) and not name.endswith(EVIDENCE_SUFFIX)


def _folder(root: Path) -> Iterator[tuple[str, bytes | str]]:
    count = 0
    for folder, folders, files in os.walk(root, followlinks=False):
        folders.sort()
        for each in sorted(files):
            count += 1
            if count > MAX_ENTRIES:
                raise ImportingError(
                    f"more than {MAX_ENTRIES:,} files under {root}: name the release's own folder"
                )
            path = Path(folder, each)
            name = path.relative_to(root).as_posix()
            if _wanted(name):
                yield name.encode("utf-8", "replace").decode(), _read_file(path)


def _read_file(path: Path) -> bytes | str:
    """Its content, or why not. Opened without following a link and without waiting for a pipe's other end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as problem:
        return "a link" if path.is_symlink() else f"cannot be read: {problem.strerror}"
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return "no ordinary file"
        return _bounded(file)


def _archive(path: Path) -> Iterator[tuple[str, bytes | str]]:
    try:
        with path.open("rb") as file:
            _check_size(path, file)
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if len(members) > MAX_ENTRIES:
                    raise ImportingError(
                        f"more than {MAX_ENTRIES:,} members in {path}: this is no release of rules"
                    )
                for member in members:
                    if _wanted(member.filename):
                        yield (
                            member.filename.encode("utf-8", "replace").decode(),
                            _read_member(archive, member),
                        )
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as problem:
        raise ImportingError(f"{path} is no zip file that can be read: {problem}") from problem


def _check_size(path: Path, file: IO[bytes]) -> None:
    size = file.seek(0, os.SEEK_END)
    if size > MAX_ARCHIVE_BYTES:
        raise ImportingError(
            f"{path} has {size:,} bytes; a release of rules has at most {MAX_ARCHIVE_BYTES:,}"
        )
    file.seek(max(0, size - _END_BYTES - _MAX_COMMENT))
    tail = file.read()
    at = tail.rfind(_END_OF_DIRECTORY)
    # 0xFFFFFFFF stands for a 64-bit size elsewhere, which nothing of this kind needs.
    if at >= 0 and int.from_bytes(tail[at + 12 : at + 16], "little") > MAX_DIRECTORY_BYTES:
        raise ImportingError(f"{path} lists too many members: this is no release of rules")
    file.seek(0)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | str:
    kind = stat.S_IFMT(member.external_attr >> 16)
    name = member.filename
    if kind not in (0, stat.S_IFREG):
        return "a link or device"
    if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"[A-Za-z]:", name):
        return "its path leads out of the release"
    if member.flag_bits & _ENCRYPTED:
        return "encrypted"
    if member.compress_type not in _METHODS:
        return "packed in a way that is not read here"
    try:
        with archive.open(member) as file:
            return _bounded(file)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError) as problem:
        return f"damaged: {' '.join(str(problem).split())[:200]}"


def _bounded(file: IO[bytes]) -> bytes | str:
    content = file.read(MAX_FILE_BYTES + 1)
    return (
        content
        if len(content) <= MAX_FILE_BYTES
        else f"larger than {MAX_FILE_BYTES:,} bytes, which no rule is"
    )
