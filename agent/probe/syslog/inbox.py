"""What was received and is not on disk yet: bounded, between who reads sockets and who tells the agent."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

#: Beyond so many bytes nobody reads on: senders over TCP wait, datagrams wait in the kernel.
MAX_WAITING_BYTES: Final = 4 << 20
#: What is told at once, at most.
_BATCH_MESSAGES: Final = 4_096
_BATCH_BYTES: Final = 1 << 20
#: What a message costs beside its bytes.
_EACH_BYTES: Final = 64


class Receipt(Struct, frozen=True, array_like=True):
    """Messages that came together. ``address`` is the sender's as seen, ``name`` what its certificate says (TLS)."""

    address: str
    transport: str
    port: int
    received_at: float
    messages: list[bytes]
    name: str = ""

    @property
    def size(self) -> int:
        return sum(map(len, self.messages)) + _EACH_BYTES * len(self.messages)


class Batch(Struct, frozen=True, array_like=True):
    """What is told in one piece, by a number that only rises."""

    number: int
    receipts: list[Receipt]


class Inbox:
    """One reader puts, one teller takes."""

    def __init__(self) -> None:
        self._waiting: deque[Receipt] = deque()
        self._bytes = 0
        self._ready = threading.Condition()

    def is_full(self) -> bool:
        return self._bytes >= MAX_WAITING_BYTES

    def put(self, receipt: Receipt) -> None:
        with self._ready:
            self._waiting.append(receipt)
            self._bytes += receipt.size
            self._ready.notify()

    def take(self, timeout: float) -> list[Receipt]:
        """The oldest, as many as make one batch; empty when nothing came within ``timeout`` seconds."""
        with self._ready:
            if not self._waiting:
                self._ready.wait(timeout)
            taken: list[Receipt] = []
            messages, size = 0, 0
            while self._waiting:
                first = self._waiting[0]
                if taken and (
                    messages + len(first.messages) > _BATCH_MESSAGES or size + first.size > _BATCH_BYTES
                ):
                    break
                taken.append(self._waiting.popleft())
                messages += len(first.messages)
                size += first.size
                self._bytes -= first.size
            return taken

    def rest(self) -> list[list[Receipt]]:
        """All that waits, in batches."""
        batches = []
        while batch := self.take(0.0):
            batches.append(batch)
        return batches


class Leftover:
    """What could not be told before the end, in a file of the part's own folder, for the next start."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "waiting"

    def write(self, batches: list[Batch]) -> None:
        """Raise :class:`OSError` where the disk refuses it."""
        if not batches:
            return
        data = msgspec.msgpack.encode(batches)
        beside = self._path.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self) -> list[Batch]:
        """Empty where nothing is left.

        Raises:
            ValueError: the file is damaged.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        try:
            return msgspec.msgpack.decode(data, type=list[Batch])
        except msgspec.MsgspecError as error:
            raise ValueError(f"{self._path} is damaged: {error}") from error

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()
