"""``vonggac assessment``: the checks of configuration assessment."""

from __future__ import annotations

import json
from pathlib import Path

import click

from agent.assessment.shipped import CHECKS
from soc_api.assessment.written import CheckFileError, read_set, shipped_sets, stale_sets


@click.group(name="assessment", short_help="the checks of configuration assessment")
def group() -> None:
    """The checks of configuration assessment: list them, check files of them, compile them for agents."""


@group.command("list", epilog="Example: vonggac assessment list --set linux")
@click.option("--set", "name", help="Only one set (linux, windows).")
@click.option("--lang", type=click.Choice(["vi", "en"]), default="vi", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, with the words in both languages.")
def list_command(name: str | None, lang: str, as_json: bool) -> None:
    """List the shipped checks with importance and levels."""
    sets = [each for each in shipped_sets().values() if name in (None, each.set)]
    if not sets:
        raise click.ClickException(f"there is no set {name!r}: {', '.join(shipped_sets())}")
    if as_json:
        shown = [
            {
                "set": each.set,
                "id": check.id,
                "importance": check.importance,
                "levels": check.levels,
                "title": check.title.as_mapping(),
                "why": check.why.as_mapping(),
                "remedy": check.remedy.as_mapping(),
            }
            for each in sets
            for check in each.checks
        ]
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return
    for each in sets:
        for check in each.checks:
            levels = ",".join(map(str, check.levels))
            click.echo(
                f"{each.set:8} {check.id:26} {check.importance:6} {levels:5} {check.title.as_mapping()[lang]}"
            )


@group.command("check", epilog="Example: vonggac assessment check checks.yml")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def check_command(files: tuple[Path, ...]) -> None:
    """Check files of checks (without one: the shipped sets). Exit 0: they are sound; 1: not, with the line."""
    wrong = 0
    for path in files or tuple(sorted(CHECKS.glob("*.yml"))):
        try:
            written = read_set(path)
        except CheckFileError as error:
            click.echo(str(error))
            wrong += 1
        else:
            click.echo(f"{path}: {len(written.checks)} checks", err=True)
    if not files and not wrong:
        for path in stale_sets():
            click.echo(f"{path}: is not what the YAML says: run vonggac assessment compile")
            wrong += 1
    if wrong:
        raise click.exceptions.Exit(1)


@group.command("compile", epilog="Example: vonggac assessment compile")
def compile_command() -> None:
    """Write what agents read (JSON) beside each shipped file of checks (YAML), in the source tree."""
    for path in stale_sets():
        path.write_bytes(shipped_sets()[path.stem].compiled())
        click.echo(f"{path}: written", err=True)
