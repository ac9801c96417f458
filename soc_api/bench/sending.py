"""``python -m soc_api.bench.sending ORDER``: agents' batches over the real protocol, as cheaply as they can be made.

It shares the machine with what it measures. So: bodies are prepared, one thread looks after all connections, and
nothing is written on the way but a line every 100 ms with what was acknowledged so far. ORDER is a file with
one JSON object (:class:`Order`). Batches leave when they are due, whether or not the ones before them were
acknowledged: an acknowledgement's time counts from then (no coordinated omission).
"""

from __future__ import annotations

import os
import re
import resource
import selectors
import socket
import ssl
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from agent.messages import BATCH_HEADER, BATCH_PATH, BatchHeader

if TYPE_CHECKING:
    from collections.abc import Iterator

_TELL_SECONDS: Final = 0.1
_LAST_WAIT_SECONDS: Final = 30.0
_WAIT: Final = re.compile(rb"retry-after: (\d+)")
#: What is remembered of acknowledgements, in steps of a tenth of a millisecond.
_STEP_SECONDS: Final = 1e-4


class Stage(Struct, frozen=True):
    """So many batches a second for so many seconds; what was acknowledged when counts where ``measured``."""

    batches_per_second: float
    seconds: float
    measured: bool = False


class Order(Struct, frozen=True):
    """``identities`` are PEM files with key and certificate, one a connection; ``bodies`` files with prepared batches
    one after the other, ``sizes`` their lengths."""

    port: int
    ca: str
    identities: list[str]
    bodies: str
    sizes: list[int]
    events: int
    stages: list[Stage]


class Told(Struct, frozen=True):
    """One line of standard output: at ``time``, so many batches were due, acknowledged and refused (to be sent again).

    The last line has ``latencies``: how many acknowledgements took how many tenths of a millisecond.
    """

    time: float
    due: int
    acknowledged: int
    refused: int
    latencies: list[tuple[int, int]] = []


class _Connection:
    def __init__(self, opened: ssl.SSLSocket) -> None:
        self.socket = opened
        self.stream = os.urandom(16).hex()
        self.seq = 0
        self.due = 0.0
        self.measured = False
        self.message = b""
        self.rest = b""
        self.again_at = 0.0
        self.events = selectors.EVENT_READ


class Sending:
    """All connections, open; :meth:`run` sends."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._bodies = list(_cut(order))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(order.ca)
        self._connections = []
        for identity in order.identities:
            context.load_cert_chain(identity)  # a connection keeps the one that it was opened with
            plain = socket.create_connection(("127.0.0.1", order.port), timeout=30)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened = context.wrap_socket(plain, server_hostname="127.0.0.1")
            opened.setblocking(False)
            self._connections.append(_Connection(opened))
        self._selector = selectors.EpollSelector()
        for connection in self._connections:
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        self._idle = deque(self._connections)
        self._sent = self._acknowledged = self._refused = 0
        self._again: list[_Connection] = []
        self._latencies: dict[int, int] = {}

    def run(self) -> None:
        began = time.monotonic()
        told = due = 0.0
        for when, measured in _moments(self._order.stages):
            due += 1
            while (now := time.monotonic()) < began + when or not self._idle:
                if now >= told + _TELL_SECONDS:
                    told = now
                    self._tell(int(due))
                self._listen(min(0.01, max(0.0, began + when - now)) if self._idle else 0.01)
            self._send(self._idle.popleft(), began + when, measured)
        deadline = time.monotonic() + _LAST_WAIT_SECONDS
        while len(self._idle) < len(self._connections) and time.monotonic() < deadline:
            self._listen(0.01)
        self._tell(int(due), sorted(self._latencies.items()))

    def _tell(self, due: int, latencies: list[tuple[int, int]] | None = None) -> None:
        told = Told(time.time(), due, self._acknowledged, self._refused, latencies or [])
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()

    def _send(self, connection: _Connection, due: float, measured: bool) -> None:
        body = self._bodies[self._sent % len(self._bodies)]
        self._sent += 1
        connection.seq += 1
        connection.due, connection.measured = due, measured
        header = BatchHeader(stream=connection.stream, seq=connection.seq, sent_at=time.time()).encode()
        connection.message = (
            f"POST {BATCH_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{BATCH_HEADER}: {header}\r\n\r\n"
        ).encode("ascii") + body
        connection.rest = connection.message
        self._write(connection)

    def _write(self, connection: _Connection) -> None:
        while connection.rest:
            try:
                written = connection.socket.send(connection.rest)
            except ssl.SSLWantWriteError:
                self._watch(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
                return
            connection.rest = connection.rest[written:]
        self._watch(connection, selectors.EVENT_READ)

    def _watch(self, connection: _Connection, events: int) -> None:
        if connection.events != events:
            connection.events = events
            self._selector.modify(connection.socket, events, connection)

    def _listen(self, seconds: float) -> None:
        for key, mask in self._selector.select(seconds):
            if mask & selectors.EVENT_WRITE:
                self._write(key.data)
            if mask & selectors.EVENT_READ:
                self._read(key.data)
        if self._again:
            now = time.monotonic()
            for connection in [c for c in self._again if c.again_at <= now]:
                self._again.remove(connection)
                connection.rest = connection.message
                self._write(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            answer = connection.socket.recv(16384)
        except ssl.SSLWantReadError:
            return  # a session ticket
        if not answer:
            raise SystemExit("the collector closed a connection")
        if not answer.startswith(b"HTTP/"):
            return  # the rest of a refusal
        head = answer.partition(b"\r\n\r\n")[0].lower()
        if head.startswith(b"http/1.1 202"):
            self._acknowledged += 1
            if connection.measured:
                step = int((time.monotonic() - connection.due) / _STEP_SECONDS)
                self._latencies[step] = self._latencies.get(step, 0) + 1
            self._idle.append(connection)
            return
        wait = _WAIT.search(head)
        if wait is None:
            raise SystemExit(f"the collector answered {answer[:500]!r}")
        self._refused += 1
        connection.again_at = time.monotonic() + float(wait[1])
        self._again.append(connection)


def _cut(order: Order) -> Iterator[bytes]:
    with Path(order.bodies).open("rb") as file:
        for size in order.sizes:
            yield file.read(size)


def _moments(stages: list[Stage]) -> Iterator[tuple[float, bool]]:
    """When each batch is due, in seconds from the start, and whether its acknowledgement is measured."""
    start = 0.0
    for stage in stages:
        for number in range(round(stage.batches_per_second * stage.seconds)):
            yield start + number / stage.batches_per_second, stage.measured
        start += stage.seconds


def main() -> int:
    order = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Order)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Sending(order).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
