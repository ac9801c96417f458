"""What the collector wants of this endpoint: settings and releases, each followed by somebody of its own.

Runs in the sender's thread and over its connection, one small piece a step, so that batches never wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import agent
from agent.collectors.registry import Output
from agent.messages import StatusDocument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.messages import Wanted
    from agent.runtime.sender import Requester

#: The kind of the document in which an agent tells of itself, and whose it is in the outbox.
AGENT: Final = "agent"
NEVER: Final = float("inf")


class Follower(Protocol):
    """``name``: under which the agent's document tells how it stands. ``heavy``: it fetches so much that it waits where
    the link is paid by what passes."""

    name: str
    heavy: bool

    def step(self, wanted: Wanted, connection: Requester) -> float:
        """Do one small piece of what is wanted; return in how many seconds to be called again, unless something else is
        wanted before. Called only while the collector answers. Raises nothing but ``TransportError``."""

    def tell(self) -> dict[str, Any]:
        """How it stands; changes only where that is news."""


class Steering:
    """One thread only."""

    def __init__(self, followers: Sequence[Follower]) -> None:
        self._followers = followers
        self._due: dict[str, float] = {}
        self._wanted: Wanted | None = None
        self._told: dict[str, Any] = {}

    def step(
        self, wanted: Wanted | None, connection: Requester, now: float, *, sparing: bool = False
    ) -> float:
        """Let those follow that are due; return when to be called again, on the monotonic clock that ``now`` is of.
        ``sparing``: the heavy ones wait.

        Raises:
            TransportError: the collector does not answer.
        """
        if wanted is None:
            return NEVER
        if wanted != self._wanted:
            self._wanted = wanted
            self._due.clear()
        for each in self._followers:
            if sparing and each.heavy:
                self._due.pop(each.name, None)
            elif self._due.get(each.name, now) <= now:
                self._due[each.name] = now + each.step(wanted, connection)
        return min(self._due.values(), default=NEVER)

    def news(self, now: float) -> Output | None:
        """The agent's own document (its version, and how its followers stand), where it is not what was told last."""
        body: dict[str, Any] = {"version": agent.__version__}
        for each in self._followers:
            body[each.name] = each.tell()
        if body == self._told:
            return None
        self._told = body
        return Output(documents=[StatusDocument(kind=AGENT, observed_at=now, body=body)])
