"""What the agent remembers of the collector's settings (``settings.json``): those it keeps, those it tries, and the
last that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Struct

from agent.runtime.files import read_own, write_atomically
from agent.steered import MAX_SETTINGS_BYTES, SignedSettings

if TYPE_CHECKING:
    from pathlib import Path

#: Two signed documents, in base64, and the rest.
_MOST_BYTES: Final = 4 * MAX_SETTINGS_BYTES

Kind = Literal["rolled_back", "refused"]


class Trial(Struct):
    """``running``: an agent has them in use (so if one starts, the one before was killed or crashed); ``ended``: how
    often that was so."""

    signed: SignedSettings
    running: bool = True
    ended: int = 0


class Failure(Struct, frozen=True):
    """Why the settings ``number`` are not in use; ``at`` in seconds since the epoch."""

    number: int
    kind: Kind
    reason: str
    at: float


class Record(Struct):
    """``taken`` is the highest number ever tried: nothing up to it is tried again."""

    taken: int = 0
    kept: SignedSettings | None = None
    trial: Trial | None = None
    failed: Failure | None = None


def read_record(path: Path) -> Record:
    """Empty where there is none that can be read; what it holds is to be verified before it is used."""
    try:
        return msgspec.json.decode(read_own(path, _MOST_BYTES), type=Record)
    except (OSError, ValueError, RecursionError):
        return Record()


def write_record(path: Path, record: Record) -> None:
    """Raises ``OSError``: nothing was changed."""
    write_atomically(path, msgspec.json.encode(record))
