"""``vonggac sigma import``: take the rules of a release that somebody brought, or take the last one back."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from collector.state.base import utcnow
from rules.catalogue import LEVELS
from rules.importing import (
    Choices,
    Imported,
    ImportingError,
    Received,
    changes_between,
    known_sources,
    read_release,
    select,
)
from rules.importing.selection import STATUSES
from soc_api.accounts.audit import encode
from soc_api.cli._place import Place, actor, as_json, echo_json, with_place

if TYPE_CHECKING:
    from rules.importing import Changes, Manifest, Selection

_SHOWN: Final = 15
_REASONS: Final = {
    "not_received": "their data does not arrive here",
    "level": "below the chosen level",
    "status": "of another status",
    "own": "are our own rules already",
    "duplicate": "have an id that is taken",
    "reference": "are correlations without their rules",
    "broken": "cannot be loaded",
}


@click.command("import")
@click.argument("path", type=click.Path(exists=True, path_type=Path), required=False)
@click.option(
    "--level", type=click.Choice(LEVELS), default="medium", show_default=True, help="The lowest level taken."
)
@click.option("--status", "statuses", type=click.Choice(STATUSES), multiple=True, default=("stable", "test"),
              show_default=True, help="A status that is taken; several may be given.")  # fmt: skip
@click.option("--sources", type=click.Choice(("received", "agents", "all")),
              help="Take rules for data that has arrived here, that our agents can send, or any.  [default: received"
              " where there are events, else agents]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be taken.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--back", is_flag=True, help="Go back to the release before (again: forth).")
@as_json
@with_place
def import_command(
    place: Place, path: Path | None, level: str, statuses: tuple[str, ...], sources: str | None, dry_run: bool,
    yes: bool, back: bool, as_json: bool,
) -> None:  # fmt: skip
    """Take the rules of a release that was brought here: a folder or zip file, such as SigmaHQ's. No network is used.

    Says which rules apply to the data of this installation and which do not and why, and what an update changes,
    before anything is taken. A running server takes the new rules within a second. What was set for a rule
    (disabled, throttled, changed here) stays, because it goes by the rule's id. Exit 0: taken, or nothing to take;
    1: not.

    \b
    Examples:
      vonggac sigma import sigma-r2026-10-01.zip --dry-run
      vonggac sigma import sigma-r2026-10-01.zip --level high --status stable --status test
      vonggac sigma import --back
    """
    imported = Imported(place.data.imported_rules)
    if back == (path is not None):
        raise click.UsageError("name a release (a folder or zip file), or --back")
    if not dry_run:
        place.demand()
    if back:
        _go_back(place, imported, as_json)
        return
    assert path is not None  # noqa: S101 - checked above
    called, arriving = _received(place, sources)
    release = read_release(path)
    with tempfile.TemporaryDirectory(prefix="vonggac-import-") as staging:
        selection = select(release, Choices(level, statuses, arriving, called), Path(staging), _progress)
    before = _current(imported)
    changes = changes_between(before, selection.manifest)
    if as_json:
        echo_json(_answer(selection, before, changes, taken=not dry_run and yes))
    else:
        _tell(selection, before, changes)
    if dry_run:
        return
    if (
        before is not None
        and before.name == selection.manifest.name
        and not (changes.added or changes.changed)
    ):
        click.echo("this release is in use already, by the same choice", err=True)
        return
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise click.ClickException(
                "nothing was taken: look at it with --dry-run, then take it with --yes"
            )
        click.confirm(f"Take these {len(selection.manifest.chosen):,} rules?", abort=True, err=True)
    _take(place, imported, selection)
    if not as_json:
        click.echo(f"taken as {selection.manifest.name}; back with: vonggac sigma import --back", err=True)


def _received(place: Place, sources: str | None) -> tuple[str, Received]:
    if sources == "all":
        return "all", Received.everything()
    if sources in (None, "received") and place.data.events.exists():
        found = received_here(place)
        if found.counted or sources:
            return "received", found
    if sources == "received":
        raise click.ClickException(
            f"no events have arrived in {place.data.root}: choose --sources agents or all"
        )
    return "agents", known_sources()


def received_here(place: Place) -> Received:
    """What events have arrived with in this data directory, whether its server runs or not."""
    from collector.detect.logsources import pipelines
    from soc_api.events_here import with_events
    from soc_api.received import received

    known = pipelines(place.settings.detect.pipelines)
    return with_events(
        place.data,
        lambda client: received(client.query, utcnow(), known),
        lambda engine: received(
            lambda sql, values: msgspec.json.decode(engine.query(sql, values)), utcnow(), known
        ),
    )


def _take(place: Place, imported: Imported, selection: Selection) -> None:
    now = utcnow()
    imported.take(selection, now.isoformat())
    manifest = selection.manifest
    _record(
        place, manifest.name, release=manifest.release, digest=manifest.digest, rules=len(manifest.chosen),
        level=manifest.choice.level, statuses=manifest.choice.statuses, sources=manifest.choice.sources,
    )  # fmt: skip


def _go_back(place: Place, imported: Imported, as_json: bool) -> None:
    before = _current(imported)
    current = imported.back(utcnow().isoformat())
    _record(place, current.release, back_from=before.name if before else "")
    if as_json:
        echo_json(msgspec.to_builtins(current))
    else:
        click.echo(
            f"in use now: {current.release or 'no imported rules'}; forth with: vonggac sigma import --back"
        )


def _record(place: Place, name: str, **detail: Any) -> None:
    """Tell a running server, and the audit log, in one transaction."""
    from collector.rulebook.service import note
    from soc_api.accounts import audit

    with place.state() as state, state.write() as session:
        note(session, "", "import", actor(), utcnow(), detail=name)
        audit.record(session, utcnow(), actor(), "rules.import", name, **detail)


def _current(imported: Imported) -> Manifest | None:
    """What is in use; damaged counts as nothing, so that an import can put it right."""
    try:
        return imported.current()
    except ImportingError as problem:
        click.echo(str(problem), err=True)
        return None


def _answer(
    selection: Selection, before: Manifest | None, changes: Changes, *, taken: bool
) -> dict[str, Any]:
    manifest = selection.manifest
    return {
        "name": manifest.name,
        "release": manifest.release,
        "digest": manifest.digest,
        "choice": msgspec.to_builtins(manifest.choice),
        "taken": taken,
        "previous": before.name if before else None,
        "chosen": len(manifest.chosen),
        "not_chosen": {reason: dict(counts.most_common()) for reason, counts in selection.reasons().items()},
        "rules": msgspec.to_builtins(manifest.rules),
        "unreadable": msgspec.to_builtins(manifest.unreadable),
        "changes": asdict(changes),
    }


def _tell(selection: Selection, before: Manifest | None, changes: Changes) -> None:
    manifest = selection.manifest
    chosen = manifest.chosen
    levels = [f"{sum(rule.level == each for rule in chosen.values())} {each}" for each in reversed(LEVELS)]
    click.echo(f"{manifest.release}: {len(manifest.rules):,} rules")
    click.echo(
        f"{len(chosen):>7,}  chosen ({', '.join(each for each in levels if not each.startswith('0 '))})"
    )
    for reason, counts in sorted(selection.reasons().items(), key=lambda entry: -entry[1].total()):
        click.echo(f"{counts.total():>7,}  {_REASONS[reason]}")
        if reason != "broken":
            _lines(f"{number:>15,}  {_plain(detail)}" for detail, number in counts.most_common())
    _lines(
        f"{'':9}{_plain(rule.file)}:{rule.line or 1}: {_plain(rule.detail)}"
        for rule in manifest.rules.values()
        if rule.reason == "broken"
    )
    if manifest.unreadable:
        click.echo(f"{len(manifest.unreadable):>7,}  files or rules could not be read")
        _lines(f"{'':9}{_plain(each.file)}: {_plain(each.reason)}" for each in manifest.unreadable)
    if before is not None:
        _tell_changes(before, changes, manifest)


def _tell_changes(before: Manifest, changes: Changes, manifest: Manifest) -> None:
    click.echo(
        f"against {before.name}: {len(changes.added)} added, {len(changes.removed)} removed,"
        f" {len(changes.changed)} changed, {changes.unchanged:,} unchanged"
    )
    _lines(f"  + {each.id}  {_plain(each.title)} ({each.level})" for each in changes.added)
    _lines(
        f"  - {each.id}  {_plain(each.title)}: {_plain(each.why)}"
        + "".join(f"; now {key} {_plain(manifest.rules[key].title)}" for key in each.successors)
        for each in changes.removed
    )
    _lines(f"  ~ {each.id}  {_plain(each.title)}: {_plain(', '.join(each.what))}" for each in changes.changed)


def _lines(lines: Any) -> None:
    every = list(lines)
    for line in every[:_SHOWN]:
        click.echo(line)
    if len(every) > _SHOWN:
        click.echo(f"{'':9}… and {len(every) - _SHOWN:,} more (--json has all)")


def _plain(text: str) -> str:
    """Hostile text, harmless for a terminal."""
    return str(encode(text))


def _progress(step: str) -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K" if step == "compiled" else f"{step} …", err=True, nl=False)
