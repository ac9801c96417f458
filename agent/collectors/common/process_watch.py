"""Watches process starts: a thread that waits for the kernel's word and looks at the new process at once.

Most processes live for less than a poll's interval, so they have to be looked at when they start. The thread sleeps
in ``recv``; what it does for each start is bounded by a rate, and what exceeds it is counted, never silently lost.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from agent.collectors.common.files import clean_text, read_bytes
from agent.collectors.common.masking import hide_secrets
from agent.collectors.common.proc_connector import open_connector, parse_exec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Starts described per second in the long run, and at once.
RATE_PER_SECOND = 5.0
BURST = 200
#: The same program with the same arguments from the same parent and user is told once in this time.
REPEAT_SECONDS = 60.0
REMEMBERED = 512
#: Starts kept while nobody collects them.
KEPT = 1000
COMMAND_CHARACTERS = 2000


class Start(Struct, frozen=True):
    """One process start. Texts are empty where the process was gone before it could be looked at."""

    time: float
    pid: int
    parent_pid: int
    image: str
    command_line: str
    parent_image: str
    parent_command_line: str
    directory: str
    uid: int | None


def parse_command_line(raw: bytes) -> str:
    """``/proc/<pid>/cmdline``: arguments parted by zero bytes; one line, secrets masked, bounded."""
    text = raw[: COMMAND_CHARACTERS * 4].rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    return hide_secrets(clean_text(text, COMMAND_CHARACTERS))


def parse_status(raw: bytes) -> tuple[int, int | None]:
    """``(parent's number, effective user's number)`` of ``/proc/<pid>/status``; 0 and ``None`` where not there."""
    parent = re.search(rb"^PPid:\t([0-9]{1,10})$", raw, re.MULTILINE)
    uid = re.search(rb"^Uid:\t[0-9]{1,10}\t([0-9]{1,10})\t", raw, re.MULTILINE)
    return int(parent[1]) if parent else 0, int(uid[1]) if uid else None


def read_start(proc: Path, pid: int, now: float) -> Start:
    """Everything about a new process that ``proc`` still knows."""
    folder = proc / str(pid)
    image = _link(folder / "exe")  # what vanishes with a short life comes first
    command_line = parse_command_line(read_bytes(folder / "cmdline", COMMAND_CHARACTERS * 4) or b"")
    parent, uid = parse_status(read_bytes(folder / "status", 4096) or b"")
    directory = _link(folder / "cwd")
    above = proc / str(parent)
    return Start(
        time=now,
        pid=pid,
        parent_pid=parent,
        image=image,
        command_line=command_line,
        parent_image=_link(above / "exe") if parent else "",
        parent_command_line=parse_command_line(read_bytes(above / "cmdline", COMMAND_CHARACTERS * 4) or b"")
        if parent
        else "",
        directory=directory,
        uid=uid,
    )


def _link(path: Path) -> str:
    try:
        return clean_text(os.readlink(path).removesuffix(" (deleted)"), 1024)  # noqa: PTH115 - no Path is needed
    except OSError:
        return ""


class Bucket:
    """Lets ``BURST`` through at once and ``RATE_PER_SECOND`` in the long run."""

    def __init__(self, now: float, rate: float = RATE_PER_SECOND, burst: float = BURST) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = float(burst), now

    def take(self, now: float) -> bool:
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Repeats:
    """Remembers what was told lately, in bounded memory."""

    def __init__(self) -> None:
        self._told: dict[tuple[object, ...], float] = {}

    def is_repeat(self, start: Start, now: float) -> bool:
        """Whether the same was told within ``REPEAT_SECONDS``; if not, it counts as told now."""
        key = (start.image, start.command_line, start.parent_image, start.uid)
        last = self._told.get(key)
        if last is not None and 0 <= now - last < REPEAT_SECONDS:
            return True
        self._told.pop(key, None)  # put back at the end: the oldest stands first
        self._told[key] = now
        if len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
        return False


class ProcessWatch:
    """Collects starts in the background; any thread may ``take`` them. ``close`` ends the thread."""

    def __init__(self, proc: Path, now: Callable[[], float]) -> None:
        """Begin to watch.

        Raises:
            ConnectorUnavailableError: see there.
        """
        self._proc, self._now = proc, now
        self._socket = open_connector()
        self._socket.settimeout(None)
        self._starts: deque[Start] = deque()
        self._dropped = 0
        self._guard = threading.Lock()
        self._closing = False
        self._own = os.getpid()
        self._thread = threading.Thread(target=self._run, name="processes", daemon=True)
        self._thread.start()

    def take(self) -> tuple[list[Start], int]:
        """Starts since the last call, in order, and how many more there were: beyond the bounds, or gone at once."""
        with self._guard:
            starts, dropped = list(self._starts), self._dropped
            self._starts.clear()
            self._dropped = 0
        return starts, dropped

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self._closing = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _run(self) -> None:
        bucket, repeats = Bucket(time.monotonic()), Repeats()
        while not self._closing:
            try:
                packet = self._socket.recv(512)
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # the kernel dropped some; how many it does not say
                    self._drop()
                    continue
                return
            pid = parse_exec(packet)
            if pid is None:
                continue
            if not bucket.take(time.monotonic()):
                self._drop()
                continue
            start = read_start(self._proc, pid, self._now())
            if start.parent_pid == self._own:  # what the agent itself asks the host
                continue
            if not start.image and not start.command_line:  # gone already
                self._drop()
            elif not repeats.is_repeat(start, time.monotonic()):
                self._keep(start)

    def _keep(self, start: Start) -> None:
        with self._guard:
            if len(self._starts) < KEPT:
                self._starts.append(start)
            else:
                self._dropped += 1

    def _drop(self) -> None:
        with self._guard:
            self._dropped += 1
