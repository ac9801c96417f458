"""What goes into the spool, what comes out of it, and what it remembers."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from agent.messages import Importance


class Piece(Struct, frozen=True):
    """One batch to come: its compressed body, weight, content per kind, and the digests of its documents."""

    body: bytes
    weight: int
    counts: dict[str, int]
    digests: dict[str, str | None] = {}


class Saved(Struct):
    """``cursors.json``. ``last_id`` is the newest spool file it includes, ``last_seq`` the last number given.

    ``endpoint_id`` is whose stream it is: a new identity begins a new stream and owes all documents again.
    """

    stream: str
    endpoint_id: str = ""
    last_id: int = 0
    last_seq: int = 0
    cursors: dict[str, dict[str, Any]] = {}
    digests: dict[str, str] = {}
    dropped: dict[str, int] = {}
    refused: int = 0


class Outgoing(Struct, frozen=True):
    """The next batch to send. It has the same number whenever it is offered."""

    id: int
    stream: str
    seq: int
    body: bytes
    importance: Importance = Importance.EVENTS


class Backlog(Struct, frozen=True):
    files: int
    bytes: int
