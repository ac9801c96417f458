"""``vonggac sigma scan``: run rules over files of events."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from rules.catalogue import OWN_RULES
from rules.engine.scan import Match, Stats, scan

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from sigma.processing.pipeline import ProcessingPipeline

_PATHS = click.Path(exists=True, path_type=Path)
_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)
_TOP_RULES = 10


@click.command(
    "scan", epilog="Example: vonggac sigma scan --rules rules/ --events day.jsonl.zst --output matches.jsonl"
)
@click.option(
    "--rules", "rules", type=_PATHS, multiple=True, help="Rule file or folder (default: our own rules)."
)
@click.option(
    "--events", type=_FILES, multiple=True, required=True, help=".jsonl, .jsonl.gz, .jsonl.zst or .evtx."
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True), default="-",
              help="One match a line: file, event (0-based), rule. Default: standard output.")  # fmt: skip
@click.option(
    "--stats", "stats_file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures as JSON."
)
@click.option("--pipeline", "pipelines", multiple=True, default=("windows",), show_default=True,
              help="Log sources of the events: a shipped pipeline's name or a file (docs/logsources.md).")  # fmt: skip
@click.option("--processing", multiple=True,
              help="pySigma processing pipeline for the rules: a file or an installed one's name.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True,
              help="Processes that match side by side; the result is the same.")  # fmt: skip
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), default=None,
              help="Folder for compiled rules (default: $XDG_CACHE_HOME/vonggac or ~/.cache/vonggac).")  # fmt: skip
@click.option("--no-cache", is_flag=True, help="Compile all rules anew and keep nothing.")
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
def scan_command(
    rules: tuple[Path, ...],
    events: tuple[Path, ...],
    output: Path,
    stats_file: Path | None,
    pipelines: tuple[str, ...],
    processing: tuple[str, ...],
    jobs: int,
    cache: Path | None,
    no_cache: bool,
    quiet: bool,
) -> None:
    """Run rules over files of events (flat JSON or EVTX) and write every match."""
    encode = msgspec.json.Encoder().encode
    stream = sys.stdout.buffer if str(output) == "-" else output.open("wb")
    try:
        with _Progress(events, quiet) as progress:
            stats = scan(
                rules or (OWN_RULES,),
                events,
                lambda match: _write(stream.write, encode, match),
                progress.tell,
                jobs=jobs,
                pipelines=pipelines,
                processing=_processing(processing),
                cache=None if no_cache else cache or _default_cache(),
            )
    finally:
        stream.flush()
        if stream is not sys.stdout.buffer:
            stream.close()
    if stats_file is not None:
        stats_file.write_text(
            json.dumps(stats.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    if not quiet:
        _summary(stats)


def _processing(names: tuple[str, ...]) -> list[ProcessingPipeline]:
    if not names:
        return []
    from rules.engine.processing import load_pipelines

    return load_pipelines(names)


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "vonggac" if base else Path.home() / ".cache" / "vonggac"


def _write(write: Callable[[bytes], int], encode: Callable[[object], bytes], match: Match) -> None:
    write(encode({"file": match.file, "event": match.event, "rule": match.rule}) + b"\n")


class _Progress:
    """A bar over the files, on a terminal only."""

    def __init__(self, files: tuple[Path, ...], quiet: bool) -> None:
        shown = not quiet and sys.stderr.isatty()
        self._places = {path: number for number, path in enumerate(files)}
        self._bar = click.progressbar(
            length=len(files), label="matching", file=sys.stderr, hidden=not shown, show_pos=True
        )

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self._bar.__exit__(*problem)  # type: ignore[arg-type]  # handed on as they came

    def tell(self, path: Path, events: int) -> None:
        self._bar.label = f"{path.name}: {events:,} events"
        self._bar.update(self._places[path] - self._bar.pos)


def _summary(stats: Stats) -> None:
    click.echo(
        f"{stats.matches:,} matches in {stats.events:,} events, {stats.rules_loaded:,} rules; "
        f"{stats.seconds:.1f} s ({stats.events_per_second:,.0f} events/s) after {stats.compile_seconds:.1f} s of "
        f"compiling; {stats.peak_rss_mb:,.0f} MB",
        err=True,
    )
    top = sorted(stats.by_rule.items(), key=lambda each: (-each[1], each[0]))
    for rule, count in top[:_TOP_RULES]:
        click.echo(f"{count:>9,}  {rule}", err=True)
    if len(top) > _TOP_RULES:
        click.echo(f"{'':>9}  and {len(top) - _TOP_RULES:,} more rules", err=True)
    if stats.unreadable:
        click.echo(f"{stats.unreadable:,} lines or records are no JSON and were passed over", err=True)
    for refused in stats.rules_unsupported:
        click.echo(f"not loaded: {refused['id']}: {refused['reason']}", err=True)
