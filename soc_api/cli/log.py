"""``vonggac log``: the durable log on machines of its own."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from soc_api.cli._place import Place, as_json, echo_json, with_place


@click.group(short_help="the durable log on machines of its own")
def group() -> None:
    """The durable log on NATS JetStream, shared by several collectors (docs/scale.md)."""


@group.command()
@click.argument("addresses", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("log-servers"),
    show_default=True,
    help="The folder to write.",
)
@as_json
@with_place
def servers(place: Place, addresses: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Write configuration and certificates for NATS servers at ADDRESSES (one, three or five), and what the collector
    needs to reach them. Changes nothing that runs.

    \b
    Example:
      vonggac log servers --data /var/lib/vonggac 10.0.0.11 10.0.0.12 10.0.0.13
    """
    from collector.log.jetstream.servers import write_servers
    from collector.state.base import utcnow

    place.demand()
    written = write_servers(out, place.data, addresses, place.settings.log.max_bytes, utcnow())
    if as_json:
        echo_json({"servers": [str(path) for path in written.servers], "settings": str(written.settings)})
        return
    for address, folder in zip(addresses, written.servers, strict=True):
        click.echo(f"{address}: copy {folder} to /etc/nats there")
    click.echo(f"then, with the collector stopped, append {written.settings} to its settings:")
    click.echo(f"  cat {shlex.quote(str(written.settings))} >> {shlex.quote(str(place.data.settings))}")
