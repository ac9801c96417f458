"""Asks a server on this machine whether it is ready."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SECONDS = 2.0
#: Addresses that mean "all of this machine", and where to ask then.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - recognised, not bound


def https_probe(host: str, port: int, authority: Path) -> Callable[[], bool]:
    """A function that says whether ``GET https://host:port/healthz`` answers 200 now. It never raises."""
    host = _ANY.get(host, host)
    url = f"https://[{host}]:{port}/healthz" if ":" in host else f"https://{host}:{port}/healthz"
    context = cache(lambda: _trusting(authority))

    def probe() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=_SECONDS, context=context()) as reply:  # noqa: S310 - https, ours
                return bool(reply.status == 200)
        except (OSError, urllib.error.URLError, ValueError):
            return False

    return probe


def _trusting(authority: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    # The name is not the point here: the address is this machine's own, and may be one that the certificate
    # does not carry.
    context.check_hostname = False
    return context
