"""``vonggac move``: from the files of one machine to the databases of the settings."""

from __future__ import annotations

import shlex

import click

from collector.state.base import utcnow
from soc_api import move
from soc_api.cli._place import Place, actor, as_json, echo_json, with_place


@click.command(short_help="from the files of one machine to the databases of the settings")
@as_json
@with_place
def command(place: Place, as_json: bool) -> None:
    """Copy the state of the data directory into the empty PostgreSQL database that `[state] url` names.

    Stop the server first. Everything is compared row by row; cut off, it is simply run again. The files stay as they
    are: delete them when you are content. What waits in the log goes on by itself with the next start.

    \b
    Example (after `url = "postgresql://vonggac@db.example.vn/vonggac"` was written under [state]):
      vonggac move --data /var/lib/vonggac
    """

    def tell(line: str) -> None:
        click.echo(line, err=True)

    place.demand()
    with move.at_rest(place.data):
        moved = move.move_state(place.data, place.settings, tell)
        move.note(place.data, place.settings, moved, actor(), utcnow())
    rows = sum(content.rows for content in moved.tables.values())
    if as_json:
        tables = {name: {"rows": each.rows, "sha256": each.sha256} for name, each in moved.tables.items()}
        echo_json({"state": moved.where, "rows": rows, "already": moved.already, "tables": tables})
        return
    click.echo(f"{moved.where}: {rows} rows, the same as in {place.data.state}, which stays")
    click.echo(f"  vonggac serve --data {shlex.quote(str(place.data.root))}")
