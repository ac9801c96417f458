"""``vonggac sigma``: scan event files, check and test rules. One module a command."""

from __future__ import annotations

import click

from soc_api.cli.sigma import check, imports, scan, test


@click.group(name="sigma", short_help="scan event files, check and test rules")
def group() -> None:
    """Sigma rules: scan event files, check and test rules."""


for command in (scan.scan_command, check.check_command, test.test_command, imports.import_command):
    group.add_command(command)
