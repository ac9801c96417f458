"""uvicorn's HTTP protocol with three things it lacks: the client's certificate for the application (the ASGI
``tls`` extension), a bound on heads, and an end to slow requests.

A request must be complete within ``request_seconds`` of its first byte, and the first request must begin
within that of the connection; between requests the keep-alive time-out holds. Who shows no certificate is a
stranger: there is room for few of them, and they are not kept waiting about.
"""

from __future__ import annotations

import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from collector.ingest.limits import AddressList
from collector.ingest.problems import NO_TYPE, RefusalError

if TYPE_CHECKING:
    import asyncio

    from prometheus_client import Gauge

#: Agents report every 60 seconds and keep their connection.
KEEP_ALIVE_SECONDS: Final = 330
MAX_HEAD_BYTES: Final = 32 << 10
_MAX_PIPELINED: Final = 8
MAX_STRANGERS: Final = 1_024
STRANGER_KEEP_ALIVE_SECONDS: Final = 30


class AgentProtocol(HttpToolsProtocol):
    """One connection."""

    request_seconds: float = 30.0
    max_connections: int = 20_000
    max_strangers: int = MAX_STRANGERS
    #: Whose connections carry no certificate because they speak for others.
    terminators: AddressList = AddressList([])
    gauge: Gauge | None = None
    #: All of a server's connections without a certificate; a server has a subclass of its own.
    strangers: ClassVar[set[AgentProtocol]] = set()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        self._tls = _tls_extension(transport.get_extra_info("ssl_object"))
        self._head_bytes = 0
        self._in_head = True
        self._whole = True
        self._deadline: asyncio.TimerHandle | None = None
        self._arm()
        if self.gauge is not None:
            self.gauge.set(len(self.connections))
        crowded = len(self.connections) > self.max_connections
        if self._is_stranger():
            crowded = crowded or len(self.strangers) >= self.max_strangers
            self.strangers.add(self)
            self.timeout_keep_alive = STRANGER_KEEP_ALIVE_SECONDS
        if crowded:
            transport.abort()

    def _is_stranger(self) -> bool:
        shown = self._tls is not None and bool(self._tls["client_cert_chain"])
        return not shown and (self.client is None or self.client[0] not in self.terminators)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self.strangers.discard(self)
        super().connection_lost(exc)
        if self.gauge is not None:
            self.gauge.set(len(self.connections))

    def data_received(self, data: bytes) -> None:
        if self._deadline is None:
            self._arm()
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's head is too large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._whole = False
        if self._tls is not None:
            self.scope["extensions"] = {"tls": self._tls}

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise ValueError("too many requests in one go")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._disarm()
        self._in_head = self._whole = True
        super().on_message_complete()
        self._forget()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._forget()

    def _forget(self) -> None:
        """Between requests, which is nearly always, a connection keeps nothing of the last one."""
        cycle = self.cycle
        if self._whole and cycle is not None and cycle.response_complete and not self.pipeline:
            self.cycle = self.scope = self.headers = None  # type: ignore[assignment] # as before the first

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer from below the application where it has not all of a request yet, and close."""
        cycle = self.cycle
        between = cycle is None or cycle.response_complete
        if between or (cycle.more_body and not cycle.response_started and not self.pipeline):
            body = RefusalError(status, "http", detail, kind=NO_TYPE).body()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
        if not between:
            cycle.disconnected = True  # what the application says from now on goes nowhere
            cycle.message_event.set()
        self.transport.close()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.request_seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request was not complete in time")


def _tls_extension(connection: ssl.SSLObject | None) -> dict[object, object] | None:
    """The ASGI TLS extension (version 0.2) of a connection whose handshake is done; None without TLS."""
    if connection is None:
        return None
    der = connection.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(der)] if der else [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": None,
        "cipher_suite": None,
    }
