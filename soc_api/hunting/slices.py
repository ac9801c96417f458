"""Time cut into pieces that one query can manage: wider while queries are quick, narrower where one was too much."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from collector.store.errors import QueryError
from soc_api.hunting.queries import Slice

if TYPE_CHECKING:
    from datetime import datetime

_FIRST: Final = timedelta(days=1)
_NARROWEST: Final = timedelta(seconds=1)
_QUICK_SECONDS: Final = 1.0


class Slices(Iterator[Slice]):
    """From the newest to the oldest, or ``forwards``. After each, :meth:`done` or :meth:`too_wide`."""

    def __init__(self, since: datetime, until: datetime, *, forwards: bool) -> None:
        self._since = since
        self._until = until
        self._forwards = forwards
        self._width = _FIRST
        self._at = since if forwards else until
        self._began = monotonic()

    def __next__(self) -> Slice:
        if self._at >= self._until if self._forwards else self._at <= self._since:
            raise StopIteration
        self._began = monotonic()
        if self._forwards:
            return Slice(self._at, min(self._until, self._at + self._width))
        return Slice(max(self._since, self._at - self._width), self._at)

    def done(self, part: Slice) -> None:
        self._at = part.until if self._forwards else part.since
        if monotonic() - self._began < _QUICK_SECONDS:
            self._width *= 2

    def too_wide(self, part: Slice) -> None:
        """The same again, narrower.

        Raises:
            QueryError: it cannot be any narrower.
        """
        self._width = (part.until - part.since) / 4
        if self._width < _NARROWEST:
            raise QueryError("more happened within a second than the event store can look through")

    @property
    def covered(self) -> Slice:
        """What has been looked at."""
        return Slice(self._since, self._at) if self._forwards else Slice(self._at, self._until)

    @property
    def share(self) -> float:
        """How much of the whole that is, from 0 to 1."""
        whole = self._until - self._since
        return (self.covered.until - self.covered.since) / whole if whole else 1.0
