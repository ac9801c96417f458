"""A way through an HTTP proxy: ``CONNECT`` (RFC 9110, 9.3.6), with user and password where it wants them (RFC 7617).

The proxy sees where to, and bytes that it cannot read: TLS is spoken with the collector, end to end.
"""

from __future__ import annotations

import base64
import socket
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from agent.runtime.errors import TransportError, words_of

if TYPE_CHECKING:
    from agent.runtime.transport import Address
    from agent.settings import CollectorEndpoint

_USUAL_PORT: Final = 3128
_MOST_OF_AN_ANSWER: Final = 16 << 10
_END: Final = b"\r\n\r\n"


class Proxy(Struct, frozen=True):
    """``user`` empty: it asks nobody who they are."""

    host: str
    port: int
    user: str = ""
    password: str = ""

    @classmethod
    def of(cls, url: str, password: str = "") -> Proxy:
        """Of ``http://[user@]host[:port]``.

        Raises:
            ValueError: it is no such URL. A password in it is one too: settings are read by many.
        """
        parts = urlsplit(url)
        if parts.password is not None:
            raise ValueError("the proxy's password belongs into [collector] proxy_password_file")
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"not a proxy's address (http://host:3128): {url!r}")
        return cls(parts.hostname, parts.port or _USUAL_PORT, unquote(parts.username or ""), password)

    @property
    def name(self) -> str:
        """Without user and password, for people."""
        return f"{self.host}:{self.port}"

    def open(self, address: Address, timeout_seconds: float) -> socket.socket:
        """A connection to ``address`` through the proxy.

        Raises:
            TransportError: ``proxy``: it cannot be reached, or does not let through; in its own words.
        """
        deadline = monotonic() + timeout_seconds
        try:
            tunnel = socket.create_connection((self.host, self.port), timeout=timeout_seconds)
        except OSError as error:
            raise TransportError("proxy", f"{self.name}: {words_of(error)}") from error
        try:
            tunnel.sendall(self._asking(address.authority))
            let_through(read_answer(tunnel, deadline))
        except (OSError, ValueError) as error:
            tunnel.close()
            raise TransportError("proxy", f"{self.name}: {words_of(error)}") from error
        tunnel.settimeout(timeout_seconds)
        return tunnel

    def _asking(self, authority: str) -> bytes:
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if self.user:
            pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
            lines.append(f"Proxy-Authorization: Basic {pair}")
        return "\r\n".join([*lines, "", ""]).encode("ascii")


def proxy_of(settings: CollectorEndpoint) -> Proxy | None:
    """The one that the settings name, with its password; ``None``: none.

    Raises:
        ValueError: as :meth:`Proxy.of`, or its password cannot be read.
    """
    if not settings.proxy:
        return None
    password = ""
    if settings.proxy_password_file:
        path = Path(settings.proxy_password_file)
        try:
            password = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: the proxy's password cannot be read: {words_of(error)}") from error
    return Proxy.of(settings.proxy, password)


def read_answer(tunnel: socket.socket, deadline: float) -> bytes:
    """The head of the answer, however slowly it comes, and what has come behind it.

    Raises:
        OSError: it does not come in time, or the connection broke.
        ValueError: it is none to CONNECT, or there is none.
    """
    answer = b""
    while _END not in answer:
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        tunnel.settimeout(left)
        some = tunnel.recv(4096)
        if not some:
            raise ValueError("closed the connection without an answer")
        answer += some
        if len(answer) > _MOST_OF_AN_ANSWER:
            raise ValueError("its answer is none to CONNECT")
    return answer


def let_through(answer: bytes) -> None:
    """Raise :class:`ValueError`, in the proxy's words where it has some, unless ``answer`` opens the tunnel."""
    head, _, rest = answer.partition(_END)
    version, _, status = head.split(b"\r\n", 1)[0].partition(b" ")
    if not version.startswith(b"HTTP/1.") or not status[:3].isdigit():
        raise ValueError("its answer is no HTTP")
    if not status.startswith(b"2"):
        raise ValueError("".join(filter(str.isprintable, status.decode("ascii", "replace")))[:100])
    if rest:  # whoever is behind it waits to be spoken to
        raise ValueError("its answer is none to CONNECT")
