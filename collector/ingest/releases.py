"""Serves the files of releases to enrolled endpoints (``/v1/releases/<version>/<file>``), whole or a part of them."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from collector.ingest import problems
from collector.ingest.asgi import answer, start
from collector.ingest.problems import RefusalError
from collector.steering.releases.files import find

if TYPE_CHECKING:
    from pathlib import Path

    from collector.ingest.asgi import Headers, Scope, Send

_RANGE: Final = re.compile(rb"bytes=([0-9]{1,12})-([0-9]{1,12})")
#: A request without a range, or for more, gets the whole file in pieces of this.
_PIECE_BYTES: Final = 64 << 10
_SEND_SECONDS: Final = 60.0
_KIND: Final = b"application/octet-stream"


async def serve(folder: Path, path: str, scope: Scope, send: Send) -> HTTPStatus:
    """Answer 200 with the file, or 206 with the one range that was asked for (RFC 9110, 14).

    Raises:
        RefusalError: 404 where there is no such file, 416 where the range begins beyond its end.
    """
    found = await asyncio.to_thread(find, folder, path)
    if found is None:
        raise problems.not_found()
    file, size = found
    asked = _asked(scope)
    if asked is None:
        return await _whole(file, size, send)
    first, last = asked[0], min(asked[1], size - 1)
    if first > last:
        raise RefusalError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "range",
            f"{path}: {size} bytes long",
            headers={"Content-Range": f"bytes */{size}"},
        )
    part = await asyncio.to_thread(_read, file, first, min(last + 1 - first, _PIECE_BYTES))
    headers: Headers = [(b"content-range", f"bytes {first}-{first + len(part) - 1}/{size}".encode("ascii"))]
    return await answer(send, HTTPStatus.PARTIAL_CONTENT, part, _KIND, headers)


def _asked(scope: Scope) -> tuple[int, int] | None:
    """The range of a request that asks for exactly one, from here to there; others are answered with the whole."""
    values = [value for name, value in scope["headers"] if name == b"range"]
    match = _RANGE.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or int(match[2]) < int(match[1]):
        return None
    return int(match[1]), int(match[2])


async def _whole(file: Path, size: int, send: Send) -> HTTPStatus:
    await send(start(HTTPStatus.OK, size, _KIND, [(b"accept-ranges", b"bytes")]))
    sent = 0
    while sent < size:
        piece = await asyncio.to_thread(_read, file, sent, min(_PIECE_BYTES, size - sent))
        if not piece:
            raise ConnectionError(f"{file.name} became shorter while it was sent")
        sent += len(piece)
        async with asyncio.timeout(_SEND_SECONDS):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return HTTPStatus.OK


def _read(file: Path, first: int, size: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(first)
        return opened.read(size)
