"""What is done with the spool's files, whatever the spool remembers of them: found at a start, joined, set aside."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from typing import TYPE_CHECKING, Final

from agent.runtime.errors import TornFileError
from agent.runtime.files import sync_directory, write_atomically
from agent.runtime.packing import join
from agent.runtime.spool_file import FileName, Head, decode_file, encode_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: So many files are kept of those set aside, refused or torn, the newest.
_ASIDE_KEPT: Final = 20


def left_over(folder: Path) -> list[FileName]:
    """The spool files in ``folder``, oldest first. What a crash left besides is removed: temporary files, and those
    that a joined one replaces.

    Raises:
        OSError: the folder cannot be read or written.
    """
    names: list[FileName] = []
    for entry in os.scandir(folder):
        name = FileName.decode(entry.name)
        if name is not None:
            names.append(name)
        elif entry.name.endswith(".tmp"):
            (folder / entry.name).unlink()
    replaced: set[FileName] = set()
    for name in names:
        if name.seq:
            with contextlib.suppress(OSError, TornFileError):
                head, _ = decode_file((folder / name.encode()).read_bytes())
                replaced |= {FileName(each, name.weight) for each in (name.id, *head.replaces)}
    gone = replaced & set(names)
    for name in gone:
        (folder / name.encode()).unlink()
    if gone:
        sync_directory(folder)
    return sorted((name for name in names if name not in gone), key=lambda name: name.id)


def joined_file(folder: Path, waiting: Sequence[FileName]) -> tuple[list[FileName], bytes] | None:
    """One file's content of the batches in the first files of ``waiting``, and which they are; ``None`` where none can
    be joined. One that cannot be read ends it: it is set aside when its turn comes."""
    heads: list[Head] = []
    bodies: list[bytes] = []
    with contextlib.suppress(OSError, TornFileError):
        for name in waiting:
            head, body = decode_file((folder / name.encode()).read_bytes())
            heads.append(head)
            bodies.append(body)
    taken, whole = join(bodies)
    if taken < 2:
        return None
    counts = Counter[str]()
    for head in heads[:taken]:
        counts.update(head.counts)
    names = list(waiting[:taken])
    head = Head(
        made_at=heads[0].made_at,
        counts=dict(counts),
        digests={key: digest for head in heads[:taken] for key, digest in head.digests.items()},
        replaces=[name.id for name in names[1:]],
    )
    return names, encode_file(head, whole)


def set_aside(folder: Path, name: FileName, why: str, reason: str = "") -> None:
    """Move a file into the folder ``why`` beside it, with the ``reason`` where there is one; the newest are kept there.

    Raises:
        OSError: it stays where it is.
    """
    path = folder / name.encode()
    aside = folder / why / path.name
    if reason:
        write_atomically(aside.with_suffix(".txt"), (reason + "\n").encode(), durable=False)
    path.rename(aside)
    for old in sorted(aside.parent.glob("*.zst"))[:-_ASIDE_KEPT]:
        old.unlink()
        old.with_suffix(".txt").unlink(missing_ok=True)
