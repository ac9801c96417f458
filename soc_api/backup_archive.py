"""The archive of old events (``collector.store.archive``) in a backup that is made while partitions go over to it.

A partition must be in the backup once: in the frozen parts of the store or in the archive. A file that was there before
the parts were frozen belongs to it, and one that came since does where its partition is no longer among them. A
partition that is just going over is taken as it is, with its mark: the store brings it to its end when it is opened.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_TRIES: Final = 10


def archived(archive: Path) -> frozenset[str]:
    """The names of whole files, now."""
    return frozenset(path.name for path in (archive / "events").glob("*.parquet"))


def pin(archive: Path, before: frozenset[str], frozen: Path, target: Path) -> dict[str, Path]:
    """Hard-link to ``target`` what belongs to the backup; return it by its name there. ``before``: what was
    :func:`archived` before the parts below ``frozen`` were. ``target`` is on the same file system."""
    partitions = {path.name.split("_")[0] for path in frozen.rglob("*_*_*_*") if path.is_dir()}
    target.mkdir()
    for attempt in range(_TRIES):
        try:
            return _pin(archive / "events", before, partitions, target / str(attempt))
        except FileNotFoundError:  # a file got its name while we looked
            continue
    return _pin(archive / "events", before, partitions, target / "last")


def _pin(folder: Path, before: frozenset[str], partitions: set[str], target: Path) -> dict[str, Path]:
    target.mkdir()
    marks = {path.stem for path in folder.glob("*.whole")}
    pinned: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix == ".parquet":
            wanted = path.name in before or _partition(path) not in partitions
        else:
            wanted = _partition(path) in marks
        if wanted:
            os.link(path, target / path.name)
            pinned[f"archive/events/{path.name}"] = target / path.name
    return pinned


def _partition(path: Path) -> str:
    """The partition that a file's name begins with."""
    return path.stem.split("-")[0]
