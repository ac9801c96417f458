"""Keeps a worker that was paused, and lost its lease meanwhile, from writing when it wakes.

Every lease of a partition has an epoch that only grows. The store remembers the highest it was shown of each partition,
on disk, and admits nothing that comes with a lower one (Kleppmann, “How to do distributed locking”, 2016: fencing
tokens).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from collector.store import schema
from collector.store.errors import FencedError, QueryError, StoreError
from collector.store.place import INSERT_MARK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.store.place import Place

#: In the message of an insert that a server refused because of the fence.
REFUSED: Final = "vonggac: taken over"
#: So long inserts that began before a partition was taken over may go on.
_SETTLE_SECONDS: Final = 60.0


class Fence:
    """Not thread-safe: whoever holds it calls it one at a time, together with the write that it admits.

    Where this process alone writes, what it remembers is all there is to know. On a server others write too: then the
    table is asked every time, the insert itself asks again (:func:`guard`), and who takes over waits for inserts that
    began before.
    """

    def __init__(self, client: Any, place: Place) -> None:
        self._client = client
        self._place = place
        self._highest: dict[int, int] = {}
        self._read()

    def admit(self, epochs: Mapping[int, int]) -> bool:
        """Let pass, and remember what is higher than before; whether anything was.

        Raises:
            FencedError: one of them is lower than one that was here.
        """
        if epochs and not self._place.embedded:
            self._read()
        for partition, epoch in epochs.items():
            highest = self._highest.get(partition, 0)
            if epoch < highest:
                raise FencedError(
                    f"partition {partition} was taken over with epoch {highest}; epoch {epoch} may not write to it"
                )
        raised = {number: epoch for number, epoch in epochs.items() if epoch > self._highest.get(number, 0)}
        if raised:
            values = ", ".join(f"({int(number)}, {int(epoch)})" for number, epoch in sorted(raised.items()))
            self._client.command(f"INSERT INTO fence (partition, epoch) VALUES {values}")
            self._highest.update(raised)
        return bool(raised)

    def settle(self) -> None:
        """Return when no insert that began before this call still runs anywhere.

        Raises:
            StoreError: one runs on for a minute.
        """
        if self._place.embedded:
            return
        processes = schema.everywhere(self._place, "system.processes")
        began = time.monotonic()
        while (waited := time.monotonic() - began) < _SETTLE_SECONDS:
            running = self._client.query(
                f"SELECT count() FROM {processes} WHERE Settings['log_comment'] = {{mark:String}}"
                " AND elapsed > {seconds:Float64}",
                parameters={"mark": INSERT_MARK, "seconds": waited},
            ).result_rows[0][0]
            if not int(running):
                return
            time.sleep(0.1)
        raise StoreError("an insert of before the partition was taken over still runs")

    def _read(self) -> None:
        rows = self._client.query("SELECT partition, max(epoch) FROM fence GROUP BY partition").result_rows
        self._highest.update({int(partition): int(epoch) for partition, epoch in rows})


def guard(epochs: Mapping[int, int]) -> str:
    """SQL that raises, with :data:`REFUSED`, where one of ``epochs`` is lower than one that was here."""
    if not epochs:
        return ""
    later = " OR ".join(
        f"partition = {int(number)} AND epoch > {int(epoch)}" for number, epoch in sorted(epochs.items())
    )
    return f"SELECT throwIf(count() > 0, '{REFUSED}') FROM fence WHERE {later}"


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
