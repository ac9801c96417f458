"""``vonggac doctor``: what is wrong, and what to do."""

from __future__ import annotations

from dataclasses import asdict

import click

from collector.state.base import utcnow
from soc_api.cli._place import Place, as_json, echo_json, with_place

_SIGNS = {"ok": "✓", "warning": "!", "failure": "✗"}


@click.command(short_help="what is wrong, and what to do")
@as_json
@with_place
def command(place: Place, as_json: bool) -> None:
    """Look at rights, certificates, disk, clock, stores, processes and the pipeline; say what to do.

    Changes nothing. Exit status 1 where something has failed.

    \b
    Example:
      vonggac doctor --data /var/lib/vonggac
    """
    from soc_api.doctor import examine

    checks = examine(place.data, place.settings, utcnow())
    failed = any(check.state == "failure" for check in checks)
    if as_json:
        echo_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            advice = f"  → {check.advice}" if check.advice else ""
            click.echo(f"{_SIGNS[check.state]} {check.name.ljust(width)}  {check.finding}{advice}")
    if failed:
        raise click.exceptions.Exit(1)
