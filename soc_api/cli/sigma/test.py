"""``vonggac sigma test``: run the rules' evidence."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rules import benign
from rules.catalogue import OWN_RULES, Catalogue, RuleInfo, load_catalogue
from rules.engine import RuleError
from rules.evidence import evidence_path, failures, load_evidence, needed_files
from rules.regression import regression_cases, regression_faults

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PATHS = click.Path(exists=True, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("test", epilog="Example: vonggac sigma test rules/sigma/linux")
@click.argument("paths", type=_PATHS, nargs=-1)
@click.option("--benign", "ordinary", type=_FOLDER, help="Ordinary events, where the rules should be quiet, with"
              " known.yml beside them.  [default: those that come with the program]")  # fmt: skip
@click.option("--regression", type=_FOLDER, help="Run SigmaHQ's regression cases under this folder (info.yml beside"
              " .evtx) instead of evidence.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def test_command(
    paths: tuple[Path, ...], ordinary: Path | None, regression: Path | None, as_json: bool
) -> None:
    """Run each rule's evidence: what must fire it does, what narrowly must not does not, and ordinary days stay quiet.

    Rules of our own stand by, so that correlations find the rules they refer to. Without PATHS our own are tested.
    A rule without evidence is named and fails. Exit 0: all as it should be; 1: not.
    """
    if regression is not None:
        results = list(_regression(paths or (OWN_RULES,), regression))
    else:
        results = list(_evidence(paths, ordinary or benign.FOLDER))
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    if as_json:
        click.echo(json.dumps(results, ensure_ascii=False, indent=2))
    else:
        for result in results:
            for fault in result["faults"]:
                click.echo(f"{result['path']}: {fault}")
        failed = sum(bool(result["faults"]) for result in results)
        cases = sum(result["cases"] for result in results)
        click.echo(f"{len(results)} rules, {cases} cases, {failed} rules failed", err=True)
    if any(result["faults"] for result in results):
        raise click.exceptions.Exit(1)


def _evidence(paths: tuple[Path, ...], ordinary: Path) -> Iterator[dict[str, Any]]:
    folders = [OWN_RULES, *(path for path in paths if not _inside(path))]
    catalogue = load_catalogue(dict.fromkeys(path.resolve() for path in folders))
    chosen = {Path(info.path).resolve() for info in load_catalogue(paths).values()} if paths else None
    wanted = [info for info in catalogue.values() if chosen is None or Path(info.path).resolve() in chosen]
    noise: dict[str, list[str]] = {}
    for rule, why in benign.faults(_files(wanted, catalogue), datetime.now(UTC).date(), ordinary):
        noise.setdefault(rule, []).append(why)
    for number, info in enumerate(wanted, 1):
        _progress(number, len(wanted), info.path)
        cases = 0
        try:
            evidence = load_evidence(info, evidence_path(Path(info.path)))
            cases = len(evidence)
            faults = list(failures(info, evidence, needed_files(info, catalogue)))
            if not any(case.fires for case in evidence):
                faults.append("evidence has no case that fires")
        except RuleError as problem:
            faults = [problem.reason]
        yield {
            "rule": info.id,
            "path": info.path,
            "cases": cases,
            "faults": [*faults, *noise.get(info.id, ())],
        }


def _files(wanted: Iterable[RuleInfo], catalogue: Catalogue) -> list[Path]:
    return list(dict.fromkeys(path for info in wanted for path in needed_files(info, catalogue)))


def _regression(paths: tuple[Path, ...], folder: Path) -> Iterator[dict[str, Any]]:
    rules = load_catalogue(paths)
    cases = list(regression_cases(folder))
    if not cases:
        raise click.ClickException(f"no info.yml under {folder}: name SigmaHQ's folder of regression data")
    numbers = {case.events: number for number, case in enumerate(cases, 1)}
    faults = regression_faults(
        cases, rules, lambda path, _events: _progress(numbers[path], len(cases), str(path))
    )
    for case, fault in zip(cases, faults, strict=True):
        yield {
            "rule": case.rule,
            "path": str(case.events),
            "cases": 1,
            "faults": [f"{case.name}: {fault}"] if fault else [],
        }


def _progress(number: int, of: int, what: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{number}/{of} {Path(what).name}", err=True, nl=False)


def _inside(path: Path) -> bool:
    """Whether ``path`` is a part of our own folder, which is read whole anyhow."""
    return path.resolve().is_relative_to(OWN_RULES)
