"""``vonggac sigma scan``: run rules over files of events."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from rules.catalogue import OWN_RULES
from rules.engine.scan import Match, Stats, scan

if TYPE_CHECKING:
    from collections.abc import Callable

_PATHS = click.Path(exists=True, path_type=Path)
_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


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
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
def scan_command(
    rules: tuple[Path, ...], events: tuple[Path, ...], output: Path, stats_file: Path | None, quiet: bool
) -> None:
    """Run rules over files of Windows events (flat JSON or EVTX) and write every match."""
    encode = msgspec.json.Encoder().encode
    stream = sys.stdout.buffer if str(output) == "-" else output.open("wb")
    try:
        stats = scan(
            rules or (OWN_RULES,), events, lambda match: _write(stream.write, encode, match), _progress(quiet)
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


def _write(write: Callable[[bytes], int], encode: Callable[[object], bytes], match: Match) -> None:
    write(encode({"file": match.file, "event": match.event, "rule": match.rule}) + b"\n")


def _progress(quiet: bool) -> Callable[[Path, int], None]:
    if quiet or not sys.stderr.isatty():
        return lambda _path, _events: None
    return lambda path, events: click.echo(f"\r\x1b[K{path.name}: {events:,} events", err=True, nl=False)


def _summary(stats: Stats) -> None:
    if sys.stderr.isatty():
        click.echo(err=True)
    click.echo(
        f"{stats.matches:,} matches in {stats.events:,} events, {stats.rules_loaded:,} rules; "
        f"{stats.seconds:.1f} s ({stats.events_per_second:,.0f} events/s) after {stats.compile_seconds:.1f} s of "
        f"compiling; {stats.peak_rss_mb:,.0f} MB",
        err=True,
    )
    if stats.unreadable:
        click.echo(f"{stats.unreadable:,} lines or records are no JSON and were passed over", err=True)
    for refused in stats.rules_unsupported:
        click.echo(f"not loaded: {refused['id']}: {refused['reason']}", err=True)
