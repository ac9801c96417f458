"""Small bounded reads of the host's trees. Whatever cannot be read is ``None``, never an exception."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Nothing a collector reads whole is larger on a sane machine; more than this is cut.
SMALL_BYTES = 256 << 10


@lru_cache(maxsize=256)  # the same few, every two seconds
def under(root: Path, path: str) -> Path:
    """``path``, absolute on the host, as it is reached through ``root``."""
    return root / path.lstrip("/")


def is_folder(path: Path) -> bool:
    """Whether it is one that can be seen; what may not be looked at is none."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises where a folder above may not be searched


def read_bytes(path: Path, limit: int = SMALL_BYTES) -> bytes | None:
    """At most ``limit`` bytes of ``path``; ``None`` where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        pieces = []
        while limit > 0 and (piece := os.read(descriptor, min(limit, 1 << 16))):
            pieces.append(piece)
            limit -= len(piece)
        return b"".join(pieces)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_tail(path: Path, limit: int) -> bytes | None:
    """At most the last ``limit`` bytes of ``path``; ``None`` where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, limit, max(0, size - limit))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_text(path: Path, limit: int = SMALL_BYTES) -> str | None:
    """Like :func:`read_bytes`, decoded; bytes that are not UTF-8 become U+FFFD."""
    data = read_bytes(path, limit)
    return None if data is None else data.decode("utf-8", "replace")


def clean_text(text: str, limit: int = 255) -> str:
    """``text`` without control characters (they become spaces), trimmed and cut to ``limit`` characters."""
    cut = text[: limit * 2]
    return "".join(c if c.isprintable() else " " for c in cut).strip()[:limit]
