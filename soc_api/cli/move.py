"""``vonggac move``: from the files of one machine to the databases of the settings."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from collector.state.base import utcnow
from soc_api import move
from soc_api.cli._place import Place, actor, as_json, echo_json, with_place

if TYPE_CHECKING:
    from soc_api.move import StateMoved
    from soc_api.move_events import EventsMoved


@click.command(short_help="from the files of one machine to the databases of the settings")
@as_json
@with_place
def command(place: Place, as_json: bool) -> None:
    """Copy the state of the data directory into the empty PostgreSQL database that `[state] url` names, then its events
    into the ClickHouse server that `[events] url` names, where it names one.

    Stop the server first. The state is compared row by row, the events partition by partition; cut off, it is simply
    run again. The files stay as they are: delete them when you are content. What waits in the log goes on by itself
    with the next start.

    \b
    Example (after `url = "postgresql://vonggac@db.example.vn/vonggac"` was written under [state]):
      vonggac move --data /var/lib/vonggac
    """
    if not place.settings.state.url and not place.settings.events.url:
        raise move.MoveError(
            "nowhere to move to: write [state] url, [events] url or both into the settings first"
        )
    place.demand()
    events: EventsMoved | None = None
    with move.at_rest(place.data):
        state = move.move_state(place.data, place.settings, _tell)
        if place.settings.events.url:
            from soc_api.move_events import move_events  # the engine takes its time to load

            events = move_events(place.data, place.settings, _tell)
        if state is None and events is None:
            raise move.MoveError(
                f"nothing to move: neither state nor events are in {place.data.root} any more"
            )
        counts = {} if events is None else events.rows
        move.note(place.data, place.settings, state, counts, actor(), utcnow())
    if as_json:
        echo_json({"state": _state(state), "events": _events(events)})
        return
    if state is not None:
        rows = sum(content.rows for content in state.tables.values())
        click.echo(f"{state.where}: {rows} rows, the same as in {place.data.state}, which stays")
    if events is not None:
        told = ", ".join(f"{count} {table}" for table, count in counts.items())
        click.echo(f"{events.where}: {told}, the same as in {place.data.events}, which stays")
    click.echo(f"  vonggac serve --data {shlex.quote(str(place.data.root))}")


def _state(moved: StateMoved | None) -> object:
    if moved is None:
        return None
    tables = {name: {"rows": each.rows, "sha256": each.sha256} for name, each in moved.tables.items()}
    return {"where": moved.where, "already": moved.already, "tables": tables}


def _events(moved: EventsMoved | None) -> object:
    return None if moved is None else {"where": moved.where, "rows": moved.rows, "copied": moved.copied}


def _tell(line: str) -> None:
    click.echo(line, err=True)
