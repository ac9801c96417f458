"""``vonggac sigma check``: are rules sound, complete, in both languages."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rules.catalogue import OWN_RULES
from rules.lint import Issue, lint

_PATHS = click.Path(exists=True, path_type=Path)


@click.command("check", epilog="Example: vonggac sigma check rules/sigma")
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
