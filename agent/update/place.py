"""Where an installed agent stands, and the record of its updates.

``<root>/versions/<version>/venv`` are the environments, ``<root>/current`` a link to the version that runs,
``<root>/update.json`` the record, ``<root>/launch`` what is started before any version (:mod:`agent.update.launcher`).
All of it is root's; the agent's own user reads it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from agent.messages import UNREADABLE
from agent.runtime.files import sync_directory, write_atomically

_VERSIONS: Final = "versions"
_VENV: Final = "venv"
_MOST_FAILED: Final = 20
_JUDGED_SECONDS: Final = 86_400.0

#: How an attempt ended, or where it stands. ``switching``: the link leads, or is about to lead, to a version that has
#: not shown yet that it works. ``going_back``: it has not worked, and the version before is about to run again.
DONE: Final = "done"
ROLLED_BACK: Final = "rolled_back"
REFUSED: Final = "refused"
SWITCHING: Final = "switching"
GOING_BACK: Final = "going_back"


class Record(Struct, frozen=True, omit_defaults=True):
    """The last attempt: to which version, from which, how it stands, why, and when (seconds since the epoch).
    ``had_link``: whether the collector was reached before it. ``made_at``: when its release was signed, ``newest``: the
    latest such moment of all that were taken here; an older release is not taken. ``failed`` says of versions that were
    rolled back why they were: they are not tried again. ``unreachable``: how often a version did not reach the
    collector while the one before it then did. ``previous`` is the version that is kept beside the current one."""

    version: str = ""
    before: str = ""
    state: str = ""
    code: str = ""
    detail: str = ""
    at: float = 0.0
    had_link: bool = False
    made_at: float = 0.0
    newest: float = 0.0
    failed: dict[str, str] = {}
    unreachable: dict[str, int] = {}
    previous: str = ""

    def with_failed(self, version: str, code: str) -> Record:
        kept = {each: why for each, why in self.failed.items() if each != version}
        failed = dict([*kept.items(), (version, code)][-_MOST_FAILED:])
        return msgspec.structs.replace(self, failed=failed)

    def with_unreachable(self, version: str) -> Record:
        kept = {each: times for each, times in self.unreachable.items() if each != version}
        times = self.unreachable.get(version, 0) + 1
        unreachable = dict([*kept.items(), (version, times)][-_MOST_FAILED:])
        return msgspec.structs.replace(self, unreachable=unreachable)


class Installation:
    """Names what belongs to one installed agent. Touches nothing by itself."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.versions = root / _VERSIONS
        self.current = root / "current"
        self.incoming = root / "incoming"
        self.record = root / "update.json"
        self.lock = root / "update.lock"
        self.launcher = root / "launch"

    def of_version(self, version: str) -> Path:
        return self.versions / version

    def environment(self, version: str) -> Path:
        return self.of_version(version) / _VENV

    @property
    def current_version(self) -> str:
        """Empty where there is none."""
        try:
            return self.current.readlink().name
        except OSError:
            return ""

    def switch(self, version: str) -> None:
        """Let ``current`` lead to ``version``: to the one or the other at any time, also over a power cut."""
        waiting = self.root / "current.new"
        waiting.unlink(missing_ok=True)
        waiting.symlink_to(Path(_VERSIONS) / version, target_is_directory=True)
        waiting.replace(self.current)
        sync_directory(self.root)

    def read_record(self) -> Record:
        """Empty where there is none that can be read."""
        try:
            return msgspec.json.decode(self.record.read_bytes(), type=Record)
        except (OSError, *UNREADABLE):
            return Record()

    def is_unproven(self, now: float) -> bool:
        """Whether the version that runs may yet be replaced by the one before it. After a day nobody judges any
        more."""
        record = self.read_record()
        return record.state in (SWITCHING, GOING_BACK) and abs(now - record.at) < _JUDGED_SECONDS

    def write_record(self, record: Record) -> None:
        write_atomically(self.record, msgspec.json.encode(record), mode=0o644)


def own_installation(prefix: str = sys.prefix) -> Installation | None:
    """The installation that this program runs from; None where it does not stand in one (a source tree)."""
    if sys.platform == "win32":
        from agent.update.windows_place import installation_of

        return installation_of(Path(prefix))
    venv = Path(prefix)
    if venv.name != _VENV or venv.parent.parent.name != _VERSIONS:
        return None
    return Installation(venv.parents[2])
