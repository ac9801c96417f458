"""What the running agent says of itself (``status.json``), for ``vonggac-agent status`` and for support."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from agent.messages import UNREADABLE
from agent.runtime.files import read_own, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES: Final = 1 << 20


class Link(Struct):
    """How it stands with the collector. ``code`` is a key of :data:`agent.runtime.words.LINK`; ``since`` when
    it became so; ``last_contact`` the last answer of the right collector (0: none yet)."""

    code: str = "starting"
    detail: str = ""
    since: float = 0.0
    last_contact: float = 0.0
    clock_skew_seconds: float = 0.0


class CollectorState(Struct):
    """How a collector's last run went. ``reason`` is empty where all is well; ``cpu_seconds`` is of all its runs."""

    ok: bool = True
    reason: str = ""
    last_run: float = 0.0
    duration_seconds: float = 0.0
    runs: int = 0
    failures: int = 0
    cpu_seconds: float = 0.0


class SettingsState(Struct, frozen=True):
    """How it stands with the collector's settings. ``number`` in use, 0: the machine's own alone; ``state`` is ``own``,
    ``trying`` or ``in_force``. ``failed``: the last number that is not in use, ``failure`` (``rolled_back`` or
    ``refused``) and ``reason`` why."""

    number: int = 0
    state: str = "own"
    failed: int = 0
    failure: str = ""
    reason: str = ""
    failed_at: float = 0.0


class Status(Struct):
    """Times in seconds since the Unix epoch. ``dropped`` is per kind of content, ``refused`` in batches;
    ``renewal_error`` why the last renewal of the certificate did not come about."""

    version: str
    pid: int
    started_at: float
    written_at: float = 0.0
    endpoint_id: str = ""
    collector_url: str = ""
    certificate_not_after: float = 0.0
    renewal_error: str = ""
    link: Link = msgspec.field(default_factory=Link)
    backlog_batches: int = 0
    backlog_bytes: int = 0
    spool_error: str = ""
    dropped: dict[str, int] = {}
    refused: int = 0
    collectors: dict[str, CollectorState] = {}
    settings: SettingsState = SettingsState()


def write_status(path: Path, status: Status) -> None:
    """Not fsynced: it is news, not a record."""
    write_atomically(path, msgspec.json.encode(status), mode=0o644, durable=False)


def read_status(path: Path) -> Status | None:
    """``None`` where there is none, or none that can be read."""
    try:
        return msgspec.json.decode(read_own(path, _MOST_BYTES), type=Status)
    except (OSError, *UNREADABLE):
        return None
