"""Run rules over event files: the offline scanner behind ``vonggac sigma scan``.

Which rules an event fires is worked out for each event by itself, so blocks of events are spread over processes;
correlations are worked out in one place, for all events in their order. So the result is the same with any number.
"""

from __future__ import annotations

import gc
import resource
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rules.engine.engine import Engine
from rules.engine.events import Event
from rules.engine.parallel import block_results
from rules.logsources import Reader, load_pipelines, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sigma.processing.pipeline import ProcessingPipeline

    from rules.engine.blocks import BlockResult


_GARBAGE: Final = 500_000


class Match(NamedTuple):
    """``event``: 0-based index in the file; ``rule``: the rule's id."""

    file: str
    event: int
    rule: str


@dataclass(slots=True)
class Stats:
    """``seconds`` leaves out compiling. ``unreadable``: lines or records that are no JSON. ``by_rule``: how many
    matches each rule that matched has. ``guard``: see :class:`rules.engine.guard.Guard`."""

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
    jobs: int = 1
    by_rule: dict[str, int] = field(default_factory=dict)
    guard: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def scan(
    rules: Iterable[Path],
    files: Sequence[Path],
    report: Callable[[Match], None],
    progress: Callable[[Path, int], None] = lambda _path, _events: None,
    *,
    jobs: int = 1,
    pipelines: Sequence[str] = ("windows",),
    processing: Sequence[ProcessingPipeline] = (),
    cache: Path | None = None,
) -> Stats:
    """Match every event of ``files`` and report each (event, rule) pair once, in order.

    ``pipelines`` (names or files, :mod:`rules.logsources`) say which events there are; one that none of them knows
    fires nothing. ``processing``: pySigma pipelines for the rules. Correlations run over all files in the order given.
    ``progress`` is told the events read so far, block by block. ``jobs``: how many processes match. Raise
    :class:`RuleError` where a file cannot be read as what its name says.
    """
    stats = Stats(jobs=jobs)
    started = time.perf_counter()
    engine = Engine(
        rules,
        lateness_seconds=None,
        state_limit=1_000_000,
        group_limit=100_000,
        pipelines=processing,
        cache=cache,
    )
    reader = Reader(load_pipelines(pipelines))
    gc.collect()
    gc.freeze()  # the rules stay: nothing has to look through them again
    thresholds = gc.get_threshold()
    gc.set_threshold(_GARBAGE, *thresholds[1:])  # events are no cycles: they go by themselves
    try:
        stats.compile_seconds = time.perf_counter() - started
        started = time.perf_counter()
        with closing(block_results(engine, reader, files, jobs)) as results:
            for result in results:
                _take(engine, result, stats, report)
                progress(result.path, stats.events)
        stats.seconds = time.perf_counter() - started
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
    stats.events_per_second = stats.events / stats.seconds if stats.seconds else 0.0
    stats.rules_loaded = engine.rules_loaded
    stats.rules_unsupported = [{"id": each.id, "reason": each.reason} for each in engine.unsupported]
    stats.evicted = engine.evicted
    stats.peak_rss_mb = _peak_mb(jobs)
    return stats


def _take(engine: Engine, result: BlockResult, stats: Stats, report: Callable[[Match], None]) -> None:
    name, by_rule = result.path.name, stats.by_rule
    for place, rules, shared in result.fired:
        number = result.first + place
        if shared is not None:
            event = Event(f"{name}:{number}", seconds_of(shared.time), "", "", "", shared.fields)
            completed = (finding.rule_id for finding in engine.complete(event, shared.matched))
            rules = tuple(dict.fromkeys((*rules, *completed)))
        stats.matches += len(rules)
        for rule in rules:
            by_rule[rule] = by_rule.get(rule, 0) + 1
            report(Match(name, number, rule))
    stats.events += result.events
    stats.unreadable += result.unreadable
    for key, count in result.guard.items():
        stats.guard[key] = stats.guard.get(key, 0) + count


def _peak_mb(jobs: int) -> float:
    """The most memory that this process and, one by one, each of those that matched ever held."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if jobs > 1 else 0
    return (own + jobs * children) / 1024
