"""Which files lie in the spool, by weight and age: kept in memory, so that no folder is listed for a batch."""

from __future__ import annotations

from array import array
from bisect import bisect
from typing import TYPE_CHECKING

from agent.runtime.models import Backlog
from agent.runtime.spool_file import IMPORTANCE, WEIGHTS, FileName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.messages import Importance


class _Line:
    """The files of one weight, oldest first; arrays, because a long outage makes tens of thousands."""

    def __init__(self) -> None:
        self.ids = array("Q")
        self.sizes = array("Q")


class SpoolIndex:
    """By weight, in the order of the files' ids. Numbers in the stream are those that were given."""

    def __init__(self) -> None:
        self._lines = [_Line() for _ in WEIGHTS]
        self._numbers: dict[int, int] = {}
        self.bytes = 0

    def enter(self, name: FileName, size: int) -> None:
        if name.seq:
            self._numbers[name.id] = name.seq
        line = self._lines[name.weight]
        at = bisect(line.ids, name.id)
        line.ids.insert(at, name.id)
        line.sizes.insert(at, size)
        self.bytes += size

    def leave(self, name: FileName) -> None:
        line = self._lines[name.weight]
        at = line.ids.index(name.id)
        del line.ids[at]
        self.bytes -= line.sizes.pop(at)
        self._numbers.pop(name.id, None)

    def number(self, file_id: int, seq: int) -> None:
        """The file's batch has that number in the stream from now on."""
        self._numbers[file_id] = seq

    def numbered(self) -> list[FileName]:
        """The files that have a number."""
        return [
            FileName(file_id, weight, self._numbers[file_id])
            for weight, line in enumerate(self._lines)
            for file_id in line.ids
            if file_id in self._numbers
        ]

    def without_numbers(self) -> None:
        self._numbers = {}

    def resize(self, name: FileName, size: int) -> None:
        """The file has another size now."""
        line = self._lines[name.weight]
        at = line.ids.index(name.id)
        self.bytes += size - line.sizes[at]
        line.sizes[at] = size

    def first(self, least: Importance) -> FileName | None:
        """The oldest of the most important, ``None`` where none is at least as important as ``least``."""
        heads = [
            (-IMPORTANCE[weight], line.ids[0], weight)
            for weight, line in enumerate(self._lines)
            if line.ids and IMPORTANCE[weight] >= least
        ]
        if not heads:
            return None
        _, file_id, weight = min(heads)
        return FileName(file_id, weight, self._numbers.get(file_id, 0))

    def waiting(self, weight: int) -> Iterator[tuple[FileName, int]]:
        """The files of one weight that have no number, oldest first, with their sizes."""
        line = self._lines[weight]
        for file_id, size in zip(line.ids, line.sizes, strict=True):
            if file_id not in self._numbers:
                yield FileName(file_id, weight), size

    def backlog(self) -> Backlog:
        return Backlog(files=sum(len(line.ids) for line in self._lines), bytes=self.bytes)
