"""What our uvicorn servers share: sockets with clear errors, and an end that leaves time to tidy up."""

from __future__ import annotations

import asyncio
import asyncio.selector_events
import asyncio.sslproto
import contextlib
import errno
import resource
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from collector.errors import CollectorError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from types import FrameType

    from uvicorn import Config

_HANDSHAKE_SECONDS = 10.0
#: How long a peer may take to say goodbye before its connection is simply closed.
_GOODBYE_SECONDS = 1.0
#: Connections that wait to be accepted; the kernel's own bound (net.core.somaxconn) is usually this.
WAITING_CONNECTIONS = 4096
#: So many are accepted in one turn of the loop. In a herd the rest waits outside: who has been let in gets through his
#: handshake before more begin theirs, instead of all running into its time limit together.
_ACCEPTED_AT_ONCE = 32
#: What is read from a socket at once.
_RECEIVED_BYTES = 256 << 10


class ListenError(CollectorError):
    """The address cannot be listened on; ``str()`` says why and what to do."""


class Server(uvicorn.Server):
    """Stops on SIGINT and SIGTERM and returns. (uvicorn's own raises the signal again when it is done, which
    would end the process before its stores are closed.)

    ``on_exit`` is called first, so that endless answers (event streams) can end by themselves.
    """

    def __init__(self, config: Config, on_exit: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_exit()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: signal.signal(kind, self.handle_exit) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


class _SharedBuffer(asyncio.sslproto.SSLProtocol):
    """TLS that reads into its loop's one buffer. asyncio gives each connection 256 KB of its own, most of what an idle
    agent costs; what was received is copied out before anybody else can read (``buffer_updated``), so one is enough.
    """

    #: What is decrypted at once: a TLS record (RFC 8446, 5.1).
    max_size = 16 << 10

    def __init__(self, loop: _Loop, *arguments: Any, **options: Any) -> None:
        super().__init__(loop, *arguments, **options)
        self._ssl_buffer = loop.received
        self._ssl_buffer_view = memoryview(loop.received)

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        super()._on_handshake_complete(handshake_exc)
        self._extra.pop("peercert", None)  # some kilobytes of dictionaries; who needs it asks ``ssl_object``


class _Loop(asyncio.SelectorEventLoop):
    """Gives up on TLS handshakes and goodbyes sooner than asyncio would: each holds a file descriptor."""

    def __init__(self) -> None:
        super().__init__()
        self.received = bytearray(_RECEIVED_BYTES)

    def _accept_connection(
        self,
        protocol_factory: Any,
        sock: socket.socket,
        sslcontext: ssl.SSLContext | None = None,
        server: asyncio.Server | None = None,
        backlog: int = _ACCEPTED_AT_ONCE,
        *timeouts: float,
    ) -> None:
        """As asyncio's own, which would accept all that wait."""
        few = min(backlog, _ACCEPTED_AT_ONCE)
        super()._accept_connection(protocol_factory, sock, sslcontext, server, few, *timeouts)  # type: ignore[misc]

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: asyncio.Server | None = None,
        **options: Any,
    ) -> asyncio.Transport:
        """As asyncio's own, with the protocol above."""
        tls = _SharedBuffer(self, protocol, sslcontext, waiter, **options)
        asyncio.selector_events._SelectorSocketTransport(self, rawsock, tls, extra=extra, server=server)  # type: ignore[attr-defined] # noqa: SLF001 - the only way to a protocol of our own
        transport: asyncio.Transport = tls._app_transport  # noqa: SLF001
        return transport

    async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
        if kwargs.get("ssl") is not None:
            kwargs.setdefault("ssl_handshake_timeout", _HANDSHAKE_SECONDS)
            kwargs.setdefault("ssl_shutdown_timeout", _GOODBYE_SECONDS)
        return await super().create_server(*args, **kwargs)


def run(
    config: Config,
    sockets: Sequence[socket.socket],
    on_exit: Callable[[], None] = lambda: None,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve until a signal (then ``on_exit`` is called); returns after a graceful end.

    ``beside`` runs on the same loop and is cancelled at the end: a loop that stands still stops it too.
    """

    async def serve() -> None:
        other = asyncio.create_task(beside()) if beside is not None else None
        try:
            await Server(config, on_exit).serve(sockets=list(sockets))
        finally:
            if other is not None:
                other.cancel()
                await asyncio.gather(other, return_exceptions=True)

    raise_file_limit()
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(serve())


def listen_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        ListenError: port in use, not allowed, or no such address here.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(f"{host}: not an address of this machine: {error.strerror}") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(WAITING_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise ListenError(_advice(host, port, error)) from error
    return listener


def demand_free(host: str, port: int, wait_seconds: float = 3.0) -> None:
    """Return when nothing listens there; somebody who is just ending is waited for.

    Without this look a probe of "our" port may be answered by another installation, and be believed.

    Raises:
        ListenError: as :func:`listen_tcp`.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            listen_tcp(host, port).close()
        except ListenError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _advice(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what listens there, or choose another in vonggac.toml"
    if error.errno == errno.EACCES:
        return f"port {port} on {host}: not allowed: choose one above 1023, or grant CAP_NET_BIND_SERVICE"
    return f"port {port} on {host}: {error.strerror}"


def raise_file_limit() -> None:
    """As many open files as the system lets us have: one connection is one of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
