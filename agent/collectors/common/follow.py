"""Follows a log file across restarts, rotation and truncation, reading only what is new.

The cursor (device, inode, offset) lives in the collector's state, so it becomes durable together with the events
read up to it: a restart neither repeats nor skips a line. Memory and time of one call are bounded. A seal of how the
file begins and of what stands before the offset tells a file that only grew from one that was emptied and filled again,
and finds the copy that logrotate's ``copytruncate`` has made of it, also among others whose lines end alike.

Where a log was rotated several times while nobody looked, the files in between are read too, in the order in which they
were last written: each was begun after what was read last. Compressed ones are not: that would be a decompressor in the
agent, for what was rotated twice (Debian's ``delaycompress``) while the agent was stopped and the machine was not.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import MutableMapping

#: How much of a log one call reads; the rest waits for the next call.
READ_BYTES = 256 << 10
#: A longer line is cut: its beginning is kept, the rest is passed over.
LINE_BYTES = 16 << 10
#: How exactly the state remembers when a log was last looked at.
SEEN_SECONDS = 3600.0
#: Of how a file begins, and of what stands before the offset: some lines with their times, of most logs.
_HEAD_BYTES = 1024
_TAIL_BYTES = 4096
#: Of what stood before the offset, in cursors of an earlier version.
_MARK_BYTES = 64
#: What logrotate puts behind a log's name: a number, or a day and perhaps an hour.
_ROTATED = re.compile(r"[.-][0-9][0-9-]{0,15}")

Change = Literal["", "truncated", "removed"]


class Followed(Struct, frozen=True):
    """What one call found: whole new lines without their line ends, and what befell the file.

    ``change`` is ``truncated`` where what was read of the same file already is no longer in it, nor in a copy beside
    it, and ``removed`` where the file that was being read vanished without a rotated copy beside it. ``more`` says
    that there was more to read than one call takes.
    """

    lines: list[bytes]
    change: Change = ""
    more: bool = False


def split_lines(data: bytes) -> tuple[list[bytes], int]:
    """The whole lines of ``data`` and how many bytes they take; an unfinished last line is left for later."""
    end = data.rfind(b"\n") + 1
    if end == 0:
        return [], 0
    return [line[:LINE_BYTES] for line in data[: end - 1].split(b"\n")], end


def follow(path: Path, state: MutableMapping[str, Any], now: float, *, from_start: bool = False) -> Followed:
    """New lines of ``path`` since the cursor in ``state``, which is moved. ``now`` is the time, in seconds.

    The first call ever puts the cursor at the end (or, with ``from_start``, at the beginning): an agent reports
    what happens while it is there. A rotated file (``<name>.1`` or ``<name>-<date>``) is read to its end first.

    Raises:
        PermissionError: the log may not be read.
    """
    seen = float(state.get("seen", 0.0))
    if abs(now - seen) > SEEN_SECONDS:  # coarse, so that an idle log does not change the state at every call
        state["seen"] = now
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _gone(path, state, seen)
    try:
        found = os.fstat(descriptor)
        known = state.get("inode")
        if known is None:
            offset = 0 if from_start or state.get("gone") else found.st_size
            state.update(inode=found.st_ino, offset=offset, gone=False, seal=_seal(descriptor, offset))
            state["mtime"] = found.st_mtime_ns
        elif known != found.st_ino:
            rest, change = _rest_of_rotated(path, state, seen)
            if state["inode"] is None:
                state.update(inode=found.st_ino, mtime=found.st_mtime_ns)
            return Followed(lines=rest, change=change, more=True)
        elif not _still_there(descriptor, state, found.st_size):
            copy = _copied(path, state)
            if copy is not None:  # read to its end as any rotated file
                state["inode"] = copy
                return Followed(lines=[], more=True)
            between = _go_on(path, state, state.get("mtime"))
            if not between:
                state["inode"] = found.st_ino
            change = "" if _compressed_since(path, seen) else "truncated"
            return Followed(lines=[], change=change, more=between or found.st_size > 0)
        lines, used, more = _read_from(descriptor, int(state["offset"]), found.st_size)
        if used or "seal" not in state:
            state["offset"] = int(state["offset"]) + used
            state["seal"] = _seal(descriptor, state["offset"])
            state.pop("mark", None)  # of a cursor of an earlier version
            state["mtime"] = found.st_mtime_ns
        return Followed(lines=lines, more=more)
    finally:
        os.close(descriptor)


def _read_from(descriptor: int, offset: int, size: int) -> tuple[list[bytes], int, bool]:
    if size <= offset:
        return [], 0, False
    data = os.pread(descriptor, READ_BYTES, offset)
    lines, used = split_lines(data)
    if not used and len(data) >= READ_BYTES:  # one endless line: keep its beginning, go on behind it
        return [data[:LINE_BYTES]], len(data), True
    return lines, used, offset + used < size and used > 0


def _gone(path: Path, state: MutableMapping[str, Any], seen: float) -> Followed:
    """The file is not there. Said once, and only where there was one."""
    if state.get("inode") is None:
        return Followed(lines=[])
    rest, change = _rest_of_rotated(path, state, seen)
    if state["inode"] is None:
        state["gone"] = True
    return Followed(lines=rest, change=change, more=state["inode"] is not None)


def _seal(descriptor: int, offset: int) -> str | None:
    """Of what stands before ``offset``; ``None``: nothing does."""
    if not offset:
        return None
    start = max(0, offset - _TAIL_BYTES)
    seal = hashlib.blake2b(os.pread(descriptor, min(offset, _HEAD_BYTES), 0), digest_size=8)
    seal.update(os.pread(descriptor, offset - start, start))
    return seal.hexdigest()


def _is_of(descriptor: int, state: MutableMapping[str, Any], offset: int) -> bool:
    """Whether this is the file that the cursor is of, or a copy. A cursor of an earlier version has a mark: the CRC-32
    of the last bytes."""
    if "seal" in state or "mark" not in state:
        return bool(state.get("seal") == _seal(descriptor, offset))
    start = max(0, offset - _MARK_BYTES)
    mark = zlib.crc32(os.pread(descriptor, offset - start, start)) if offset else None
    return bool(state["mark"] == mark)


def _still_there(descriptor: int, state: MutableMapping[str, Any], size: int) -> bool:
    """Whether what was read is still before the offset. Looked at only where the file is longer or shorter."""
    offset = int(state["offset"])
    if size <= offset or not state.keys() & {"seal", "mark"}:
        return size >= offset
    return _is_of(descriptor, state, offset)


def _copied(path: Path, state: MutableMapping[str, Any]) -> int | None:
    """The inode of a copy that holds what was read, at the same place."""
    offset = int(state["offset"])
    for sibling in _siblings(path) if offset else ():
        try:
            descriptor = os.open(sibling, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            found = os.fstat(descriptor)
            if found.st_size >= offset and _is_of(descriptor, state, offset):
                return found.st_ino
        finally:
            os.close(descriptor)
    return None


def _siblings(path: Path) -> list[Path]:
    """Rotated copies of ``path``, as logrotate names them."""
    prefixes = (path.name + ".", path.name + "-")
    try:
        with os.scandir(path.parent) as entries:
            return [Path(entry.path) for entry in entries if entry.name.startswith(prefixes)]
    except OSError:
        return []


def _rest_of_rotated(path: Path, state: MutableMapping[str, Any], seen: float) -> tuple[list[bytes], Change]:
    """What is unread of the rotated file that the cursor is in, as much as one call takes, and what befell it. Where it
    is read to its end, the cursor goes to the file that was begun after it; its inode is None where that is the log."""
    for sibling in _siblings(path):
        try:
            descriptor = os.open(sibling, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            found = os.fstat(descriptor)
            if found.st_ino != state["inode"]:
                continue
            lines, used, more = _read_from(descriptor, int(state["offset"]), found.st_size)
        finally:
            os.close(descriptor)
        if more:
            state["offset"] = int(state["offset"]) + used
        else:
            _go_on(path, state, found.st_mtime_ns)
        return lines, ""
    _go_on(path, state, state.get("mtime"))
    return [], "" if _compressed_since(path, seen) else "removed"


def _go_on(path: Path, state: MutableMapping[str, Any], after: int | None) -> bool:
    """Put the cursor at the beginning of the oldest rotated file that was last written behind ``after`` (ns; None: not
    known, of a cursor of an earlier version), or let its inode be None; whether there is one."""
    moment, inode = (after, None) if after is None else _written_after(path, after, state["inode"])
    state.update(inode=inode, offset=0, seal=None, mtime=moment)
    return inode is not None


def _written_after(path: Path, after: int, known: int) -> tuple[int, int | None]:
    """The oldest plain rotated file that was last written behind ``after``, as that moment and inode."""
    found: list[tuple[int, int]] = []
    for sibling in _siblings(path):
        if _ROTATED.fullmatch(sibling.name.removeprefix(path.name)):
            try:
                status = sibling.lstat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_mtime_ns > after and status.st_ino != known:
                found.append((status.st_mtime_ns, status.st_ino))
    return min(found, default=(after, None))


def _compressed_since(path: Path, seen: float) -> bool:
    """Whether the old file may have been rotated and compressed in one go since the log was looked at."""
    for sibling in _siblings(path):
        if sibling.suffix in (".gz", ".xz", ".zst", ".bz2"):
            try:
                if sibling.stat().st_ctime >= seen - SEEN_SECONDS:
                    return True
            except OSError:
                continue
    return False
