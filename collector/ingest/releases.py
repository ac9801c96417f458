"""Serves the files of releases to enrolled endpoints (``/v1/releases/<version>/<file>``): wheels in parts, the manifest
and its signature whole."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from agent.update.manifest import MANIFEST, MOST_MANIFEST_BYTES, SIGNATURE
from collector.ingest import problems
from collector.ingest.asgi import Gone, answer
from collector.ingest.problems import RefusalError
from collector.steering.releases.files import find

if TYPE_CHECKING:
    from pathlib import Path

    from collector.ingest.asgi import Scope, Send

_RANGE: Final = re.compile(rb"bytes=([0-9]{1,12})-([0-9]{1,12})")
#: Who asks for more gets so much of it.
_PIECE_BYTES: Final = 64 << 10
_SEND_SECONDS: Final = 60.0
_WHOLE: Final = frozenset({MANIFEST, SIGNATURE})
_KIND: Final = b"application/octet-stream"


class Releases:
    """What stands in ``folder``; to each endpoint one file or part at once. For one event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._served: set[str] = set()

    async def serve(self, endpoint_id: str, path: str, scope: Scope, send: Send) -> HTTPStatus:
        """Answer 206 with the beginning of the one range that was asked for (RFC 9110, 14), or 200 with a small file.

        Raises:
            RefusalError: 404 where there is no such file; 416 where the range begins beyond its end, or none is asked
                for of a file that is not sent whole; 503 while the endpoint is sent another.
            Gone: it does not take what it asked for.
        """
        if endpoint_id in self._served:
            raise problems.busy("transfer", "this endpoint is being sent a part of a release already", 10)
        self._served.add(endpoint_id)
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                return await self._serve(path, scope, send)
        except TimeoutError as error:
            raise Gone from error
        finally:
            self._served.discard(endpoint_id)

    async def _serve(self, path: str, scope: Scope, send: Send) -> HTTPStatus:
        found = await asyncio.to_thread(find, self._folder, path)
        if found is None:
            raise problems.not_found()
        file, size = found
        asked = _asked(scope)
        if asked is None and file.name in _WHOLE and size <= MOST_MANIFEST_BYTES:
            return await answer(send, HTTPStatus.OK, await asyncio.to_thread(_read, file, 0, size), _KIND)
        if asked is None or asked[0] >= size:
            raise RefusalError(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                "range",
                f"{path}: {size} bytes long: ask for one part of it (Range: bytes=0-{_PIECE_BYTES - 1})",
                headers={"Content-Range": f"bytes */{size}"},
            )
        first, last = asked[0], min(asked[1], size - 1)
        part = await asyncio.to_thread(_read, file, first, min(last + 1 - first, _PIECE_BYTES))
        said = f"bytes {first}-{first + len(part) - 1}/{size}"
        return await answer(
            send, HTTPStatus.PARTIAL_CONTENT, part, _KIND, [(b"content-range", said.encode("ascii"))]
        )


def _asked(scope: Scope) -> tuple[int, int] | None:
    """The range of a request that asks for exactly one, from here to there."""
    values = [value for name, value in scope["headers"] if name == b"range"]
    match = _RANGE.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or int(match[2]) < int(match[1]):
        return None
    return int(match[1]), int(match[2])


def _read(file: Path, first: int, size: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(first)
        return opened.read(size)
