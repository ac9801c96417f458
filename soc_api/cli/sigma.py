"""``vonggac sigma``: scan files with Sigma rules, check rules, run their evidence."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from rules.catalogue import OWN_RULES, load_catalogue
from rules.engine.scan import Match, Stats, scan
from rules.evidence import evidence_path, failures, load_evidence
from rules.lint import Issue, lint

if TYPE_CHECKING:
    from collections.abc import Callable

_PATHS = click.Path(exists=True, path_type=Path)
_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(name="sigma", short_help="scan event files, check and test rules")
def group() -> None:
    """Sigma rules: scan event files, check and test rules."""


@group.command(
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


@group.command("check", epilog="Example: vonggac sigma check rules/sigma")
@click.argument("paths", type=_PATHS, nargs=-1)
@click.option(
    "--own/--foreign", default=None, help="Whether our house rules apply (default: for our own folder)."
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--strict", is_flag=True, help="Exit 1 on warnings too.")
def check_command(paths: tuple[Path, ...], own: bool | None, as_json: bool, strict: bool) -> None:
    """Check rules without running them: do they load, are they sound, complete, in both languages.

    Exit 0: no error; 1: there is one.
    """
    issues = lint(paths or (OWN_RULES,), own=not paths if own is None else own)
    errors = sum(issue.severity == "error" for issue in issues)
    if as_json:
        click.echo(json.dumps([_issue_json(issue) for issue in issues], ensure_ascii=False, indent=2))
    else:
        for issue in issues:
            click.echo(str(issue))
        click.echo(f"{errors} errors, {len(issues) - errors} warnings", err=True)
    if errors or (strict and issues):
        raise click.exceptions.Exit(1)


def _issue_json(issue: Issue) -> dict[str, str]:
    return {name: getattr(issue, name) for name in ("severity", "path", "rule", "message")}


@group.command("test", epilog="Example: vonggac sigma test rules/sigma/linux")
@click.argument("paths", type=_PATHS, nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def test_command(paths: tuple[Path, ...], as_json: bool) -> None:
    """Run each rule's evidence: what must fire it does, what narrowly must not does not.

    Rules of our own stand by, so that correlations find the rules they refer to. Exit 0: all as it should be; 1: not.
    """
    chosen = {Path(info.path).resolve() for info in load_catalogue(paths).values()} if paths else None
    folders = [OWN_RULES, *paths]
    catalogue = load_catalogue(dict.fromkeys(path.resolve() for path in folders if not _inside(path)))
    results: list[dict[str, Any]] = []
    for info in catalogue.values():
        if chosen is not None and Path(info.path).resolve() not in chosen:
            continue
        cases = load_evidence(info, evidence_path(Path(info.path)))
        faults = list(failures(info, cases, folders))
        results.append({"rule": info.id, "path": info.path, "cases": len(cases), "faults": faults})
    if as_json:
        click.echo(json.dumps(results, ensure_ascii=False, indent=2))
    else:
        for result in results:
            for fault in result["faults"]:
                click.echo(f"{result['path']}: {fault}")
        click.echo(f"{len(results)} rules, {sum(r['cases'] for r in results)} cases", err=True)
    if any(result["faults"] for result in results):
        raise click.exceptions.Exit(1)


def _inside(path: Path) -> bool:
    """Whether ``path`` is a part of our own folder, which is read whole anyhow."""
    return path.resolve() != OWN_RULES and path.resolve().is_relative_to(OWN_RULES)
