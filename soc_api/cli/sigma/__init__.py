"""``vonggac sigma``: scan event files; check, test, import and change rules

One module a family of commands.
"""

from __future__ import annotations

import click

from soc_api.cli.sigma import attack, changes, check, hunt, imports, new, pipelines, rules, scan, test


@click.group(name="sigma", short_help="scan event files; check, test, import and change rules")
def group() -> None:
    """Sigma rules: scan event files; check, test and import rules; see and change what runs."""


for command in (
    scan.scan_command,
    hunt.hunt_command,
    pipelines.pipelines_command,
    attack.attack_command,
    new.new_command,
    check.check_command,
    test.test_command,
    imports.import_command,
    rules.list_command,
    rules.show_command,
    rules.stats_command,
    changes.add_command,
    changes.enable_command,
    changes.disable_command,
    changes.revert_command,
    changes.throttle_command,
    changes.reload_command,
):
    group.add_command(command)
