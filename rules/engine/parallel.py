"""Blocks of events matched in this process or in several, always told in the order of the files.

Each process reads the files by itself and takes every so-manieth block; what fired goes back through a pipe of its own.
Nothing is shared and nothing waits for a lock: a process that is ahead waits for its pipe to be read.
"""

from __future__ import annotations

import multiprocessing
import signal
from bisect import bisect_right
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import msgspec

from rules.engine.engine import Matched
from rules.engine.errors import RuleError
from rules.engine.reading import decoded, json_decoder, read_blocks

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from rules.engine.engine import Engine, Match
    from rules.engine.keywords import Sieve
    from rules.engine.matcher import Offer
    from rules.engine.reading import Block
    from rules.engine.routing import Sources
    from rules.logsources import Reader


#: Kinds of events and names of fields come from outside: more are not kept.
_KINDS_LIMIT: Final = 4_096
_NAMES_LIMIT: Final = 8_192


class Fired(NamedTuple):
    """An event that fired. ``place``: in its block. ``fields``: empty where no correlation asks for them."""

    place: int
    matched: tuple[Matched, ...]
    fields: Mapping[str, Any]
    time: object


@dataclass(slots=True)
class BlockResult:
    """``first``: the index in the file of the block's first event. ``guard``: what was counted since the last block."""

    path: Path
    first: int = 0
    events: int = 0
    unreadable: int = 0
    fired: list[Fired] = field(default_factory=list)
    guard: dict[str, int] = field(default_factory=dict)


class _End(NamedTuple):
    """No more blocks of this file from this process. ``problem``: why not, where it is not the file's end."""

    problem: str = ""
    path: str = ""


def block_results(engine: Engine, reader: Reader, files: Sequence[Path], jobs: int) -> Generator[BlockResult]:
    """What each block fired, file by file and in order. Close it to end the processes early.

    Raise :class:`RuleError` where a file cannot be read.
    """
    matching = _Matching(engine, reader)
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


class _Kind(NamedTuple):
    """Windows events of one channel and event id. ``others``: fields that their log sources hang on besides; how they
    are matched, and what keywords may be sieved with, by the values of those."""

    others: tuple[str, ...]
    ways: dict[tuple[str | None, ...], tuple[Match, Sieve | None]]


class _Matching:
    """Matches the events of a block.

    Flat Windows events take a short way: their kind is known by channel and event id, if all their names are known to
    be plain (without a space, and none that begins another form). All others, and the first of each kind, take the
    reader's way.
    """

    def __init__(self, engine: Engine, reader: Reader) -> None:
        self._engine = engine
        self._reader = reader
        self._told = dict.fromkeys(asdict(engine.guard), 0)
        self._kinds: dict[tuple[Any, Any], _Kind] = {}
        self._known = 0
        self._plain: set[str] = set()
        #: How many ways have each sieve; that of most is asked once for a whole block.
        self._sieves: Counter[Sieve] = Counter()
        self._sieve: Sieve | None = None

    def run(self, path: Path, block: Block) -> BlockResult:
        result = BlockResult(path, events=len(block.texts))
        kinds, all_plain, decode = self._kinds, self._plain.issuperset, json_decoder.decode
        block_sieve, suspects = self._sieved(block)
        for place, text in enumerate(block.texts):
            try:
                record = decode(text)
            except (msgspec.MsgspecError, RecursionError):
                record = decoded(text)
            try:
                number = record["EventID"]
                others, ways = kinds[record["Channel"], number]
                match, sieve = ways[tuple(map(record.get, others)) if others else ()]
            except (KeyError, TypeError, IndexError):
                self._run_slowly(result, place, record, text)
                continue
            # True and False are one key with 1 and 0, but not one event id.
            if not all_plain(record) or number is True or number is False:
                self._run_slowly(result, place, record, text)
                continue
            if "SourceName" in record and "Provider_Name" not in record:
                record["Provider_Name"] = record["SourceName"]
            if sieve is not None and sieve is block_sieve and place not in suspects:
                offers = match(record, no_keywords=True)
            else:
                offers = match(record, text)
            if offers:
                result.fired.append(self._fired(place, offers, record, record.get("@timestamp")))
        result.guard = self._news()
        return result

    def _sieved(self, block: Block) -> tuple[Sieve | None, Collection[int]]:
        """The sieve that the whole block went through, and the places of the events that it let through."""
        if self._sieve is None or not block.even:
            return None, ()
        suspects: set[int] = set()
        if not block.text.isascii():
            suspects.update(place for place, text in enumerate(block.texts) if not text.isascii())
        if found := self._sieve.places(block.text.lower()):
            ends = list(accumulate(len(text) + 1 for text in block.texts))
            suspects.update(bisect_right(ends, place) for place in found)
        return self._sieve, suspects

    def _run_slowly(self, result: BlockResult, place: int, record: Any, text: bytes) -> None:
        if record is None:
            result.unreadable += 1
            return
        found = self._reader.read(record)
        if found is None:
            return
        if found.fields is record and "Event" not in record:
            self._learn(record, found.sources)
        raw = text if self._reader.raw_holds_values else b""
        offers = self._engine.match(found.fields, found.sources, raw)
        if offers:
            result.fired.append(self._fired(place, offers, found.fields, found.time))

    def _learn(self, record: dict[str, Any], sources: Sources) -> None:
        """Let the next event like this one take the short way."""
        windows = self._reader.windows
        key = record.get("Channel"), record.get("EventID")
        others = None if windows is None else windows.open_fields(*key)
        if others is None or any("." in name for name in others):
            return
        values = tuple(map(record.get, others))
        if not all(value is None or type(value) is str for value in values):
            return
        if self._known >= _KINDS_LIMIT or len(self._plain) >= _NAMES_LIMIT:
            self._kinds.clear()
            self._plain.clear()
            self._sieves.clear()
            self._known = 0
        match, sieve = self._engine.match_of(sources, record, ("Channel", "EventID"))
        self._kinds.setdefault(key, _Kind(others, {})).ways[values] = match, sieve
        self._known += 1
        self._plain.update(name for name in record if " " not in name)
        if sieve is not None:
            self._sieves[sieve] += 1
            self._sieve = max(self._sieves, key=self._sieves.__getitem__)

    def _fired(self, place: int, offers: tuple[Offer, ...], fields: dict[str, Any], time: object) -> Fired:
        matched = tuple(Matched(offer.key, offer.renames) for offer in offers)
        wanted = self._engine.correlates(each.key for each in matched)
        return Fired(place, matched, fields if wanted else {}, time)

    def _news(self) -> dict[str, int]:
        now = asdict(self._engine.guard)
        news = {name: count - self._told[name] for name, count in now.items()}
        self._told = now
        return news


class _Processes:
    """Forked from this one, so that each has the compiled rules without any work."""

    def __init__(self, matching: _Matching, files: Sequence[Path], jobs: int) -> None:
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
