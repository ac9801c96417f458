"""``vonggac sigma check``: are rules sound, complete, in both languages."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rules.catalogue import OWN_RULES
from rules.lint import lint

if TYPE_CHECKING:
    from rules.lint import Issue

_PATHS = click.Path(exists=True, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("check", epilog="Example: vonggac sigma check rules/sigma")
@click.argument("paths", type=_PATHS, nargs=-1)
@click.option(
    "--own/--foreign", default=None, help="Whether our house rules apply (default: for our own folder)."
)
@click.option("--config", type=_FILE, help="Another choice of validators (the form of rules/checks.yml).")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--sarif", is_flag=True, help="Print the findings as SARIF 2.1.0, for editors and code hosts.")
@click.option("--strict", is_flag=True, help="Exit 1 on warnings too.")
def check_command(
    paths: tuple[Path, ...], own: bool | None, config: Path | None, as_json: bool, sarif: bool, strict: bool
) -> None:
    """Check rules without running them: do they load, are they sound, complete, in both languages.

    Each finding has its file, line and severity. Exit 0: no error; 1: there is one.
    """
    issues = lint(
        paths or (OWN_RULES,), own=not paths if own is None else own, config=config, progress=_progress
    )
    _progress("")
    errors = sum(issue.severity == "error" for issue in issues)
    if sarif:
        click.echo(json.dumps(_sarif(issues), ensure_ascii=False, indent=2))
    elif as_json:
        click.echo(json.dumps([asdict(issue) for issue in issues], ensure_ascii=False, indent=2))
    else:
        for issue in issues:
            click.echo(str(issue))
        click.echo(f"{errors} errors, {len(issues) - errors} warnings", err=True)
    if errors or (strict and issues):
        raise click.exceptions.Exit(1)


def _progress(step: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{step}{' …' if step else ''}", err=True, nl=False)


def _sarif(issues: list[Issue]) -> dict[str, Any]:
    checks = sorted({issue.check for issue in issues})
    results = [
        {
            "ruleId": issue.check,
            "level": issue.severity,
            "message": {"text": issue.message},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": Path(issue.path).as_posix()},
                        "region": {"startLine": issue.line or 1},
                    }
                }
            ],
        }
        for issue in issues
    ]
    driver = {
        "name": "vonggac sigma check",
        "version": version("vonggac"),
        "rules": [{"id": each} for each in checks],
    }
    return {
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
