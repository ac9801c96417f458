"""What a durable log is, whatever keeps it: what is taken in, in order, until the workers are done with it.

A row is one batch or heartbeat of one endpoint. Offsets rise strictly and are never used again. Rows are divided
by their endpoint into partitions (:mod:`collector.partitions`); a reader has a *position* in each partition that
it reads: the offset of the last row of that partition that it is done with. One suite of tests runs against all
implementations (``tests/collector/log/test_contract.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from collector.partitions import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class LogRow:
    """``kind`` is ``batch`` or ``heartbeat``; ``body`` is the Zstandard frame as it came (empty for a
    heartbeat).

    ``sent_at`` (agent's clock) and ``received_at`` (collector's) are seconds since the epoch. ``offset``
    is 0 until the row is in the log.
    """

    offset: int
    kind: str
    endpoint_id: str
    stream: str
    seq: int
    sent_at: float
    received_at: float
    body: bytes

    @property
    def partition(self) -> int:
        return partition_of(self.endpoint_id)


@dataclass(slots=True)
class WriterStatistics:
    """Counters since the writer was opened, for metrics. ``commit_seconds`` is the newest commit's
    duration.
    """

    commits: int = 0
    rows: int = 0
    repeats: int = 0
    commit_seconds: float = 0.0
    commit_seconds_total: float = 0.0
    waiting_bytes: int = 0
    last_offset: int = 0


class LogWriter(Protocol):
    """Adds rows. Usable from any event loop and thread."""

    statistics: WriterStatistics

    async def append(self, row: LogRow) -> int:
        """Return the row's offset once it is durable. A repeated batch (endpoint, stream, number), as long as
        the log remembers it, is not stored again: its first offset is returned, or 0 where that is not known.

        Cancelling gives up the wait, not the row.

        Raises:
            LogFull: no room.
            LogBusy: too many bytes wait already.
            LogError: the log does not answer, failed or is closed. The row may have become durable all the same.
        """
        ...

    def alive(self) -> bool:
        """Whether rows can be written now, as far as is known without trying."""
        ...

    def close(self) -> None:
        """Write what waits; idempotent."""
        ...


class LogReader(Protocol):
    """Reads and trims, from any process. Not for several threads at once.

    Raises (all calls): LogError, try again later; LogDamagedError, a person must act.
    """

    def read(self, positions: Mapping[int, int], limit: int) -> list[LogRow]:
        """Rows behind the positions of these partitions, ordered by offset: at most ``limit``, fewer where their
        bodies are large, and an empty list only where nothing is there or nothing has arrived yet.

        Of each partition the rows are without a gap: none lies between its position and the last one returned
        that is not returned too. So any first part of the rows may be worked on, and :func:`moved` says
        where that leads.
        """
        ...

    def changed(self) -> bool:
        """Whether there may be new rows since the last call (true on the first). Cheap."""
        ...

    def last_offset(self) -> int:
        """The highest offset ever given, 0 in an empty log; trimming does not lower it."""
        ...

    def waiting(self, positions: Mapping[int, int]) -> int:
        """How many rows are behind these positions."""
        ...

    def first_waiting(self, positions: Mapping[int, int]) -> int | None:
        """The lowest offset of a row behind these positions; None where none waits. Every row that was durable
        before the call counts."""
        ...

    def trim(self, positions: Mapping[int, int], received_before: float) -> int:
        """Remove the rows before the first one that waits behind ``positions`` (of all partitions), as far as
        they were received before that time; return how many. May be interrupted at any point."""
        ...

    def close(self) -> None: ...


def moved(positions: Mapping[int, int], rows: Iterable[LogRow]) -> dict[int, int]:
    """The positions after these rows, which a :meth:`LogReader.read` returned first, were worked on."""
    after = dict(positions)
    for row in rows:
        after[row.partition] = row.offset
    return after
