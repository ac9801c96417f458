"""How often the running version started: one that comes up, and ends again and again, has failed all the same."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

import agent
from agent.messages import UNREADABLE
from agent.runtime.files import read_own, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

#: So many starts within a day are worth a word; no more of them are remembered.
MANY: Final = 10
_MOST_BYTES: Final = 4096


class _Starts(msgspec.Struct):
    version: str
    at: list[float]


def count_start(path: Path, now: float) -> list[float]:
    """Write down that the agent starts at ``now``; when this version started the last few times, ``now`` among them.

    What cannot be read or written is not counted.
    """
    try:
        before = msgspec.json.decode(read_own(path, _MOST_BYTES), type=_Starts)
    except (OSError, *UNREADABLE):
        before = _Starts("", [])
    earlier = before.at if before.version == agent.__version__ else []
    starts = [*earlier, now][-MANY:]
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(_Starts(agent.__version__, starts)), durable=False)
    return starts
