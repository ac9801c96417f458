"""Blocks of events matched in this process or in several, always told in the order of the files.

Each process reads the files by itself and takes every so-manieth block; what fired goes back through a pipe of its own.
Nothing is shared and nothing waits for a lock: a process that is ahead waits for its pipe to be read.
"""

from __future__ import annotations

import multiprocessing
import signal
from typing import TYPE_CHECKING, NamedTuple, Self

from rules.engine.blocks import BlockMatcher, BlockResult
from rules.engine.errors import RuleError
from rules.engine.reading import read_blocks

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from rules.engine.engine import Engine
    from rules.logsources import Reader


class _End(NamedTuple):
    """No more blocks of this file from this process. ``problem``: why not, where it is not the file's end."""

    problem: str = ""
    path: str = ""


def block_results(engine: Engine, reader: Reader, files: Sequence[Path], jobs: int) -> Generator[BlockResult]:
    """What each block fired, file by file and in order. Close it to end the processes early.

    Raise :class:`RuleError` where a file cannot be read.
    """
    matching = BlockMatcher(engine, reader)
    if jobs > 1:
        with _Processes(matching, files, jobs) as processes:
            for number, path in enumerate(files):
                yield from _numbered(processes.blocks(number, path))
    else:
        for path in files:
            blocks = (matching.run(path, block) for block in read_blocks(path) if block is not None)
            yield from _numbered(blocks)


def _numbered(blocks: Iterable[BlockResult]) -> Iterator[BlockResult]:
    first = 0
    for block in blocks:
        block.first = first
        first += block.events
        yield block


class _Processes:
    """Forked from this one, so that each has the compiled rules without any work."""

    def __init__(self, matching: BlockMatcher, files: Sequence[Path], jobs: int) -> None:
        self._matching = matching
        self._files = files
        self._jobs = jobs
        self._whole = len(files) >= 2 * jobs
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("fork")
        for worker in range(self._jobs):
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=self._work, args=(worker, there, here), daemon=True)
            process.start()
            there.close()
            self._processes.append(process)
            self._pipes.append(here)
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()
            process.close()

    def blocks(self, number: int, path: Path) -> Iterator[BlockResult]:
        """The results of the file's blocks, in order, as they come from whoever has them."""
        worker = number % self._jobs
        while not isinstance(found := self._receive(worker, path), _End):
            found.path = path
            yield found
            if not self._is_whole(path):
                worker = (worker + 1) % self._jobs
        for other in range(self._jobs):
            if other != worker:
                self._receive(other, path)

    def _receive(self, worker: int, path: Path) -> BlockResult | _End:
        try:
            found: BlockResult | _End = self._pipes[worker].recv()
        except (EOFError, OSError):  # before a result, or in the middle of one
            raise RuleError("a process that matched events has ended", str(path)) from None
        if isinstance(found, _End) and found.problem:
            raise RuleError(found.problem, found.path)
        return found

    def _is_whole(self, path: Path) -> bool:
        """Whether one process takes the whole file: where there are enough files, or it cannot be read in parts."""
        return self._whole or path.name.lower().endswith(".evtx")

    def _work(self, worker: int, pipe: Connection, other_end: Connection) -> None:
        # Forked too. A pipe breaks when nobody has its other end: so a process ends whose parent was killed.
        for inherited in (*self._pipes, other_end):
            inherited.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that forked us says when to end
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            for number, path in enumerate(self._files):
                pipe.send(self._work_on(worker, number, path, pipe))
        except BrokenPipeError:
            pass

    def _work_on(self, worker: int, number: int, path: Path, pipe: Connection) -> _End:
        whole = self._is_whole(path)
        mine = (worker - number) % self._jobs
        if whole and mine:
            return _End()
        try:
            for block in read_blocks(path, lambda at: whole or at % self._jobs == mine):
                if block is not None:
                    pipe.send(self._matching.run(path, block))
        except RuleError as problem:
            return _End(problem.reason, problem.path)
        return _End()
