"""What one watched file is: kind, rights, owner, size and digest, never its content."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

if TYPE_CHECKING:
    from pathlib import Path

#: Larger files are told without a digest: a watched file has a few KB.
DIGEST_BYTES: Final = 1 << 20
#: A user's own files get less: whoever may write there must not make the agent busy.
USER_DIGEST_BYTES: Final = 64 << 10
#: As a limit: read nothing, take no digest.
NOTHING: Final = -1
#: A file's times may lie before 1970.
_NUMBER: Final = re.compile(r"-?[0-9]{1,25}", re.ASCII)
_LINK_CHARACTERS: Final = 1024


class Facts(Struct, frozen=True):
    """``kind``: ``file``, ``link`` or ``other``. ``inode``, ``changed_ns`` (its ctime) and ``written_ns`` tell whether
    it has to be looked at again. ``digest``: SHA-256 in hex, of a link where it leads; empty: not taken."""

    kind: str
    inode: int
    changed_ns: int
    written_ns: int
    size: int
    mode: int
    uid: int
    gid: int
    digest: str = ""

    def remembered(self) -> str:
        """As the collector's memory keeps it, which is read and written every few seconds."""
        return " ".join(str(getattr(self, name)) for name in self.__struct_fields__)


def recalled(kept: object) -> Facts | None:
    """The facts that :meth:`Facts.remembered` gave; ``None`` for anything else."""
    parts = kept.split(" ", 8) if isinstance(kept, str) else []
    if len(parts) != 9 or parts[0] not in ("file", "link", "other"):
        return None
    numbers = parts[1:8]
    if not all(_NUMBER.fullmatch(number) for number in numbers):
        return None
    inode, changed, written, size, mode, uid, gid = (int(number) for number in numbers)
    return Facts(parts[0], inode, changed, written, size, mode, uid, gid, parts[8])


def look_at(path: Path, old: Facts | None, limit: int, *, secret: bool = False) -> tuple[Facts | None, int]:
    """``(facts, bytes that had to be read)``; no facts where there is no such file, or it is a folder.

    What ``old`` says is believed where the kernel says that nothing changed since. ``limit`` bounds what is read
    for a digest; of a ``secret`` file none is taken.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None, 0
    except OSError:  # it may not be looked at now: nothing is known to have changed
        return old, 0
    if stat.S_ISDIR(found.st_mode):
        return None, 0
    kind = "file" if stat.S_ISREG(found.st_mode) else "link" if stat.S_ISLNK(found.st_mode) else "other"
    facts = _facts(kind, found, "")
    if old is not None and facts == _without_digest(old):
        return old, 0
    if kind == "link":
        return _facts(kind, found, _target(path)), 0
    if kind != "file" or secret:
        return facts, 0
    return _read(path, facts, limit)


def _facts(kind: str, found: os.stat_result, digest: str) -> Facts:
    return Facts(
        kind=kind,
        inode=found.st_ino,
        changed_ns=found.st_ctime_ns,
        written_ns=found.st_mtime_ns,
        size=found.st_size,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        digest=digest,
    )


def _without_digest(facts: Facts) -> Facts:
    return structs.replace(facts, digest="")


def _target(path: Path) -> str:
    try:
        where = os.readlink(path)  # noqa: PTH115 - a text, as it stands there
    except OSError:
        return ""
    return where.encode("utf-8", "backslashreplace").decode()[:_LINK_CHARACTERS]


def _read(path: Path, facts: Facts, limit: int) -> tuple[Facts, int]:
    """The facts with the digest, of the very file that was read."""
    import hashlib

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return facts, 0
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return facts, 0
        facts = _facts("file", found, "")
        digest, taken = hashlib.sha256(), 0
        while taken <= limit and (piece := os.read(descriptor, 1 << 16)):
            digest.update(piece)
            taken += len(piece)
        return (facts, taken) if taken > limit else (_facts("file", found, digest.hexdigest()), taken)
    except OSError:
        return facts, 0
    finally:
        os.close(descriptor)
