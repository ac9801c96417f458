"""Who may come in now, and when the others are to come again.

Three things hold an agent back, all with a Retry-After that it keeps to (RFC 9110, 10.2.3), none for good:

- **its quota** (:mod:`collector.ingest.quota`), whatever the others do: 429;
- **the crowd**: after an outage all agents return at once. So many a second are let in, the others are given a time of
  their own each (503), and who comes at his time is let in whatever goes on: nobody is sent away twice;
- **no room** (:mod:`collector.ingest.pressure`): the less important what comes, the sooner it must wait (503).

What is held back stays in the agent's spool, which is on its disk. For one event loop; nothing blocks.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from agent.messages import Importance
from collector.ingest import problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.ingest.pressure import Shares

#: Who was heard of within this is not returning; agents speak at least every two minutes.
AWAY_SECONDS: Final = 180.0
#: So many seconds' worth of returning agents are let in at once.
_BURST_SECONDS: Final = 2.0
#: An agent may be this early at its time: its wait is in whole seconds, its clock its own.
_EARLY_SECONDS: Final = 1.0
#: A time that was not used for so long is void.
_VOID_SECONDS: Final = 600.0
#: No agent is told to wait longer, however many return.
_LONGEST_WAIT_SECONDS: Final = 1800.0
#: Where room is short: how long to wait, and from which share on.
_NO_ROOM_SECONDS: Final = 30.0
_LIMITS: Final = {Importance.CHATTER: 0.5, Importance.EVENTS: 0.8, Importance.STATUS: 1.0}
_REMEMBERED: Final = 200_000


class _Visitor:
    """``heard``: when it was last let in; ``slot``: its time to come, 0 for none."""

    __slots__ = ("heard", "slot")

    def __init__(self) -> None:
        self.heard = -math.inf
        self.slot = 0.0


class Admission:
    """``clock`` is monotonic, in seconds; ``held_back(reason, importance)`` is told of everyone sent away."""

    def __init__(
        self,
        clock: Callable[[], float],
        shares: Callable[[], Shares],
        *,
        returns_per_second: float,
        held_back: Callable[[str, Importance], None] = lambda _reason, _importance: None,
        remembered: int = _REMEMBERED,
    ) -> None:
        self._clock = clock
        self._shares = shares
        self._gap = 1.0 / returns_per_second
        self._held_back = held_back
        self._remembered = remembered
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()
        self._next_free = -math.inf
        self._spread = 0.0

    def enter(self, endpoint_id: str, importance: Importance) -> None:
        """Return where the request may come in.

        Raises:
            RefusalError: 503 with a Retry-After; it says where batches of more importance are taken all the same.
        """
        now = self._clock()
        visitor = self._visitor(endpoint_id)
        expected = self._is_expected(visitor, now)
        if not expected and now - visitor.heard > AWAY_SECONDS:
            wait = self._wait_for_turn(visitor, now)
            if wait > 0:
                self._held_back("returning", importance)
                raise problems.busy("returning", "many agents return at once: this is your turn", wait)
        self._demand_room(importance, expected=expected)
        visitor.heard = now
        visitor.slot = 0.0

    def _visitor(self, endpoint_id: str) -> _Visitor:
        visitor = self._visitors.get(endpoint_id)
        if visitor is None:
            visitor = self._visitors[endpoint_id] = _Visitor()
            if len(self._visitors) > self._remembered:
                self._visitors.popitem(last=False)
        else:
            self._visitors.move_to_end(endpoint_id)
        return visitor

    def _is_expected(self, visitor: _Visitor, now: float) -> bool:
        return bool(visitor.slot) and -_EARLY_SECONDS <= now - visitor.slot <= _VOID_SECONDS

    def _wait_for_turn(self, visitor: _Visitor, now: float) -> int:
        """0 where there is room among those who return; else the seconds to the visitor's own time."""
        if visitor.slot > now:  # came too early: its time stays
            return math.ceil(visitor.slot - now)
        if self._next_free - now <= _BURST_SECONDS:
            self._next_free = max(self._next_free, now) + self._gap
            return 0
        visitor.slot = min(self._next_free, now + _LONGEST_WAIT_SECONDS)
        self._next_free += self._gap
        return math.ceil(visitor.slot - now)

    def _demand_room(self, importance: Importance, *, expected: bool) -> None:
        """A batch whose time has come is not sent away for memory that others wait for too: there are few at a time."""
        shares = self._shares()
        limit = _LIMITS[importance]
        memory = 0.0 if expected else shares.memory
        share, reason = max((memory, "memory"), (shares.disk, "disk"), (shares.lag, "lag"))
        if share < limit:
            return
        self._held_back(reason, importance)
        takes = next((each for each in Importance if share < _LIMITS[each]), None)
        # Spread over as long again, so that those who were sent away do not come back together.
        self._spread = (self._spread + self._gap) % _NO_ROOM_SECONDS
        words = {
            "memory": "too many batches are on their way in at once",
            "disk": "little room is left on the collector's disk",
            "lag": "the collector is far behind in its work",
        }[reason]
        raise problems.busy(reason, words, math.ceil(_NO_ROOM_SECONDS + self._spread), takes=takes)
