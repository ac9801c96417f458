"""One kept-alive HTTPS connection to the collector.

The collector's certificate must chain to the one CA this endpoint was enrolled with and must name the host in
the URL; no other authority is asked. Requests carry no header that is not needed: an idle agent speaks once a
minute, and each byte counts over a province's worth of them.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from agent.messages import (
    TAKES_HEADER,
    TIME_HEADER,
    UNREADABLE,
    WANTED_HEADER,
    Importance,
    Problem,
    Wanted,
)
from agent.runtime.answers import read_answer
from agent.runtime.errors import TransportError, words_of

if TYPE_CHECKING:
    from agent.runtime.proxy import Proxy

_MOST_OF_AN_ANSWER: Final = 1 << 16
_LONGEST_WAIT_SECONDS: Final = 3600.0
#: In OpenSSL's names of alerts.
_OF_CERTIFICATES: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


class Address(Struct, frozen=True):
    """Where the collector is, from a URL ``https://host[:port]``."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        """Raise ``ValueError`` where ``url`` is not such a URL."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"not a collector's address (https://host:8444): {url!r}")
        return cls(host=parts.hostname, port=parts.port or 8444)

    @property
    def url(self) -> str:
        return f"https://{self.authority}"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Reply(Struct, frozen=True):
    """What the collector answered. ``retry_after_seconds`` is 0 where it said nothing (RFC 9110, 10.2.3; only
    the form in seconds is understood). ``collector_time`` is its clock, ``None`` where it was not told. ``takes``:
    batches of at least this importance are taken although this one was not. ``wanted``: settings and release that
    this endpoint shall have."""

    status: int
    body: bytes = b""
    retry_after_seconds: float = 0.0
    collector_time: float | None = None
    takes: Importance | None = None
    wanted: Wanted = Wanted()

    @property
    def problem(self) -> Problem:
        """The problem document (RFC 9457), or one made up from the status where there is none."""
        try:
            return msgspec.json.decode(self.body, type=Problem)
        except UNREADABLE:
            return Problem(type="about:blank", title=f"HTTP {self.status}", status=self.status)


def trusting_context(ca_pem: str) -> ssl.SSLContext:
    """TLS 1.3 that believes the given CA alone, and checks the host's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca_pem)
    return context


class Connection:
    """Opens when needed, stays open, is opened again when the other side closed it. One thread only.

    What the collector gave to resume the session by (a ticket, RFC 8446, 4.6.1) is shown when it is opened again, so
    that neither side signs anew; where the collector does not know it any more, it is as the first time.

    ``proxy``: the way there, where there is one.
    """

    def __init__(
        self,
        address: Address,
        context: ssl.SSLContext,
        *,
        proxy: Proxy | None = None,
        connect_timeout_seconds: float = 15.0,
        answer_timeout_seconds: float = 30.0,
    ) -> None:
        self._address = address
        self._context = context
        self._proxy = proxy
        self._connect_timeout = connect_timeout_seconds
        self._answer_timeout = answer_timeout_seconds
        self._socket: ssl.SSLSocket | None = None
        self._session: ssl.SSLSession | None = None

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        """Send one request and read its answer.

        On a connection that was kept open and turns out to be closed, it is sent once more on a new one:
        every request of the protocol may arrive twice.

        Raises:
            TransportError: no answer; ``code`` is ``unreachable``, ``untrusted``, ``rejected`` or ``proxy``.
        """
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._address.authority}"]
        if body or method != "GET":
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        message = "\r\n".join([*lines, "", ""]).encode("ascii") + body
        kept = self._socket is not None
        try:
            return self._exchange(message)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            self.close()
            if not kept:
                raise TransportError("unreachable", words_of(error)) from error
        except OSError as error:
            self.close()
            raise _translated(error) from error
        try:
            return self._exchange(message)
        except OSError as error:
            self.close()
            raise _translated(error) from error

    def _exchange(self, message: bytes) -> Reply:
        if self._socket is None:
            self._socket = self._open()
        self._socket.sendall(message)
        with self._socket.makefile("rb") as stream:
            answer = read_answer(stream, _MOST_OF_AN_ANSWER)
        session = self._socket.session  # the ticket has come with the first answer
        if session is not None and session.has_ticket:
            self._session = session
        if answer.ends:
            self.close()
        return Reply(
            status=answer.status,
            body=answer.body,
            retry_after_seconds=_seconds(answer.field("Retry-After")) or 0.0,
            collector_time=_seconds(answer.field(TIME_HEADER), most=1e11),
            takes=Importance.of(answer.field(TAKES_HEADER) or ""),
            wanted=Wanted.decode(answer.field(WANTED_HEADER) or ""),
        )

    def _open(self) -> ssl.SSLSocket:
        if self._proxy is not None:
            plain = self._proxy.open(self._address, self._connect_timeout)
        else:
            there = (self._address.host, self._address.port)
            plain = socket.create_connection(there, timeout=self._connect_timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wrapped = self._context.wrap_socket(
                plain, server_hostname=self._address.host, session=self._session
            )
        except BaseException:
            plain.close()
            raise
        wrapped.settimeout(self._answer_timeout)
        return wrapped

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


def _seconds(text: str | None, most: float = _LONGEST_WAIT_SECONDS) -> float | None:
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return min(value, most) if value >= 0 else None


def _translated(error: OSError) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TransportError("untrusted", words_of(error))
    # What TLS 1.3 says of a client's certificate comes with the first answer, as an alert (RFC 8446, 6.2). Other alerts
    # are of whoever stands in between.
    reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in reason and any(each in reason for each in _OF_CERTIFICATES):
        return TransportError("rejected", words_of(error))
    return TransportError("unreachable", words_of(error))
