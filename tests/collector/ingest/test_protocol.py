"""The protocol over a transport of the test's own: what any bytes, in any pieces, do to it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from collector.ingest.asgi import answer
from collector.ingest.limits import AddressList
from collector.ingest.protocol import KEEP_ALIVE_SECONDS, STRANGER_KEEP_ALIVE_SECONDS, AgentProtocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from collector.ingest.asgi import Scope


class Certificate:
    """Stands for the TLS connection of a client that showed a certificate."""

    def getpeercert(self, *, binary_form: bool) -> bytes:
        assert binary_form
        return b"der"


class Transport(asyncio.Transport):
    def __init__(self, address: str = "192.0.2.1", *, certificate: bool = False) -> None:
        super().__init__({"peername": (address, 5000), "sockname": ("192.0.2.9", 8444)})
        if certificate:
            self._extra["ssl_object"] = Certificate()  # type: ignore[attr-defined] # asyncio's own dictionary
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def app(
    scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Answers with how many bytes came."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    from http import HTTPStatus

    await answer(send, HTTPStatus.OK, str(size).encode(), b"text/plain")


def config() -> uvicorn.Config:
    made = uvicorn.Config(
        app, ws="none", log_config=None, proxy_headers=False, timeout_keep_alive=KEEP_ALIVE_SECONDS
    )
    made.load()
    return made


class Server:
    """Connections that share a server's state."""

    def __init__(self, **attributes: object) -> None:
        self.config = config()
        self.state = ServerState()
        self.kind: type[AgentProtocol] = type("Testing", (AgentProtocol,), {"strangers": set(), **attributes})

    def connect(self, transport: Transport) -> AgentProtocol:
        protocol = self.kind(self.config, self.state, {})
        protocol.connection_made(transport)
        return protocol


async def converse(pieces: list[bytes]) -> Transport:
    server, transport = Server(), Transport()
    protocol = server.connect(transport)
    for piece in pieces:
        if transport.closed:
            break
        protocol.data_received(piece)
        for _ in range(5):
            await asyncio.sleep(0)
    transport.closed = True
    protocol.connection_lost(None)
    while server.state.tasks:
        await asyncio.gather(*server.state.tasks)
    assert not server.state.connections
    assert not server.kind.strangers
    return transport


LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /v1/batches HTTP/1.1\r\n",
        b"Host: x\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"hello",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"\x00",
        b"\xff\xfe",
        b"OPTIONS * HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\n",
        b"GET /%ff%00 HTTP/1.1\r\n",
        b"X: " + b"a" * 20_000,
        b" folded\r\n",
    ]
)


@given(st.lists(LINES | st.binary(max_size=40), max_size=12))
def test_any_bytes_in_any_pieces_end_in_whole_answers_or_a_closed_connection(pieces: list[bytes]) -> None:
    transport = asyncio.run(converse(pieces))

    rest = transport.written.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    while rest:
        head, _, body = rest.partition(b"\r\n\r\n")
        assert re.match(rb"HTTP/1\.1 (200|400|408|431) ", head), head
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        assert len(body) >= int(length[1])
        rest = body[int(length[1]) :]


def test_a_body_in_pieces_is_put_together() -> None:
    pieces = [b"POST / HTTP/1.1\r\nHost: x\r\nContent-", b"Length: 5\r\n\r\nhe", b"l", b"lo"]

    assert asyncio.run(converse(pieces)).written.endswith(b"\r\n\r\n5")


def test_strangers_have_little_room_and_do_not_crowd_out_those_who_are_known() -> None:
    async def crowd() -> list[bool]:
        server = Server(max_strangers=2, terminators=AddressList(["192.0.2.200"]))
        transports = [
            *(Transport() for _ in range(3)),
            *(Transport(certificate=True) for _ in range(3)),
            *(Transport("192.0.2.200") for _ in range(3)),
        ]
        protocols = [server.connect(transport) for transport in transports]
        refused = [transport.closed for transport in transports]
        for protocol in protocols:
            protocol.connection_lost(None)
        return refused

    assert asyncio.run(crowd()) == [False, False, True, *[False] * 6]


def test_room_that_a_stranger_leaves_is_free_again() -> None:
    async def come_and_go() -> bool:
        server = Server(max_strangers=1)
        for _ in range(5):
            transport = Transport()
            protocol = server.connect(transport)
            if transport.closed:
                return False
            protocol.connection_lost(None)
        return True

    assert asyncio.run(come_and_go())


@pytest.mark.parametrize(
    ("certificate", "seconds"), [(True, KEEP_ALIVE_SECONDS), (False, STRANGER_KEEP_ALIVE_SECONDS)]
)
def test_only_who_showed_a_certificate_is_kept_for_minutes(certificate: bool, seconds: float) -> None:
    async def connect() -> float:
        protocol = Server().connect(Transport(certificate=certificate))
        protocol.connection_lost(None)
        return protocol.timeout_keep_alive

    assert asyncio.run(connect()) == seconds


def test_more_connections_than_the_bound_are_closed_at_once() -> None:
    async def crowd() -> list[bool]:
        server = Server(max_connections=2)
        transports = [Transport(certificate=True) for _ in range(3)]
        protocols = [server.connect(transport) for transport in transports]
        closed = [transport.closed for transport in transports]
        for protocol in protocols:
            protocol.connection_lost(None)
        return closed

    assert asyncio.run(crowd()) == [False, False, True]
