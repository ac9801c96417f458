"""``vonggac agency``: the registry of agencies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from collector.registry import files, service
from collector.state.base import utcnow
from collector.state.scope import EVERYTHING
from soc_api.accounts import audit
from soc_api.cli._place import Place, actor, as_json, echo_json, table, with_place

if TYPE_CHECKING:
    from collector.registry.models import AgencyRow, ImportResult

#: Registries that the project ships: the command's name for each, and the file's.
BUILTIN: Final = {"thanh-hoa": "thanh_hoa"}


@click.group(name="agency", short_help="the registry of agencies")
def group() -> None:
    """List agencies, import them from a CSV file, or load a registry that we ship.

    \b
    Example:
      vonggac agency builtin thanh-hoa
    """


@group.command(name="list")
@click.argument("text", default="")
@as_json
@with_place
def list_agencies(place: Place, text: str, as_json: bool) -> None:
    """All agencies, or those with TEXT in a code, a present or a former name.

    \b
    Example:
      vonggac agency list "y te"
    """
    with place.state() as state, state.read() as session:
        find = service.find_agencies
        found = find(session, EVERYTHING, text) if text else service.list_agencies(session, EVERYTHING)
    columns = ("code", "name", "level", "officials", "valid_from", "valid_to")
    if as_json:
        echo_json([{column: getattr(agency, column) for column in columns} for agency in found])
        return
    rows = [[getattr(agency, column) for column in columns] for agency in found]
    head = ("CODE", "NAME", "LEVEL", "OFFICIALS", "FROM", "TO")
    table(
        head, rows, "none: load them with `vonggac agency builtin thanh-hoa` or `vonggac agency import FILE`"
    )


@group.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json
@with_place
def import_file(place: Place, file: Path, as_json: bool) -> None:
    """Bring the registry to what a CSV FILE says, by code. Agencies that it does not name stay.

    \b
    Columns: code,name,level[,officials,organ_id,valid_from,valid_to]
    Example:
      vonggac agency import agencies.csv
    """
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise click.ClickException(f"{file}: not UTF-8: save it as “CSV UTF-8”") from None
    _bring(place, files.parse_agencies(text), file.name, as_json)


@group.command()
@click.argument("name", type=click.Choice(sorted(BUILTIN)))
@as_json
@with_place
def builtin(place: Place, name: str, as_json: bool) -> None:
    """Load a registry that the project ships. Doing it again changes nothing.

    \b
    Example:
      vonggac agency builtin thanh-hoa
    """
    _bring(place, files.builtin_rows(BUILTIN[name]), name, as_json)


def _bring(place: Place, rows: list[AgencyRow], source: str, as_json: bool) -> None:
    now = utcnow()
    with place.state() as state, state.write() as session:
        result: ImportResult = service.import_agencies(session, rows, now)
        if result.created or result.changed:
            audit.record(
                session,
                now,
                actor(),
                "agency.import",
                source,
                created=result.created,
                changed=result.changed,
                rows=len(rows),
            )
    counts = {"created": result.created, "changed": result.changed, "unchanged": result.unchanged}
    if as_json:
        echo_json(counts)
    else:
        click.echo(", ".join(f"{number} {word}" for word, number in counts.items()))
