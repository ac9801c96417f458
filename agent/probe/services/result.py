"""What one check found, and how it fails."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

State = Literal["up", "degraded", "down", "unknown"]


class Result(Struct, frozen=True):
    """``degraded``: it works, but with a fault that its users meet. ``findings``: codes of what should be mended.
    ``tls``, ``content``: as documents carry them, empty where there is none."""

    state: State
    seconds: float
    reason: str = ""
    findings: tuple[str, ...] = ()
    status_code: int = 0
    tls: dict[str, Any] = {}
    page: bytes = b""
    charset: str = ""
    address: str = ""


class CheckError(Exception):
    """The service does not do what it should; ``str()`` is a sentence of :mod:`agent.reasons`. ``state``: what that
    means for it."""

    def __init__(self, reason: str, state: State = "down") -> None:
        super().__init__(reason)
        self.state: State = state
