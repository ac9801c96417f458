"""A service manager for tests: what Windows would keep of the service, and what it would run."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from agent.runtime.status import Link, Status, write_status
from agent.windows.scm import Commands, program_of
from agent.windows.service import RUNNING, STOPPED

if TYPE_CHECKING:
    from pathlib import Path


class FakeManager:
    """:class:`agent.windows.scm.Manager`. ``log`` is what was asked of it, in order;
    ``rescues`` what it was to run at the third failure."""

    def __init__(self) -> None:
        self.commands: Commands | None = None
        self.rescues: list[str] = []
        self.running = False
        self.log: list[str] = []
        #: Ends at once when it is started.
        self.broken = False

    def command(self) -> str:
        return self.commands.run if self.commands else ""

    def define(self, commands: Commands) -> None:
        self.commands = commands
        self.rescues.append(commands.rescue)
        self.log.append("define")

    def state(self) -> int:
        return RUNNING if self.running else STOPPED

    def start(self) -> None:
        self.log.append("start")
        self.running = not self.broken

    def stop(self) -> None:
        self.log.append("stop")
        self.running = False

    def delete(self) -> None:
        self.log.append("delete")
        self.commands = None


class RunningManager(FakeManager):
    """Runs what the command says as far as a test can see it: it goes on writing the status of that version, which
    reaches the collector. A version in ``dead`` writes nothing."""

    def __init__(self, status: Path, dead: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._status = status
        self._dead = dead
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0

    @property
    def version(self) -> str:
        return program_of(self.command())[0].replace("\\", "/").split("/")[-2]

    def start(self) -> None:
        super().start()
        self._pid += 1
        self._ended = threading.Event()
        if self.version not in self._dead:
            said = Status(self.version, self._pid, time.time(), link=Link(code="ok"))
            self._thread = threading.Thread(target=self._write, args=(said, self._ended))
            self._thread.start()

    def _write(self, status: Status, ended: threading.Event) -> None:
        while True:
            status.written_at = time.time()
            write_status(self._status, status)
            if ended.wait(0.1):
                return

    def stop(self) -> None:
        super().stop()
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
