"""The process of one part of the probe, in a host of the test LAN, with the test in the agent's place."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.probe.contract import Hello, Kept, Said, read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.messages import Event, StatusDocument
    from tests.support.netns import Host

_ROOT = Path(__file__).parents[2]


class PartProcess:
    """What it said so far, in order; every word is answered at once. ``memories``: the last by source."""

    def __init__(
        self,
        host: Host,
        part: str,
        settings: dict[str, Any],
        folder: Path,
        memories: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.said: list[Said] = []
        self.times: list[float] = []
        self.memories = dict(memories or {})
        self._part = part
        self.process = host.start(
            sys.executable,
            "-P",
            "-m",
            "agent.probe.process",
            part,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env={"PYTHONPATH": str(_ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("no streams")
        self._to, self._from = self.process.stdin, self.process.stdout
        write_frame(self._to, Hello(part, settings, str(folder), self.memories))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def events(self, category: str = "", action: str = "") -> list[Event]:
        return [
            event
            for said in list(self.said)
            for event in said.found().events
            if (not category or event.logsource.category == category)
            and (not action or event.fields["event"]["action"] == action)
        ]

    def documents(self, kind: str) -> list[StatusDocument]:
        """Of this kind, the oldest first."""
        return [each for said in list(self.said) for each in said.found().documents if each.kind == kind]

    def failures(self) -> list[str]:
        return [said.failure for said in list(self.said) if said.failure]

    def stop(self, seconds: float = 10.0) -> int:
        """Tell it to stop; its exit status."""
        with suppress(OSError):
            self._to.close()
        status: int = self.process.wait(seconds)
        self._thread.join(seconds)
        self._from.close()
        return status

    def _listen(self) -> None:
        while (said := read_frame(self._from, Said)) is not None:
            self.times.append(time.time())
            self.said.append(said)
            if said.memory is not None:
                self.memories[said.source] = said.memory
            try:
                write_frame(self._to, Kept(said.number))
            except (OSError, ValueError):
                continue


@contextmanager
def part_process(
    host: Host, part: str, settings: dict[str, Any], folder: Path, **more: Any
) -> Iterator[PartProcess]:
    made = PartProcess(host, part, settings, folder, **more)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()


def first(said: Callable[[], list[Any]]) -> Callable[[], Any]:
    """For :func:`tests.support.netns.wait_for`: the first that ``said`` gives."""
    return lambda: next(iter(said()), None)
