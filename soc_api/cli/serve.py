"""``vonggac serve``: everything on one machine."""

from __future__ import annotations

import sys

import click

from collector.bootstrap import prepare
from collector.logging import set_up
from collector.probes import https_probe
from collector.serving import demand_free
from collector.state.database import open_state
from collector.supervisor import Supervisor, collector_commands
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
    if not prepare_only:
        set_up("serve")
        web, ingest = place.settings.web, place.settings.ingest
        authority = place.data.ca / "ca.crt"
        Supervisor(
            commands(place),
            lock=place.data.run / "serve.lock",
            ready=[
                https_probe(web.host, web.port, authority),
                https_probe(ingest.host, ingest.port, authority),
            ],
            before=lambda: _demand_ports(place),
            on_ready=lambda: click.echo(f"Vọng Gác: https://{_shown_host(web.host)}:{web.port}/", err=True),
        ).run()


def make_ready(place: Place) -> None:
    """Directory, authority, certificate, tables, and an administrator who is shown once. Idempotent."""
    prepare(place.data, place.settings)
    state = open_state(place.settings, place.data)
    try:
        made = first_administrator(state)
    finally:
        state.close()
    if made is not None:
        click.echo("Quản trị viên đầu tiên / the first administrator:\n")
        _secrets.show(made)
        click.echo("")


def commands(place: Place) -> dict[str, list[str]]:
    """The processes that the supervisor keeps running, by name."""
    web = [sys.executable, "-m", "soc_api.process", *place.arguments()]
    return {**collector_commands(place.data, place.settings, place.config), "web": web}


def _demand_ports(place: Place) -> None:
    """Raise where another program has one of our ports, before anything is started."""
    for listener in (place.settings.web, place.settings.ingest):
        demand_free(listener.host, listener.port)


def _shown_host(host: str) -> str:
    """Where to point a browser on this machine: the certificate carries ``localhost``."""
    return "localhost" if host in {"127.0.0.1", "::1", "0.0.0.0", "::", ""} else host  # noqa: S104 - compared
