"""Run rules over event files: the offline scanner behind ``vonggac sigma scan``."""

from __future__ import annotations

import gzip
import io
import json
import resource
import time
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import zstandard

from rules.engine.engine import Engine
from rules.engine.errors import RuleError
from rules.engine.windows import WindowsEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".evtx")
#: A line longer than this is no event; it counts as unreadable.
MAX_LINE_BYTES: Final = 64 << 20


class Match(NamedTuple):
    """``event``: 0-based index in the file; ``rule``: the rule's id."""

    file: str
    event: int
    rule: str


@dataclass(slots=True)
class Stats:
    """``seconds`` leaves out compiling. ``unreadable``: lines or records that are no JSON object."""

    events: int = 0
    seconds: float = 0.0
    events_per_second: float = 0.0
    rules_loaded: int = 0
    rules_unsupported: list[dict[str, str]] = field(default_factory=list)
    compile_seconds: float = 0.0
    peak_rss_mb: float = 0.0
    matches: int = 0
    unreadable: int = 0
    evicted: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def scan(
    rules: Iterable[Path],
    files: Iterable[Path],
    report: Callable[[Match], None],
    progress: Callable[[Path, int], None] = lambda _path, _events: None,
) -> Stats:
    """Match every event of ``files`` and report each (event, rule) pair once, in order.

    Events are Windows events (:mod:`rules.engine.windows`); any other event fires nothing. Correlations run over all
    files in the order given. ``progress`` is told the events read so far, every thousand. Raise :class:`RuleError`
    where a file cannot be read as what its name says.
    """
    stats = Stats()
    started = time.perf_counter()
    engine = Engine(rules, lateness_seconds=None, state_limit=1_000_000, group_limit=100_000)
    windows = WindowsEvents()
    stats.compile_seconds = time.perf_counter() - started
    started = time.perf_counter()
    for path in files:
        for at, record in enumerate(read_events(path)):
            stats.events += 1
            if stats.events % 1000 == 0:
                progress(path, stats.events)
            if record is None:
                stats.unreadable += 1
                continue
            event = windows.read(record, f"{path.name}:{at}")
            if event is None:
                continue
            fired = dict.fromkeys(finding.rule_id for finding in engine.process(*event))
            stats.matches += len(fired)
            for rule in fired:
                report(Match(path.name, at, rule))
        progress(path, stats.events)
    stats.seconds = time.perf_counter() - started
    stats.events_per_second = stats.events / stats.seconds if stats.seconds else 0.0
    stats.rules_loaded = engine.rules_loaded
    stats.rules_unsupported = [{"id": each.id, "reason": str(each.reason)} for each in engine.unsupported]
    stats.evicted = engine.evicted
    stats.peak_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return stats


def read_events(path: Path) -> Iterator[Any]:
    """The events of a file in order; ``None`` stands for a line or record that is no JSON.

    Blank lines are no events. Raise :class:`RuleError` for an unknown kind of file or one that is cut or broken.
    """
    name = path.name.lower()
    try:
        if name.endswith(".evtx"):
            yield from _evtx(path)
        elif name.endswith(".jsonl"):
            with path.open("rb") as stream:
                yield from _lines(stream)
        elif name.endswith(".jsonl.gz"):
            with gzip.open(path) as unpacked:
                yield from _lines(unpacked)
        elif name.endswith(".jsonl.zst"):
            with (
                path.open("rb") as packed,
                zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader,
            ):
                yield from _lines(io.BufferedReader(reader, 1 << 20))
        else:
            raise RuleError(f"events are read from {', '.join(_SUFFIXES)} files", str(path))
    except (OSError, EOFError, zstandard.ZstdError) as problem:
        raise RuleError(f"cannot be read: {problem}", str(path)) from problem


def _lines(stream: IO[bytes] | gzip.GzipFile) -> Iterator[Any]:
    decode = msgspec.json.Decoder().decode
    while line := stream.readline(MAX_LINE_BYTES):
        if line.isspace():
            continue
        yield _decoded(line, decode)


def _decoded(line: bytes, decode: Callable[[bytes], Any]) -> Any:
    try:
        return decode(line)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:  # msgspec refuses lone surrogates and the like, which the standard library reads
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _evtx(path: Path) -> Iterator[Any]:
    from evtx import PyEvtxParser

    try:
        records = PyEvtxParser(str(path)).records_json()
    except RuntimeError as problem:
        raise RuleError(f"no EVTX file: {problem}", str(path)) from problem
    decode = msgspec.json.Decoder().decode
    while True:
        try:
            record = next(records)
        except StopIteration:
            return
        except RuntimeError:  # one broken record; the parser goes on behind it
            yield None
            continue
        yield None if record is None else _decoded(str(record["data"]).encode(), decode)
