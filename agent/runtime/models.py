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


class Mark(Struct, frozen=True):
    """When the agent had run for ``lived`` seconds in all, ``last_id`` was the newest spool file."""

    lived: float
    last_id: int


class Saved(Struct):
    """``cursors.json``. ``last_id`` is the newest spool file it includes, ``last_seq`` the last number given.

    ``endpoint_id`` is whose stream it is: a new identity begins a new stream and owes all documents again. ``lived`` is
    for how many seconds the agent has run, ever; ``marks`` tell by it how old the files are, oldest first.
    """

    stream: str
    endpoint_id: str = ""
    last_id: int = 0
    last_seq: int = 0
    cursors: dict[str, dict[str, Any]] = {}
    digests: dict[str, str] = {}
    dropped: dict[str, int] = {}
    refused: int = 0
    lived: float = 0.0
    marks: list[Mark] = []


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
