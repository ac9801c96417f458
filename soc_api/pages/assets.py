"""Serves ``dashboards/static`` under ``/static``: content-hashed addresses, kept by browsers for a year.

The files are few and small, so each is read once, with its digest and gzip form, and kept in memory. A file changed
on disk (a new build) is read again.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastapi import Request  # noqa: TC002 - FastAPI reads the annotation
from starlette.responses import Response

from dashboards import STATIC

if TYPE_CHECKING:
    from pathlib import Path

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
}
_COMPRESSED: Final = frozenset({".css", ".js", ".svg", ".txt"})
_YEAR: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _Asset:
    modified: int
    body: bytes
    zipped: bytes | None
    digest: str
    media_type: str


class Assets:
    """The files of one folder, by their path in it. Threads may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        # By the file itself: a stranger has any number of names for each (``./``, ``vendor/../``).
        self._kept: dict[Path, _Asset] = {}
        self._lock = threading.Lock()

    def address(self, path: str) -> str:
        """``/static/<path>?v=<digest>``; without a digest where the file is not there (a build is missing)."""
        found = self._get(path)
        return f"/static/{path}" + (f"?v={found.digest}" if found else "")

    def response(self, path: str, request: Request) -> Response:
        found = self._get(path)
        if found is None:
            return Response("not found\n", 404, media_type="text/plain")
        current = request.query_params.get("v") == found.digest
        headers = {
            "Cache-Control": _YEAR if current else "no-cache",
            "ETag": f'"{found.digest}"',
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        if found.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(found.zipped, headers=headers, media_type=found.media_type)
        return Response(found.body, headers=headers, media_type=found.media_type)

    def _get(self, path: str) -> _Asset | None:
        try:
            file = (self._root / path).resolve()
            media_type = _TYPES.get(file.suffix)
            if media_type is None or not file.is_relative_to(self._root) or not file.is_file():
                return None
            modified = file.stat().st_mtime_ns
        except (OSError, ValueError):
            return None
        with self._lock:
            kept = self._kept.get(file)
        if kept is not None and kept.modified == modified:
            return kept
        body = file.read_bytes()
        zipped = gzip.compress(body, 9, mtime=0) if file.suffix in _COMPRESSED else None
        asset = _Asset(modified, body, zipped, hashlib.sha256(body).hexdigest()[:12], media_type)
        with self._lock:
            self._kept[file] = asset
        return asset


ASSETS: Final = Assets(STATIC)
