"""``vonggac audit``: who did what, and whether the log is whole."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from soc_api.accounts import audit
from soc_api.cli._place import Place, as_json, echo_json, table, with_place


@click.group(name="audit", short_help="who did what, and whether the log is whole")
def group() -> None:
    """Read the audit log, and check its chain.

    \b
    Example:
      vonggac audit verify
    """


@group.command(name="list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--actor", help="Only what this user did.")
@click.option("--action", help="Only this action, or all of a subject: `session`, `alert.close`.")
@as_json
@with_place
def list_entries(place: Place, limit: int, actor: str | None, action: str | None, as_json: bool) -> None:
    """The newest entries.

    \b
    Example:
      vonggac audit list --action session --limit 100
    """
    columns = ("id", "at", "actor", "action", "target", "address", "detail", "digest")
    with place.state() as state, state.read() as session:
        found = audit.entries(session, actor=actor, action=action, limit=limit)
        rows = [{column: getattr(entry, column) for column in columns} for entry in found]
    if as_json:
        echo_json(rows)
        return
    shown = [
        [*list(row.values())[:6], json.dumps(row["detail"], ensure_ascii=False) if row["detail"] else ""]
        for row in rows
    ]
    table(("ID", "AT", "WHO", "ACTION", "TARGET", "FROM", "DETAIL"), shown, "no entries")


@group.command()
@click.option(
    "--contains", metavar="DIGEST", help="A head digest noted earlier that must still be in the chain."
)
@as_json
@with_place
def verify(place: Place, contains: str | None, as_json: bool) -> None:
    """Check the whole chain. Exit status 1 where an entry was changed, removed or put in.

    A chain cannot show by itself that its end was cut off: note the head elsewhere, and give it to
    --contains.

    \b
    Example:
      vonggac audit verify --contains 3f…
    """
    with place.state() as state, state.read() as session:
        result = audit.verify(session, contains)
    whole = result.broken_at is None and result.contains
    if as_json:
        echo_json({**asdict(result), "whole": whole})
    elif whole:
        click.echo(f"{result.entries} entries, whole; head {result.head}")
    elif result.broken_at is not None:
        click.echo(
            f"BROKEN at entry {result.broken_at}: it or the one before was changed, removed or put in;"
            " compare with a backup",
            err=True,
        )
    else:
        click.echo("the digest is not in the chain: its end was cut off; compare with a backup", err=True)
    if not whole:
        raise click.exceptions.Exit(1)
