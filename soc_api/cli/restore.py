"""``vonggac restore``: a data directory from a backup."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector.errors import CollectorError
from collector.settings import load
from soc_api import backup, move
from soc_api.cli._place import Place, as_json, echo_json, shown_time, with_place

if TYPE_CHECKING:
    from collector.settings import Settings


@click.command(short_help="a data directory from a backup")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json
@with_place
def command(place: Place, file: Path, as_json: bool) -> None:
    """Bring the backup FILE back to the data directory, which must not exist or be empty.

    Where the backup's settings name a PostgreSQL database, the state goes into it; it must be empty.

    \b
    Example:
      vonggac restore /mnt/backup/vonggac-2026-11-21.tar --data /var/lib/vonggac
    """
    manifest = backup.bring_back(file, place.data.root, _tell)
    settings = load(place.data, place.config)
    if settings.state.url:
        _into_database(place, settings)
    if as_json:
        echo_json(
            {"data": str(place.data.root), "made_at": manifest["made_at"], "files": len(manifest["files"])}
        )
    else:
        made_at = shown_time(datetime.fromisoformat(manifest["made_at"]))
        click.echo(
            f"{place.data.root} is as it was at {made_at}; stop what runs on the same ports, then start it:"
        )
        click.echo(f"  vonggac serve --data {shlex.quote(str(place.data.root))}")


def _into_database(place: Place, settings: Settings) -> None:
    """The state of the backup, out of its file."""
    place.data.create()
    try:
        with move.at_rest(place.data):
            move.move_state(place.data, settings, _tell)
    except CollectorError as error:
        again = f"`vonggac move --data {shlex.quote(str(place.data.root))}`"
        raise click.ClickException(f"{error}; all else is back: mend this, then run {again}") from error
    place.data.state.unlink()


def _tell(line: str) -> None:
    click.echo(line, err=True)
