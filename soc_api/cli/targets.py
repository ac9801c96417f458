"""``vonggac targets``: the plans' targets, and which rules serve them."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict

import click

from rules.catalogue import load_catalogue
from rules.targets import MODES, Target, TargetError, load_targets


@click.group(name="targets", short_help="the plans' targets")
def group() -> None:
    """The plans' targets: list them, check them."""


@group.command("list", epilog="Example: vonggac targets list --document TB112 --mode A")
@click.option("--document", help="Only one document (TH22, TH120, HG167, QN790, TB112).")
@click.option("--mode", type=click.Choice(sorted(MODES)), help="A automatic, P partly, M kept by hand.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print as JSON, with the ids of the rules that serve each."
)
def list_command(document: str | None, mode: str | None, as_json: bool) -> None:
    """List the targets with their wording, value and date, and how many rules serve each."""
    served = _served()
    chosen = [
        target
        for target in _targets()
        if (document is None or target.document.key == document.upper())
        and (mode is None or target.mode == mode)
    ]
    if as_json:
        click.echo(
            json.dumps([_as_json(each, served[each.id]) for each in chosen], ensure_ascii=False, indent=2)
        )
        return
    for target in chosen:
        rules = f", {len(served[target.id])} luật" if served[target.id] else ""
        facts = ", ".join(part for part in (target.value, target.due, target.scope) if part)
        click.echo(f"{target.id:9} {target.mode}  {target.topic} [{facts}]{rules}")
        click.echo(f"             {target.quote}")


@group.command("check", epilog="Example: vonggac targets check")
def check_command() -> None:
    """Check that the data is whole and that every rule serves a target that exists. Exit 0: so it is; 1: not."""
    targets = {target.id for target in _targets()}
    served = _served()
    wrong = sorted(served.keys() - targets)
    for target in wrong:
        click.echo(f"{target}: named by {', '.join(served[target])}, but no such target")
    click.echo(f"{len(targets)} targets, {len(targets & served.keys())} served by rules", err=True)
    if wrong:
        raise click.exceptions.Exit(1)


def _targets() -> tuple[Target, ...]:
    try:
        return load_targets()
    except TargetError as problem:
        raise click.ClickException(str(problem)) from problem


def _served() -> dict[str, list[str]]:
    served: dict[str, list[str]] = defaultdict(list)
    for rule in load_catalogue().values():
        for target in rule.targets:
            served[target].append(rule.id)
    return served


def _as_json(target: Target, rules: list[str]) -> dict[str, object]:
    document = {**asdict(target.document), "date": target.document.date.isoformat()}
    return {**asdict(target), "document": document, "rules": rules}
