"""Keeps a worker that was paused, and lost its lease meanwhile, from writing when it wakes.

Every lease of a partition has an epoch that only grows. The store remembers the highest it was shown of each partition,
on disk, and admits nothing that comes with a lower one (Kleppmann, “How to do distributed locking”, 2016: fencing
tokens).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.store.errors import FencedError, QueryError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Fence:
    """Not thread-safe: whoever holds it calls it one at a time, together with the write that it admits."""

    def __init__(self, client: Any) -> None:
        self._client = client
        rows = client.query("SELECT partition, max(epoch) FROM fence GROUP BY partition").result_rows
        self._highest = {int(partition): int(epoch) for partition, epoch in rows}

    def admit(self, epochs: Mapping[int, int]) -> None:
        """Let pass, and remember what is higher than before.

        Raises:
            FencedError: one of them is lower than one that was here.
        """
        for partition, epoch in epochs.items():
            highest = self._highest.get(partition, 0)
            if epoch < highest:
                raise FencedError(
                    f"partition {partition} was taken over with epoch {highest}; epoch {epoch} may not write to it"
                )
        raised = {number: epoch for number, epoch in epochs.items() if epoch > self._highest.get(number, 0)}
        if raised:
            values = ", ".join(f"({int(number)}, {int(epoch)})" for number, epoch in sorted(raised.items()))
            self._client.command(f"INSERT INTO fence (partition, epoch) VALUES {values}")  # noqa: S608 - ints
            self._highest.update(raised)


def write_epochs(epochs: Mapping[int, int]) -> str:
    """As they travel to the owner: ``7:3,8:12``."""
    return ",".join(f"{number}:{epoch}" for number, epoch in sorted(epochs.items()))


def read_epochs(text: str) -> dict[int, int]:
    """What :func:`write_epochs` wrote.

    Raises:
        QueryError: something else.
    """
    pairs = (pair.split(":", 1) for pair in text.split(",") if pair)
    try:
        return {int(number): int(epoch) for number, epoch in pairs}
    except ValueError:
        raise QueryError(f"not epochs of partitions: {text[:80]!r}") from None
