"""What the part remembers of each device: the last versions of its configuration, and what was told last.

``<folder>/<device>/<time>-<digest>.cfg.gz``, mode 0600, without secrets (:mod:`agent.probe.ssh.configuration`);
``state.json`` beside them.
"""

from __future__ import annotations

import gzip
import secrets
import time
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from agent.messages import UNREADABLE
from agent.runtime.files import read_own, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

_KEY_BYTES: Final = 32
_MOST_STATE_BYTES: Final = 1 << 20
_MOST_FILE_BYTES: Final = 16 << 20


class State(Struct):
    """``digest`` and ``changed_at`` of the configuration that was told last; ``body``: the document that was.
    ``told_key``: the wrong host key that was told of. ``asked_at``: when the configuration was last read."""

    digest: str = ""
    changed_at: float = 0.0
    asked_at: float = 0.0
    told_key: str = ""
    body: dict[str, Any] = {}


class Shelf:
    """One device's folder. ``keep`` versions stay."""

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep

    def state(self) -> State:
        """As it was last put; a new one where it cannot be read."""
        try:
            return msgspec.json.decode(read_own(self._folder / "state.json", _MOST_STATE_BYTES), type=State)
        except (OSError, *UNREADABLE):
            return State()

    def put_state(self, state: State) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._folder / "state.json", msgspec.json.encode(state))

    def put(self, configuration: str, digest: str, now: float) -> None:
        """Keep a version; the oldest goes where there are too many."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        data = gzip.compress(configuration.encode("utf-8", "surrogatepass"), mtime=0)
        write_atomically(self._folder / f"{stamp}-{digest[:16]}.cfg.gz", data)
        for old in self.versions()[: -self._keep]:
            old.unlink(missing_ok=True)

    def versions(self) -> list[Path]:
        """Oldest first."""
        return sorted(self._folder.glob("*Z-*.cfg.gz"))

    def get(self, digest: str) -> str | None:
        """The version of that digest, ``None`` where there is none that can be read."""
        for path in reversed(self.versions()):
            if path.name.endswith(f"-{digest[:16]}.cfg.gz"):
                try:
                    return gzip.decompress(read_own(path, _MOST_FILE_BYTES)).decode("utf-8", "surrogatepass")
                except (OSError, EOFError, zlib.error, UnicodeDecodeError):
                    return None
        return None


def masking_key(folder: Path) -> bytes:
    """The probe's own key for :func:`agent.probe.ssh.configuration.cleaned`, made once. Raises ``OSError``."""
    path = folder / "mask.key"
    try:
        key = read_own(path, _KEY_BYTES)
    except FileNotFoundError:
        key = b""
    if len(key) != _KEY_BYTES:
        key = secrets.token_bytes(_KEY_BYTES)
        write_atomically(path, key)
    return key
