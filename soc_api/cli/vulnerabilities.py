"""``vonggac vulnerabilities``: feeds of known vulnerabilities, brought as files."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector.state.base import utcnow
from collector.state.scope import EVERYTHING
from collector.vulnerabilities import service
from collector.vulnerabilities.errors import FeedError
from collector.vulnerabilities.importing import import_feed, remove_feed
from soc_api.accounts import audit
from soc_api.cli._place import Place, actor, as_json, echo_json, shown_time, table, with_place

if TYPE_CHECKING:
    from collector.state.database import StateStore
    from collector.vulnerabilities.importing import Imported

_FAULTS_SHOWN = 5


@click.group(name="vulnerabilities", short_help="feeds of known vulnerabilities")
def group() -> None:
    """Bring feeds of known vulnerabilities, and see which there are. No network is used.

    \b
    Example:
      vonggac vulnerabilities import all.zip nvdcve-2.0-2026.json.gz known_exploited_vulnerabilities.json
    """


@group.command(name="import")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE…",
)
@click.option(
    "--name", default="", help="The name to keep the feed by, for one FILE; the old one of that name goes."
)
@click.option(
    "--force",
    is_flag=True,
    help="Also take a feed with under half the records of the one in use, or of which over a tenth cannot be read.",
)
@as_json
@with_place
def import_command(place: Place, files: tuple[Path, ...], name: str, force: bool, as_json: bool) -> None:
    """Take feeds from files: OSV's zip of a distribution (Debian, Ubuntu, AlmaLinux, Rocky Linux, Red Hat), the NVD's
    JSON 2.0, CISA's catalogue of exploited vulnerabilities; zipped, gzipped or plain.

    Each replaces the old one of its name at once when all of it is read, or not at all. Records that cannot be read are
    named and left out. One that looks cut short is refused (`--force`). Machines are matched anew by the running
    server. Exit 0: all taken; 1: not all.

    \b
    Example:
      vonggac vulnerabilities import debian/all.zip
    """
    if name and len(files) > 1:
        raise click.UsageError("--name is for one FILE")
    taken: list[Imported] = []
    failed = False
    with place.state() as state:
        for file in files:
            try:
                result = _import(state, file, name, force=force)
            except FeedError as error:
                failed = True
                click.echo(f"Error: {error}", err=True)
                continue
            taken.append(result)
            if not as_json:
                _tell(result)
    if as_json:
        echo_json([asdict(each) for each in taken])
    if failed:
        raise click.exceptions.Exit(1)


@group.command()
@as_json
@with_place
def show(place: Place, as_json: bool) -> None:
    """The feeds in use with their dates and numbers, and how many machines are matched with them. An old one is marked
    (`vulnerabilities.feed_days`).

    \b
    Example:
      vonggac vulnerabilities show
    """
    with place.state() as state, state.read() as session:
        feeds = service.list_feeds(session, utcnow(), place.settings.vulnerabilities.feed_days)
        progress = service.progress_of(session, EVERYTHING, {False, True})
    if as_json:
        echo_json({"feeds": [asdict(each) for each in feeds], "machines": asdict(progress)})
        return
    rows = [
        [f.name, "OLD" if f.old else "", f.newest_at, f.imported_at, f.records, f.left_out, f.refused, f.file]
        for f in feeds
    ]
    head = ("FEED", "", "NEWEST RECORD", "IMPORTED", "RECORDS", "LEFT OUT", "REFUSED", "FILE")
    table(head, rows, "none: bring one with `vonggac vulnerabilities import FILE…`")
    click.echo(
        f"{progress.examined:,} of {progress.machines:,} machines are matched with these feeds;"
        f" of {progress.unknown:,} nothing can be said",
        err=True,
    )


@group.command()
@click.argument("name")
@with_place
def remove(place: Place, name: str) -> None:
    """Take the feed NAME out of use.

    \b
    Example:
      vonggac vulnerabilities remove osv-debian
    """
    with place.state() as state:
        remove_feed(state, name)
        with state.write() as session:
            audit.record(session, utcnow(), actor(), "vulnerabilities.remove", name)


def _import(state: StateStore, file: Path, name: str, *, force: bool) -> Imported:
    def progress(records: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{file.name}: {records:,} records", nl=False, err=True)

    result = import_feed(state, file, actor(), name=name, force=force, progress=progress)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    if not result.unchanged:
        with state.write() as session:
            audit.record(
                session,
                utcnow(),
                actor(),
                "vulnerabilities.import",
                result.name,
                file=result.file,
                records=result.records,
                refused=result.refused,
                forced=force,
            )
    return result


def _tell(result: Imported) -> None:
    if result.unchanged:
        click.echo(f"{result.name}: this file is in use already")
        return
    click.echo(
        f"{result.name}: {result.records:,} records, the newest of {shown_time(result.newest_at)};"
        f" {result.left_out:,} are for other systems or withdrawn"
    )
    if result.refused:
        click.echo(f"{result.refused:,} records cannot be read and are left out:", err=True)
        for fault in result.faults[:_FAULTS_SHOWN]:
            click.echo(f"  {audit.encode(fault)}", err=True)
