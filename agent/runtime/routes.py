"""The ways to the collector: its addresses, the preferred one first, each through the proxy where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.runtime.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.runtime.sender import Requester
    from agent.runtime.transport import Reply

#: On another than the preferred way, that one is tried again after about this.
_PREFERRED_AGAIN_SECONDS: Final = 900.0


class Routes:
    """Stays with a way until it fails, then goes on to the next at once; so a request may arrive twice, as every
    request of the protocol may. All must lead to the same installation. One thread only.

    ``ways``: by the address that people know it by, in order of preference, at least one.
    """

    def __init__(
        self, ways: Mapping[str, Requester], *, monotonic: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._urls: Sequence[str] = list(ways)
        self._ways: Sequence[Requester] = list(ways.values())
        self._monotonic = monotonic
        self._random = random
        self._current = 0
        self._back_at = 0.0

    @property
    def url(self) -> str:
        """Of the way in use."""
        return self._urls[self._current]

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        """As :meth:`agent.runtime.transport.Connection.request`, on the first way that gives an answer.

        Raises:
            TransportError: none does; why the preferred one of those tried does not.
        """
        if self._current and self._monotonic() >= self._back_at:
            self._use(0)
        failures: list[TransportError] = []
        for _ in self._ways:
            try:
                return self._ways[self._current].request(method, path, headers, body)
            except TransportError as error:
                if error.code == "rejected":  # it is there, and says the same whichever way one comes
                    raise
                failures.append(error)
                self._use((self._current + 1) % len(self._ways))
        raise failures[0]

    def close(self) -> None:
        for each in self._ways:
            each.close()

    def _use(self, number: int) -> None:
        self._ways[self._current].close()
        self._current = number
        self._back_at = self._monotonic() + _PREFERRED_AGAIN_SECONDS * (0.75 + 0.5 * self._random())
