"""The Sigma engine over files: speed against decoding alone, memory, two processes against one; compiling, change."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rules.engine import Engine
from soc_api.bench.material import EXPECTED, event_lines, rule_folders
from soc_api.bench.registry import Figure, benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EVENTS_WANTED: Final = 200_000
_RUNS: Final = 3


@benchmark(
    "sigma.scan", "all of SigmaHQ's rules over 200,000 Windows events, against decoding alone; 2 processes"
)
def measure_scan(tell: Callable[[str], None]) -> Iterator[Figure]:
    folders = rule_folders()
    lines = event_lines()
    repeats = _EVENTS_WANTED // len(lines)
    with tempfile.TemporaryDirectory(prefix="vonggac-bench-") as folder:
        events = Path(folder, "events.jsonl")
        text = b"".join(line + b"\n" for line in lines)
        with events.open("wb") as stream:
            for _ in range(repeats):
                stream.write(text)
        del text
        decoding, halves, one, two = [], [], [], []
        for run in range(_RUNS):
            tell(f"run {run + 1} of {_RUNS}: decoding alone, then with one process, then with two")
            decoding.append(_decode(lines, repeats))
            one.append(_scan(folders, events, 1))
            decoding.append(_decode(lines, repeats))
            two.append(_scan(folders, events, 2))
            halves.append(_decode_in_two(lines, repeats))
        wrong = _wrong_matches(Path(folder, "matches.jsonl"), repeats, len(lines))
    best = min(one, key=lambda stats: stats["seconds"])
    both = min(stats["seconds"] for stats in two)
    rate, ratio = best["events_per_second"], best["seconds"] / min(decoding)
    gain = best["seconds"] / both
    memory = max(stats["peak_rss_mb"] for stats in one)
    yield Figure(round(rate), "events/s, one process, best of 3", "at least 40,000", rate >= 40_000)
    yield Figure(round(ratio, 2), "times decoding alone (msgspec), best of both", "at most 3.5", ratio <= 3.5)
    yield Figure(round(gain, 2), "times as fast with two processes", "at least 1.8", gain >= 1.8)
    most = min(decoding) / min(halves)
    yield Figure(
        round(most, 2),
        "times as fast decoding alone with two processes: what the machine gives",
        "none",
        None,
    )
    yield Figure(round(memory), "MB at most, one process", "at most 400", memory <= 400)
    yield Figure(wrong, "matches missing or too many, two processes", "0", wrong == 0)


def _decode(lines: list[bytes], repeats: int) -> float:
    decode = msgspec.json.Decoder().decode
    started = time.perf_counter()
    for _ in range(repeats):
        for line in lines:
            decode(line)
    return time.perf_counter() - started


def _decode_in_two(lines: list[bytes], repeats: int) -> float:
    """As long as it takes where two processes do half each, which share nothing."""
    forking = multiprocessing.get_context("fork")
    processes = [forking.Process(target=_decode, args=(lines, repeats // 2)) for _ in range(2)]
    started = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return time.perf_counter() - started


def _scan(folders: list[Path], events: Path, jobs: int) -> dict[str, Any]:
    """One run as a user would call it, in a process of its own, with compiled rules kept from the run before."""
    stats, matches = events.with_name("stats.json"), events.with_name("matches.jsonl")
    rules = [part for folder in folders for part in ("--rules", str(folder))]
    command = [sys.executable, "-m", "soc_api.cli", "sigma", "scan", *rules, "--events", str(events)]
    command += ["--output", str(matches), "--stats", str(stats), "--jobs", str(jobs), "--quiet"]
    command += ["--cache", str(events.with_name("cache"))]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], env=os.environ)
    found: dict[str, Any] = json.loads(stats.read_text())
    return found


def _wrong_matches(matches: Path, repeats: int, events: int) -> int:
    expected = Counter(
        (pair["event"] + repeat * events, pair["rule"])
        for pair in map(json.loads, EXPECTED.read_text().splitlines())
        for repeat in range(repeats)
    )
    found = Counter((match["event"], match["rule"]) for match in map(json.loads, matches.open()))
    return (expected - found).total() + (found - expected).total()


_RULE: Final = """
title: Changed while it runs
id: 00000000-0000-4000-8000-00000000beef
logsource: {category: process_creation, product: windows}
detection: {selection: {CommandLine|contains|all: [vonggac, WORD]}, condition: selection}
"""


@benchmark(
    "sigma.compile", "compiling all of SigmaHQ's rules, from nothing and from the cache; changing one of them"
)
def measure_compile(tell: Callable[[str], None]) -> Iterator[Figure]:
    folders = rule_folders()
    cold, warm, change = [], [], []
    for run in range(_RUNS):
        tell(f"run {run + 1} of {_RUNS}")
        with tempfile.TemporaryDirectory(prefix="vonggac-bench-") as folder:
            cold.append(_compile(folders, Path(folder)))
            warm.append(_compile(folders, Path(folder)))
            engine = Engine(folders, cache=Path(folder))
            for word in ("one", "two", "three"):
                started = time.perf_counter()
                engine.change([_RULE.replace("WORD", word)])
                change.append(time.perf_counter() - started)
    loaded = engine.rules_loaded + len(engine.unsupported) - 1
    yield Figure(loaded, "rules", "3,757", loaded == 3757)
    yield Figure(round(min(cold), 2), "s from nothing", "at most 6", min(cold) <= 6)
    yield Figure(round(min(warm), 3), "s from the cache", "at most 0.5", min(warm) <= 0.5)
    worst = max(change) * 1000
    yield Figure(round(worst, 1), "ms to change one rule, the longest of 9", "at most 100", worst <= 100)


def _compile(folders: list[Path], cache: Path) -> float:
    """In a process of its own: what is imported and what was parsed before must not help."""
    code = (
        "import sys, time; from pathlib import Path; from rules.engine import Engine;"
        "started = time.perf_counter(); Engine(map(Path, sys.argv[2:]), cache=Path(sys.argv[1]));"
        "print(time.perf_counter() - started)"
    )
    command = [sys.executable, "-c", code, str(cache), *map(str, folders)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    return float(done.stdout)
