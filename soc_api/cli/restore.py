"""``vonggac restore``: a data directory from a backup."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path

import click

from soc_api import backup
from soc_api.cli._place import Place, as_json, echo_json, shown_time, with_place


@click.command(short_help="a data directory from a backup")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json
@with_place
def command(place: Place, file: Path, as_json: bool) -> None:
    """Bring the backup FILE back to the data directory, which must not exist or be empty.

    \b
    Example:
      vonggac restore /mnt/backup/vonggac-2026-11-21.tar --data /var/lib/vonggac
    """
    manifest = backup.bring_back(file, place.data.root, lambda line: click.echo(line, err=True))
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
