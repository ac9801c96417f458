"""The agent's side of the probe: starts the parts, takes what they found, and starts anew what ended."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from agent import reasons
from agent.collectors.registry import CollectorError
from agent.probe.contract import Hello, Kept, Said, read_frame, write_frame
from agent.runtime.errors import SpoolError
from agent.runtime.memory import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from agent.collectors.registry import Output
    from agent.probe.parts import Chosen
    from agent.runtime.log import Log
    from agent.runtime.outbox import Outbox

#: Runs one part, by its name behind.
COMMAND: Final = (sys.executable, "-P", "-m", "agent.probe.process")
_STOP_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 300.0
#: A part that ran for so long and then ended begins with the shortest pause again.
_WELL_SECONDS: Final = 600.0
#: How long to wait before a disk that refused is tried again.
_DISK_SECONDS: Final = 1.0
#: What a part tells at once is thousands of objects that live for a moment: nobody need look through them for cycles.
_GARBAGE: Final = (50_000, 20, 100)


class Note(Protocol):
    """Says how a source fares; ``seconds`` of processor time since the last word."""

    def __call__(self, source: str, *, failure: str, nothing: str, seconds: float) -> None: ...


class ProbeHost:
    """``flush`` spools what waits and says whether the disk took it. :meth:`start` once, :meth:`watch` now and then."""

    def __init__(
        self,
        chosen: Iterable[Chosen],
        folder: Path,
        outbox: Outbox,
        log: Log,
        *,
        flush: Callable[[], bool],
        note: Note,
        where: dict[str, Any],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._runs = [_PartRun(each, folder, outbox, log, flush, note, where, command) for each in chosen]

    @property
    def sources(self) -> set[str]:
        """The names under which the parts tell."""
        return {source for run in self._runs for source in run.part.sources}

    def start(self) -> None:
        gc.set_threshold(*_GARBAGE)
        for run in self._runs:
            run.start()

    def watch(self) -> None:
        """End a part that holds too much memory; it is started anew."""
        for run in self._runs:
            run.watch()

    def stop(self) -> None:
        """Let every part end, and return when all have."""
        for run in self._runs:
            run.tell_to_stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for run in self._runs:
            run.end(deadline)


class _PartRun:
    def __init__(
        self,
        chosen: Chosen,
        folder: Path,
        outbox: Outbox,
        log: Log,
        flush: Callable[[], bool],
        note: Note,
        where: dict[str, Any],
        command: Sequence[str],
    ) -> None:
        self.part = chosen.part
        self._command = [*command, chosen.part.name]
        self._settings: dict[str, Any] = msgspec.to_builtins(chosen.settings)
        self._folder = folder / chosen.part.name
        self._outbox = outbox
        self._log = log
        self._flush = flush
        self._note = note
        self._where = where
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"probe-{chosen.part.name}", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._spent = 0.0
        self._ended_for = ""

    def start(self) -> None:
        self._thread.start()

    def tell_to_stop(self) -> None:
        self._stopping.set()
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()

    def end(self, deadline: float) -> None:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        process = self._process
        if process is not None and process.poll() is None:
            _kill(process)
        self._thread.join(1.0)

    def watch(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        resident = resident_bytes(process.pid)
        if resident > self.part.memory_bytes:
            self._ended_for = reasons.PART_TOO_LARGE(megabytes=f"{resident / 1e6:.0f}")
            _kill(process)

    # -- its thread ------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            reason = self._run()
            if self._stopping.is_set():
                return
            self._log.lost(f"probe:{self.part.name}", reason)
            for source in self.part.sources:
                self._note(source, failure=reason, nothing="", seconds=0.0)
            if time.monotonic() - began >= _WELL_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _run(self) -> str:
        """Run the part until it ends, and return why it did."""
        self._spent, self._ended_for = 0.0, ""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            process = self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return reasons.PART_NOT_STARTED(detail=error.strerror or str(error))
        reason = ""
        try:
            self._serve(process)
        except Exception as error:
            # The last resort: a thread that ended would leave the part unheard, and never started anew.
            reason = str(error) or type(error).__name__
            _kill(process)
        try:
            status = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:  # it says nothing any more, and does not end
            _kill(process)
            status = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        return self._ended_for or reasons.PART_ENDED(status=status, detail=reason or "-")

    def _serve(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("no streams")
        memories = {source: self._outbox.memory(source) for source in self.part.sources}
        hello = Hello(self.part.name, self._settings, str(self._folder), memories, **self._where)
        write_frame(process.stdin, hello)
        while (said := read_frame(process.stdout, Said)) is not None:
            if said.source not in self.part.sources:
                raise ValueError(f"no source {said.source!r}")
            failure = self._take(said)
            if self._stopping.is_set():
                return
            write_frame(process.stdin, Kept(said.number, failure))

    def _take(self, said: Said) -> str:
        """Return why it was refused. Where the disk refuses, it is tried until that takes it, or the agent stops."""
        failure = ""
        if not said.failure and not said.nothing:
            try:
                self._keep_output(said, said.found())
            except (ValueError, CollectorError) as error:
                failure = str(error)[:255]
        spent, self._spent = max(0.0, said.seconds - self._spent), said.seconds
        self._log.found(f"probe:{self.part.name}")
        self._note(said.source, failure=said.failure or failure, nothing=said.nothing, seconds=spent)
        return failure

    def _keep_output(self, said: Said, output: Output) -> None:
        memory = said.memory if said.memory is not None else self._outbox.memory(said.source)
        while not self._stopping.is_set():
            try:
                self._outbox.take(said.source, output, memory, partial=said.partial, from_json=True)
                break
            except SpoolError:
                self._stopping.wait(_DISK_SECONDS)
        while output.events and not self._flush() and not self._stopping.wait(_DISK_SECONDS):
            pass


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a part that is not reaped yet, and what it started."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
