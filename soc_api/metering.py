"""Counts and times the web process's requests, by route."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from collector.metrics import WebMetrics

#: Methods that have a name in figures; others are made up by whoever asks.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metering:
    """ASGI middleware. A route is named by its template (``/endpoints/{endpoint_id}``), what has none by ``*``: so the
    number of series is bounded whatever is asked for."""

    def __init__(self, app: ASGIApp, metrics: WebMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = monotonic()
        status, stream = 0, False

        async def watched(message: Message) -> None:
            nonlocal status, stream
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = dict(message.get("headers", ()))
                stream = headers.get(b"content-type", b"").startswith(b"text/event-stream")
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, _route(scope), str(status or 500)).inc()
            if not stream:
                self._metrics.request_seconds.observe(monotonic() - started)


def _route(scope: Scope) -> str:
    # Of a router within a router the route itself knows only its own part of the way.
    whole = scope.get("fastapi", {}).get("effective_route_context")
    path: str = getattr(whole or scope.get("route"), "path", "*")
    return path
