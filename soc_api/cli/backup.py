"""``vonggac backup``: the data directory as one consistent file."""

from __future__ import annotations

from pathlib import Path

import click

from collector.state.base import utcnow
from soc_api import backup
from soc_api.accounts import audit
from soc_api.cli._place import Place, actor, as_json, echo_json, with_place


@click.command(short_help="the data directory as one consistent file")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@as_json
@with_place
def command(place: Place, file: Path, as_json: bool) -> None:
    """Write a consistent backup of everything to FILE (a tar file), while all keeps running.

    The file holds the certificate authority's private key: keep it as safe as the server itself.

    \b
    Example:
      vonggac backup /mnt/backup/vonggac-2026-11-21.tar
    """
    result = backup.make(place.data, place.settings, file, utcnow(), lambda line: click.echo(line, err=True))
    with place.state() as state, state.write() as session:
        audit.record(
            session, utcnow(), actor(), "backup.make", str(file), files=result.files, bytes=result.bytes
        )
    if as_json:
        echo_json(
            {"file": str(result.path), "files": result.files, "bytes": result.bytes, "live": result.live}
        )
    else:
        click.echo(f"{result.path}: {result.files} files, {result.bytes / 1e6:.1f} MB")
