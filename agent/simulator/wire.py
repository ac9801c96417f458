"""The agent's side of the protocol for thousands in one process: kept-alive connections over one TLS context.

A connection keeps the certificate that its context held when it was made, so one context is enough for all of them;
and non-blocking sockets with asyncio's readiness cost a third of the memory of asyncio's own TLS streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Final, TypeVar

from agent.messages import TAKES_HEADER, Importance
from agent.runtime.errors import TransportError
from agent.runtime.transport import Reply, trusting_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.runtime.transport import Address
    from agent.settings import StateDirectory
    from agent.simulator.figures import Figures

T = TypeVar("T")

_ANSWER_SECONDS: Final = 30.0
_MOST_OF_AN_ANSWER: Final = 1 << 16
#: TLS handshakes under way at once: more than are waited for on the way, few enough to end within their time.
_AT_ONCE: Final = 256


class Wire:
    """What all connections share."""

    def __init__(self, address: Address, figures: Figures) -> None:
        self.address = address
        self.figures = figures
        self.gate = asyncio.Semaphore(_AT_ONCE)
        self._context: ssl.SSLContext | None = None

    def context(self, state: StateDirectory) -> ssl.SSLContext:
        """The context, holding the certificate of ``state`` until the next call.

        Raises:
            OSError, ssl.SSLError: a file is missing, or key and certificate do not belong together.
        """
        if self._context is None:
            self._context = trusting_context(state.ca.read_text(encoding="ascii"))
        self._context.load_cert_chain(state.certificate, state.key)
        return self._context


class AsyncConnection:
    """As :class:`agent.runtime.transport.Connection`, for one task at a time."""

    def __init__(self, wire: Wire, state: StateDirectory) -> None:
        self._wire = wire
        self._state = state
        self._socket: ssl.SSLSocket | None = None
        self._session: ssl.SSLSession | None = None

    async def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        """Raise :class:`TransportError` where no answer came; a kept connection that was closed is reopened."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._wire.address.authority}"]
        lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
        message = "\r\n".join([*lines, "", ""]).encode("ascii") + body
        kept = self._socket is not None
        try:
            return await self._exchange(message)
        except (OSError, ValueError, TimeoutError) as error:
            self.close()
            if not kept:
                self._wire.figures.unanswered += 1
                raise TransportError("unreachable", str(error) or type(error).__name__) from error
        try:
            return await self._exchange(message)
        except (OSError, ValueError, TimeoutError) as error:
            self.close()
            self._wire.figures.unanswered += 1
            raise TransportError("unreachable", str(error) or type(error).__name__) from error

    async def _exchange(self, message: bytes) -> Reply:
        if self._socket is None:
            async with self._wire.gate, asyncio.timeout(_ANSWER_SECONDS):
                self._socket = await self._open()
        opened = self._socket
        async with asyncio.timeout(_ANSWER_SECONDS):
            view = memoryview(message)
            while view:
                view = view[await _when_ready(opened, lambda: opened.send(view)) :]  # noqa: B023 - called at once
            head, _, body = (await self._receive(opened)).partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        if headers.get("connection", "").lower() == "close":
            self.close()
        wait = headers.get("retry-after", "")
        return Reply(
            status=int(status.split(" ")[1]),
            body=body,
            retry_after_seconds=min(3600.0, float(wait)) if wait.isdecimal() else 0.0,
            takes=Importance.of(headers.get(TAKES_HEADER.lower(), "")),
        )

    async def _open(self) -> ssl.SSLSocket:
        address, loop = self._wire.address, asyncio.get_running_loop()
        plain = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
        try:
            plain.setblocking(False)
            await loop.sock_connect(plain, (address.host, address.port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wrapped = self._wire.context(self._state).wrap_socket(
                plain,
                server_hostname=address.host,
                do_handshake_on_connect=False,
                session=self._session,
            )
        except BaseException:
            plain.close()
            raise
        try:
            await _when_ready(wrapped, wrapped.do_handshake)
        except BaseException:
            wrapped.close()
            raise
        if wrapped.session_reused:
            self._wire.figures.resumed += 1
        else:
            self._wire.figures.handshakes += 1
        return wrapped

    async def _receive(self, opened: ssl.SSLSocket) -> bytes:
        """A whole answer: head, empty line, body."""
        received = b""
        while True:
            chunk = await _when_ready(opened, lambda: opened.recv(_MOST_OF_AN_ANSWER))
            if not chunk:
                raise ConnectionError("the collector closed the connection")
            received += chunk
            end = received.find(b"\r\n\r\n")
            if end >= 0 and len(received) >= end + 4 + _length(received[:end]):
                break
            if len(received) > 2 * _MOST_OF_AN_ANSWER:
                raise ValueError("an answer without end")
        if self._session is None or not opened.session_reused:
            session = opened.session  # its ticket has come with the first answer
            self._session = session if session is not None and session.has_ticket else None
        return received

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
            if not 0 <= length <= _MOST_OF_AN_ANSWER:
                raise ValueError(f"an answer of {length} bytes")
            return length
    return 0


async def _when_ready(opened: ssl.SSLSocket, action: Callable[[], T]) -> T:
    while True:
        try:
            return action()
        except ssl.SSLWantReadError:
            await _readiness(opened, writing=False)
        except ssl.SSLWantWriteError:
            await _readiness(opened, writing=True)


async def _readiness(opened: ssl.SSLSocket, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    descriptor = opened.fileno()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    (loop.add_writer if writing else loop.add_reader)(descriptor, tell)
    try:
        await ready
    finally:
        (loop.remove_writer if writing else loop.remove_reader)(descriptor)
