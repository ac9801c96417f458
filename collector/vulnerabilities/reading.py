"""Reads a feed's file record by record: a zip of OSV's records, the NVD's or CISA's JSON (also gzipped or zipped).

What is held in memory is one record and the zip's directory. Files are hostile: every member, every record and all of
them together have a bound, counted as they are unpacked and not as they say of themselves.
"""

from __future__ import annotations

import gzip
import json
import re
import struct
import zipfile
import zlib
from codecs import getincrementaldecoder
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from typing import IO, TYPE_CHECKING, Any, Final, cast

from collector.vulnerabilities.errors import FeedError, RecordError
from collector.vulnerabilities.kev import parse_kev
from collector.vulnerabilities.nvd import parse_nvd
from collector.vulnerabilities.osv import parse_osv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from collector.vulnerabilities.models import Advisory

MAX_RECORD_BYTES: Final = 16 << 20
MAX_UNPACKED_BYTES: Final = 32 << 30
MAX_MEMBERS: Final = 2_000_000
_CHUNK: Final = 1 << 20
_HEAD: Final = 4096
_LIST: Final = re.compile(r'"vulnerabilities"\s*:\s*\[')
_BETWEEN: Final = re.compile(r"[\s,]*")
_decoder: Final = json.JSONDecoder()
#: What opening and unpacking raises where a file is cut, changed or packed in a way that is not read here. A name that
#: is no UTF-8 is a ``ValueError``.
_DAMAGED: Final = (
    *(OSError, EOFError, ValueError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, LZMAError, struct.error),
)


@dataclass(frozen=True, slots=True)
class Read:
    """One record: where it stands, and what it says; an advisory of None is left out on purpose, a ``fault`` says why
    it cannot be read."""

    place: str
    advisory: Advisory | None
    fault: str = ""


class _Budget:
    """Counts what all members together unpack to."""

    def __init__(self) -> None:
        self._left = MAX_UNPACKED_BYTES

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise FeedError(f"unpacks to more than {MAX_UNPACKED_BYTES >> 30} GB: not a feed")


def kind_of(head: bytes) -> str:
    """``nvd``, ``kev`` or ``osv`` by how a file begins."""
    if b'"NVD_CVE"' in head:
        return "nvd"
    return "kev" if b'"catalogVersion"' in head else "osv"


def read_feed(path: Path) -> tuple[str, Iterator[Read]]:
    """``(kind, records)``; the records are read as they are asked for.

    Raises:
        FeedError: at once or while reading: it is none of these files, or one that ends in its middle.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == b"PK\x03\x04":
            return _zipped(path)
        opened = partial(_open_gzip if magic[:2] == b"\x1f\x8b" else _open, path)
        with _plain(path, opened) as file:
            kind = kind_of(file.read(_HEAD))
    except _DAMAGED as error:
        raise FeedError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return kind, _from_file(path, kind, opened)


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _open_gzip(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb"))


@contextmanager
def _plain(path: Path, opened: Callable[[], IO[bytes]]) -> Iterator[IO[bytes]]:
    """The open file; what goes wrong in reading it names it."""
    try:
        with opened() as file:
            yield file
    except _DAMAGED as error:
        raise FeedError(f"{path}: {error}") from error


def _from_file(path: Path, kind: str, opened: Callable[[], IO[bytes]]) -> Iterator[Read]:
    with _plain(path, opened) as file:
        if kind == "osv":
            raw = file.read(MAX_RECORD_BYTES + 1)
            yield _osv(path.name, raw)
        else:
            yield from _listed(path.name, kind, file, _Budget())


def _zipped(path: Path) -> tuple[str, Iterator[Read]]:
    with _archive(path) as archive:
        members = _members(path, archive)
        with archive.open(members[0]) as first:
            kind = kind_of(first.read(_HEAD))
    return kind, _from_zip(path, kind)


def _from_zip(path: Path, kind: str) -> Iterator[Read]:
    budget = _Budget()
    with _archive(path) as archive:
        for member in _members(path, archive):
            place = f"{path.name}:{member.filename[:200]}"
            if kind == "osv":
                try:
                    with archive.open(member) as file:
                        raw = file.read(MAX_RECORD_BYTES + 1)
                except _DAMAGED as error:
                    yield Read(place, None, str(error)[:300])
                    continue
                budget.spend(len(raw))
                yield _osv(place, raw)
            else:
                with archive.open(member) as file:
                    yield from _listed(place, kind, file, budget)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with _plain(path, partial(_open, path)) as file, zipfile.ZipFile(file) as archive:
        yield archive


def _members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    found = [member for member in archive.infolist() if member.filename.endswith(".json")]
    if not found:
        raise FeedError(f"{path}: a zip without any .json file: give one as OSV, the NVD or CISA publish it")
    if len(found) > MAX_MEMBERS:
        raise FeedError(f"{path}: more than {MAX_MEMBERS:,} files: not a feed")
    return found


def _osv(place: str, raw: bytes) -> Read:
    if len(raw) > MAX_RECORD_BYTES:
        return Read(place, None, f"larger than {MAX_RECORD_BYTES >> 20} MB")
    try:
        return Read(place, parse_osv(raw))
    except RecordError as error:
        return Read(place, None, str(error))


def _listed(place: str, kind: str, file: IO[bytes], budget: _Budget) -> Iterator[Read]:
    parse = parse_nvd if kind == "nvd" else parse_kev
    for number, item in enumerate(_items(place, file, budget)):
        here = f"{place}: vulnerabilities[{number}]"
        try:
            yield Read(here, parse(item))
        except RecordError as error:
            yield Read(here, None, str(error))


def _items(place: str, file: IO[bytes], budget: _Budget) -> Iterator[Any]:
    """The elements of the list ``vulnerabilities``, one after the other.

    Raises:
        FeedError: what is between two elements is no JSON, so that nobody can say where the next one begins.
    """
    text, at, ended, number = "", -1, False, 0
    decode = getincrementaldecoder("utf-8")("replace").decode
    while True:
        if at < 0:
            found = _LIST.search(text)
            if found:
                text, at = text[found.end() :], 0
        if at >= 0:
            at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
            if text.startswith("]", at):
                return
            try:
                item, after = _decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                if ended or len(text) - at > MAX_RECORD_BYTES:
                    raise FeedError(
                        f"{place}: vulnerabilities[{number}]: not JSON: {str(error)[:200]}"
                    ) from error
            else:
                # A number at the end of what was read may go on; an object cannot.
                yield item
                at, number = after, number + 1
                continue
        elif ended or len(text) > MAX_RECORD_BYTES:
            raise FeedError(f'{place}: no list "vulnerabilities": give it as the NVD or CISA publish it')
        chunk = file.read(max(_CHUNK, len(text) - max(at, 0)))
        budget.spend(len(chunk))
        ended = not chunk
        text, at = text[max(at, 0) :] + decode(chunk, ended), min(at, 0)
