"""``vonggac sigma attack``: which ATT&CK techniques the rules see, mapped and evidence-tested told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector.state.database import is_made
from rules.attack import coverage, navigator_layer
from rules.catalogue import OWN_RULES, load_catalogue
from rules.evidence import is_proven
from rules.regression import regression_cases, regression_faults
from soc_api.attack.service import SCOPES, Coverage, coverage_here
from soc_api.cli._place import Place, as_json, echo_json, table, with_place

if TYPE_CHECKING:
    from rules.attack import Matrix
    from rules.importing import Received

_PATHS = click.Path(exists=True, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("attack")
@click.argument("paths", type=_PATHS, nargs=-1)
@click.option("--scope", type=click.Choice(SCOPES), default=SCOPES[0], show_default=True,
              help="Every rule that runs, or only those whose data arrives here.")  # fmt: skip
@click.option(
    "--regression", type=_FOLDER, help="SigmaHQ's regression cases: a rule whose case passes is tested too."
)
@click.option(
    "--layer",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a layer of ATT&CK Navigator (4.5).",
)
@as_json
@with_place
def attack_command(
    place: Place,
    paths: tuple[Path, ...],
    scope: str,
    regression: Path | None,
    layer: Path | None,
    as_json: bool,
) -> None:
    """Count ATT&CK techniques: *mapped* (a rule names it) and *evidence-tested* (and its evidence fires).

    PATHS: rule folders to look at; without them the rules of the data directory, or our own where there is none.

    \b
    Examples:
      vonggac sigma attack --layer coverage.json
      vonggac sigma attack ../sigmahq/rules --regression ../sigmahq/regression_data
    """
    if paths or not is_made(place.settings, place.data):
        found = _of_paths(paths or (OWN_RULES,), regression)
    else:
        found = _of_installation(place, scope)
    matrix = found.matrix
    if layer is not None:
        made = navigator_layer(matrix, "Vọng Gác", f"Rules ({found.scope})")
        layer.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if as_json:
        echo_json(_answer(found))
        return
    head = ("TACTIC", "TECHNIQUES", "TESTED", "MAPPED ONLY", "NO RULE")
    rows = [
        (
            column.tactic.name["en"],
            len(column.cells),
            *(column.count(each) for each in ("tested", "mapped", "none")),
        )
        for column in matrix.columns
    ]
    table(head, rows, "")
    counts = {state: matrix.techniques(state) for state in ("tested", "mapped", "none")}
    click.echo(
        f"ATT&CK {matrix.version}: {sum(counts.values())} techniques, {counts['tested']} evidence-tested,"
        f" {counts['mapped']} mapped only; {matrix.rules:,} rules, {matrix.tested_rules:,} of them tested,"
        f" {len(matrix.unplaced):,} without a technique",
        err=True,
    )
    if not found.known:
        click.echo("the event store does not answer: all running rules were counted", err=True)
    if matrix.unknown:
        click.echo(f"not in ATT&CK {matrix.version}: {', '.join(matrix.unknown)}", err=True)


def _of_paths(paths: tuple[Path, ...], regression: Path | None) -> Coverage:
    catalogue = load_catalogue(paths)
    tested = {info.id for info in catalogue.values() if not info.internal and is_proven(info, catalogue)}
    if regression is not None:
        cases = list(regression_cases(regression))
        faults = regression_faults(cases, catalogue)
        failed = {case.rule for case, fault in zip(cases, faults, strict=True) if fault}
        tested |= {case.rule for case in cases if case.rule in catalogue} - failed
    return Coverage(coverage(catalogue.values(), tested), "paths", known=True, not_received=0)


def _of_installation(place: Place, scope: str) -> Coverage:
    from collector.rulebook.live import LiveBook
    from collector.rulebook.sources import Rulebook

    with place.state() as state:
        rulebook = Rulebook(place.settings.detect.rule_folders, place.data.imported_rules)
        return coverage_here(state, LiveBook(rulebook, state), lambda: _arriving(place), scope)


def _arriving(place: Place) -> Received | None:
    from collector.errors import CollectorError
    from soc_api.cli.sigma.imports import received_here

    try:
        return received_here(place)
    except CollectorError:
        return None


def _answer(found: Coverage) -> dict[str, object]:
    matrix: Matrix = found.matrix
    return {
        "version": matrix.version,
        "scope": found.scope,
        "received_known": found.known,
        "rules": matrix.rules,
        "tested_rules": matrix.tested_rules,
        "not_received": found.not_received,
        "unplaced": matrix.unplaced,
        "unknown": matrix.unknown,
        "counts": {state: matrix.techniques(state) for state in ("tested", "mapped", "none")},
        "techniques": [
            {
                "id": cell.technique.id,
                "name": cell.technique.name,
                "tactic": cell.tactic,
                "state": cell.state,
                "mapped": cell.mapped,
                "tested": cell.tested,
            }
            for column in matrix.columns
            for whole in column.cells
            for cell in (whole, *whole.parts)
        ],
    }
