"""Files that are replaced as a whole, and files and folders that are durable."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Replace ``path`` as a whole and durably: after a power cut it is the old file or the new one."""
    passing = path.with_name(path.name + ".new")
    passing.unlink(missing_ok=True)
    descriptor = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    passing.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make durable what was written to a file by others, or which names a directory holds."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
