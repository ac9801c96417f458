"""Whether the version that was just started works, by what it says in its ``status.json``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from agent.runtime.status import Status, read_status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOOK_SECONDS: Final = 0.5
#: So long after it was first seen to work it must write its status once more. The agent does so when there is news,
#: and once a minute.
_DWELL_SECONDS: Final = 45.0

SILENT: Final = "silent"
UNREACHABLE: Final = "unreachable"


class Health:
    """Looks at one status file.

    Args:
        seconds: how long a version has to show that it works; half of it at most is how long it must go on working.
        now: seconds since the epoch; ``clock`` and ``sleep`` measure the waiting.
    """

    def __init__(
        self,
        status: Path,
        seconds: float,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._status = status
        self._seconds = seconds
        self._now = now
        self._clock = clock
        self._sleep = sleep

    def reaches_collector(self) -> bool:
        status = read_status(self._status)
        return status is not None and status.link.code == "ok"

    def after(self, restart: Callable[[], None], version: str, *, need_link: bool) -> tuple[str, str]:
        """Call ``restart``, and say why ``version`` does not work, as a code and in words; both empty where it does.

        It works when one process of it, another than before, writes its status anew after the dwell time, and has
        reached the collector at every look until then (where ``need_link``).
        """
        before, since = read_status(self._status), self._now()
        try:
            restart()
        except OSError as error:
            return "restart", f"the service could not be restarted: {error}"[:300]
        dwell = min(_DWELL_SECONDS, self._seconds / 2)
        patience = self._clock() + self._seconds
        code, detail = SILENT, f"{version} has not said a word within {self._seconds:g} s"
        processes: set[tuple[int, float]] = set()
        good, good_since, written = None, 0.0, 0.0
        while self._clock() < patience:
            status = read_status(self._status)
            if status is None or status.version != version or not _is_new(status, before, since):
                good = None
            elif not _is_linked(status, need_link=need_link):
                good = None
                code, detail = (
                    UNREACHABLE,
                    f"{version} runs and does not reach the collector: {status.link.code}",
                )
            elif good is None or _process(status) != _process(good):
                good, good_since, written = status, self._clock(), status.written_at
                code, detail = SILENT, f"{version} came up and has not gone on for {dwell:g} s"
            elif status.written_at != written:  # not by its order: the clock may be set
                written = status.written_at
                if self._clock() - good_since >= dwell:
                    return "", ""
            if status is not None and status.version == version and _is_new(status, before, since):
                processes.add(_process(status))
            self._sleep(_LOOK_SECONDS)
        if len(processes) > 1:
            return SILENT, f"{version} was started {len(processes)} times within {self._seconds:g} s"
        return code, detail


def _process(status: Status) -> tuple[int, float]:
    return status.pid, status.started_at


def _is_linked(status: Status, *, need_link: bool) -> bool:
    return status.link.code == "ok" or (not need_link and status.link.code not in ("starting", "stopped"))


def _is_new(status: Status, before: Status | None, since: float) -> bool:
    """Whether this was written by another process than ``before`` was. By more than the clock, which may be set."""
    if before is not None and _process(status) == _process(before):
        return False
    return before is not None or status.started_at >= since - 1
