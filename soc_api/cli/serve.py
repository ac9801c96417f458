"""``vonggac serve``: everything on one machine."""

from __future__ import annotations

import sys

import click

from collector.bootstrap import prepare
from collector.state.database import StateStore
from soc_api.cli import _secrets
from soc_api.cli._place import Place, with_place
from soc_api.cli._setup import first_administrator


@click.command(short_help="start console, agents' port, detection and store on this machine")
@click.option("--prepare-only", is_flag=True, help="Make everything ready, then stop.")
@with_place
def command(place: Place, prepare_only: bool) -> None:
    """Start everything on this machine, until Ctrl-C.

    The first start makes the data directory, the certificate authority and an administrator, whose password
    and one-time code secret it prints once. Ports and addresses are settings; all is on loopback until one
    says otherwise.

    \b
    Example:
      vonggac serve --data /var/lib/vonggac
    """
    make_ready(place)
    if prepare_only:
        return
    from collector.supervisor import Supervisor

    Supervisor(commands(place)).run()


def make_ready(place: Place) -> None:
    """Directory, authority, certificate, tables, and an administrator who is shown once. Idempotent."""
    prepare(place.data, place.settings)
    state = StateStore(place.data.state)
    try:
        made = first_administrator(state)
    finally:
        state.close()
    if made is not None:
        click.echo("The first administrator:\n")
        _secrets.show(made)
        click.echo("")


def commands(place: Place) -> dict[str, list[str]]:
    """The processes that the supervisor keeps running, by name."""
    collector = [sys.executable, "-m", "collector.process"]
    return {
        "store": [*collector, "store", *place.arguments()],
        "ingest": [*collector, "ingest", *place.arguments()],
        "detect": [*collector, "detect", *place.arguments()],
        "web": [sys.executable, "-m", "soc_api.process", *place.arguments()],
    }
