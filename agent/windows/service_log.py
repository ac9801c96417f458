"""What the service says: a file of bounded size in place of standard error, which a service has none of."""

from __future__ import annotations

import contextlib
import io
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES: Final = 1 << 20


class LogFile(io.TextIOBase):
    """Appends, in UTF-8. What is full is kept once more as ``<name>.1``. A log that cannot be written costs nothing but
    itself: it raises nothing."""

    def __init__(self, path: Path, most: int = _MOST_BYTES) -> None:
        self._path = path
        self._most = most
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, words: str) -> int:
        data = words.encode("utf-8", errors="backslashreplace")
        with self._lock, contextlib.suppress(OSError):
            if is_full(self._path, self._most - len(data)):
                self._path.replace(self._path.with_name(self._path.name + ".1"))
            with self._path.open("ab") as file:
                file.write(data)
        return len(words)


def is_full(path: Path, most: int) -> bool:
    """Whether a file has grown beyond ``most`` bytes; one that is not there has not."""
    try:
        return path.stat().st_size > most
    except FileNotFoundError:
        return False
