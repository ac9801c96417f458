"""What is damaged of an event store, as the store tells it (:mod:`collector.store.set_aside` finds out)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from collector.partitions import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable


class Damage(msgspec.Struct, frozen=True):
    """The damaged parts of one partition of a table.

    ``id`` is another one when a further part of it is damaged. ``partition``: of events the day (``20261122``), of
    metrics the month. ``rows``: how many the parts held; ``None`` where they do not say. ``restored``: how many were
    inserted again. ``looked_through``: the partitions of the log in which they were looked for.
    """

    id: str
    table: str
    partition: str
    parts: list[str]
    rows: int | None
    restored: int
    looked_through: list[int]

    @property
    def whole(self) -> bool:
        """Whether nothing is missing any more."""
        return self.rows is not None and self.restored >= self.rows

    @property
    def sought(self) -> bool:
        """Whether the log is still to be looked through for it."""
        return not self.whole and len(self.looked_through) < PARTITIONS


def damaged_parts(damages: Iterable[Damage]) -> int:
    """How many parts are set aside of which something is missing."""
    return sum(len(damage.parts) for damage in damages if not damage.whole)
