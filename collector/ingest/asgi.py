"""The little of ASGI that the agents' port needs: reading a bounded body, sending a short answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING, Any

import msgspec

from agent.messages import TIME_HEADER, WANTED_HEADER
from collector.ingest.problems import busy, too_large

if TYPE_CHECKING:
    from collector.ingest.limits import ByteBudget

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_TIME = TIME_HEADER.lower().encode("ascii")
_WANTED = WANTED_HEADER.lower().encode("ascii")


class Gone(Exception):  # noqa: N818 - not an error: the client went away and nobody is left to answer
    """The connection ended before the request did."""


class ByteHolder:
    """One request's part of the budget; give it back with :meth:`release`, whatever happens."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._held = 0

    def take(self, size: int) -> bool:
        if not self._budget.take(size):
            return False
        self._held += size
        return True

    def release(self) -> None:
        self._budget.give_back(self._held)
        self._held = 0


async def read_body(receive: Receive, limit: int, holder: ByteHolder | None = None) -> bytes:
    """The whole body, of at most ``limit`` bytes, counted in ``holder`` while it arrives.

    Raises:
        RefusalError: 413 beyond ``limit``, 503 where the budget of all requests is used up.
        Gone: the client left in the middle.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(f"the body is larger than {limit} bytes")
        if chunk:
            if holder is not None and not holder.take(len(chunk)):
                raise busy("memory", "too many batches are on their way in at once", 5)
            chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def start(status: HTTPStatus, length: int, kind: bytes, headers: Headers) -> dict[str, Any]:
    fields: Headers = [(b"content-length", str(length).encode("ascii")), *headers]
    if kind:
        fields.append((b"content-type", kind))
    return {"type": "http.response.start", "status": status.value, "headers": fields}


async def answer(
    send: Send, status: HTTPStatus, body: bytes, kind: bytes, headers: Headers | None = None
) -> HTTPStatus:
    await send(start(status, len(body), kind, headers or []))
    await send({"type": "http.response.body", "body": body, "more_body": False})
    return status


async def answer_json(send: Send, content: object) -> HTTPStatus:
    """200, with the collector's time."""
    return await answer(
        send, HTTPStatus.OK, msgspec.json.encode(content), b"application/json", [collector_time()]
    )


async def accepted(send: Send, wanted: bytes | None = None) -> HTTPStatus:
    """202. ``wanted``: the value of the header that says what the endpoint shall have."""
    return await answer(send, HTTPStatus.ACCEPTED, b"", b"", _told(wanted))


async def noted(send: Send, wanted: bytes | None = None) -> HTTPStatus:
    """204, the shortest answer there is: an idle agent has half a kilobyte a minute for everything."""
    status = HTTPStatus.NO_CONTENT
    await send({"type": "http.response.start", "status": status.value, "headers": _told(wanted)})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return status


def _told(wanted: bytes | None) -> Headers:
    return [collector_time(), *([(_WANTED, wanted)] if wanted is not None else [])]


def collector_time() -> tuple[bytes, bytes]:
    return _TIME, f"{time():.3f}".encode("ascii")
