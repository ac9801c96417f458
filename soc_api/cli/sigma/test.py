"""``vonggac sigma test``: run the rules' evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rules.catalogue import OWN_RULES, load_catalogue
from rules.evidence import evidence_path, failures, load_evidence

_PATHS = click.Path(exists=True, path_type=Path)


@click.command("test", epilog="Example: vonggac sigma test rules/sigma/linux")
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
