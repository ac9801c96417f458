"""What every request passes before any route, and every answer on its way out (plain ASGI)."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from soc_api.problems import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from collector.settings import Web

#: The most a request's body may weigh (a registry's CSV is the largest thing anyone sends).
MAX_BODY_BYTES: Final = 4 << 20

#: ``img-src data:`` because the style sheet's small icons are data addresses; nothing inline, nothing from
#: elsewhere.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST: Final = re.compile(r"\[?([0-9A-Za-z.:_-]{1,253}?)\]?(?::[0-9]{1,5})?")


def allowed_hosts(web: Web) -> frozenset[str]:
    """The names by which the console may be asked for: the settings', this machine's, and loopback."""
    names = {web.host, *web.names, "localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn()}
    return frozenset(name.casefold() for name in names)


class Guard:
    """Refuses a foreign ``Host`` (DNS rebinding), a change asked for from another origin, and a body too
    large; adds the security headers to every answer, and ``no-store`` where the answer itself says nothing
    of caching.

    An exception that nothing else caught becomes ``unexpected(request, error)`` here, so that even that
    answer carries the headers.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Iterable[str],
        unexpected: Callable[[Request, Exception], Response],
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._app = app
        self._unexpected = unexpected
        self._hosts = frozenset(hosts)
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = _Answer(send)
        refusal = self._refusal(scope["method"], headers.get("host", ""), headers)
        if refusal is not None:
            await problem(*refusal)(scope, receive, answer.send)
            return
        body = _Body(receive, self._max_body_bytes)
        try:
            await self._app(scope, body.receive, answer.send_unless(lambda: body.too_large))
        except Exception as error:
            if answer.started:
                raise
            if not body.too_large:
                response = await run_in_threadpool(self._unexpected, Request(scope), error)
                await response(scope, receive, answer.send)
        if body.too_large and not answer.started:
            await problem(*self._too_large())(scope, receive, answer.send)

    def _refusal(self, method: str, host: str, headers: dict[str, str]) -> tuple[int, str, str] | None:
        name = _host_name(host)
        if name is None or (name not in self._hosts and not _is_loopback(name)):
            return (
                421,
                "Unknown host name",
                "ask by a name of this server; add others to [web] names in the settings",
            )
        length = headers.get("content-length", "0")
        if not length.isdigit() or len(length) > 12 or int(length) > self._max_body_bytes:
            return self._too_large()
        if method not in _SAFE:
            origin = headers.get("origin")
            if origin is not None and origin.casefold() != f"https://{host.casefold()}":
                return 403, "From another site", "changes are only accepted from the console's own pages"
            if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
                return 403, "From another site", "changes are only accepted from the console's own pages"
        return None

    def _too_large(self) -> tuple[int, str, str]:
        return 413, "Too large", f"the body may weigh at most {self._max_body_bytes} bytes"


class _Answer:
    """An answer on its way out: adds the headers to its start."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            wanted = {"cache-control": "no-store", **HEADERS}
            headers += [(n.encode(), v.encode()) for n, v in wanted.items() if n.encode() not in present]
            message = {**message, "headers": headers}
        await self._send(message)

    def send_unless(self, is_void: Callable[[], bool]) -> Send:
        """As :meth:`send`, but an answer that is void before it began is thrown away."""

        async def send(message: Message) -> None:
            if self.started or not is_void():
                await self.send(message)

        return send


class _Body:
    """A body that announced no length, or a wrong one: cut off at the bound, as if the client had gone
    away."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most

    @property
    def too_large(self) -> bool:
        return self._left < 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.too_large else message


def _host_name(host: str) -> str | None:
    match = _HOST.fullmatch(host)
    return None if match is None else match[1].casefold()


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
