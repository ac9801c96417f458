"""``vonggac sigma hunt``: what a rule would have found in the events that are stored."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from collector.detect.logsources import pipelines
from collector.errors import CollectorError
from collector.state.base import utcnow
from soc_api.cli._place import Place, actor, as_json, echo_json, shown_time, table, with_place
from soc_api.cli.sigma._desk import find
from soc_api.errors import InvalidError
from soc_api.events_here import with_events
from soc_api.hunting.desk import HuntDesk
from soc_api.hunting.models import MOST_FOUND
from soc_api.rulebook.service import RuleDesk
from soc_api.services import live_book

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from collector.store.engine import Engine
    from soc_api.hunting.models import Answer, Found
    from soc_api.hunting.queries import Asks

_BAR: Final = 40
_STOPPED: Final = {
    "time": "stopped after --seconds; narrow --since, or give more seconds",
    "rows": "stopped: too many events would have to be looked at one by one; narrow --since or the rule",
    "cancelled": "stopped",
}


class _Here:
    """The store itself, where no server runs that owns it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, *, since: datetime | None = None
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self._engine.query(sql, parameters or {}, since))
        return rows


@click.command("hunt")
@click.argument("rule")
@click.option(
    "--since", default="30d", show_default=True, help="How long back (90m, 12h, 30d, 2w), or a day or moment."
)
@click.option("--until", default="", help="The same; default: now.")
@click.option(
    "--limit", type=click.IntRange(0, MOST_FOUND), default=20, show_default=True, help="Found events to show."
)
@click.option("--preview", is_flag=True, help="Only the hits a day, no events.")
@click.option("--include-simulated", is_flag=True, help="Look at events of simulated machines too.")
@click.option(
    "--seconds", type=click.IntRange(1, 86_400), default=600, show_default=True, help="Stop after so long."
)
@as_json
@with_place
def hunt_command(
    place: Place,
    rule: str,
    since: str,
    until: str,
    limit: int,
    preview: bool,
    include_simulated: bool,
    seconds: int,
    as_json: bool,
) -> None:
    """Run RULE (the id or name of a known rule, or a YAML file) over stored events.

    Shows how many hits each day would have had, and the newest of them: the same that the live engine finds in the
    same events. Days are those of receipt. Exit 0: looked through all; 1: stopped before, or it cannot be done.

    \b
    Examples:
      vonggac sigma hunt 5f0c8a53-5ea1-4f3c-9b1c-3f0f6e0c7d11 --since 7d
      vonggac sigma hunt my-rule.yml --since 30d --preview
      vonggac sigma hunt my-rule.yml --since 2026-11-01 --until 2026-11-08 --json
    """
    text, path = "", Path(rule)
    if path.suffix in (".yml", ".yaml"):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise click.ClickException(f"{rule}: cannot be read: {error}") from error

    def ask(store: Asks) -> Answer:
        with place.state() as state:
            live = live_book(place.data, place.settings, state, "cli")
            desk = HuntDesk(
                state, store, live, utcnow, actor(), pipelines=pipelines(place.settings.detect.pipelines)
            )
            rule_id = "" if text else find(RuleDesk(state, live, utcnow), rule)
            question = desk.question(
                since, until, limit=0 if preview else limit, simulated=include_simulated, seconds=seconds
            )
            return desk.run(question, rule_id=rule_id, text=text, tell=_progress())

    place.demand()
    try:
        answer = with_events(place.data, ask, lambda engine: ask(_Here(engine)))
    except InvalidError as error:
        raise click.ClickException(
            "; ".join(f"--{f.where.removeprefix('body.')}: {f.reason}" for f in error.faults)
        ) from error
    except CollectorError as error:
        raise click.ClickException(f"{rule}: {error}" if text else str(error)) from error
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    if as_json:
        echo_json({**asdict(answer), "found": [_plain(each) for each in answer.found]})
    else:
        _show(answer)
    if not answer.complete:
        raise click.exceptions.Exit(1)


def _progress() -> Callable[[float, int], None]:
    if not sys.stderr.isatty():
        return lambda _done, _hits: None
    return lambda done, hits: click.echo(f"\r\x1b[K{done:4.0%}  {hits:,} hits", err=True, nl=False)


def _show(answer: Answer) -> None:
    click.echo(f"{answer.title['en']}  ({answer.rule_id})")
    most = max((each.hits for each in answer.days), default=0)
    rows = [
        (each.day, f"{each.hits:,}", "█" * -(-each.hits * _BAR // most) if most else "")
        for each in answer.days
    ]
    table(("DAY", "HITS", ""), rows, "no day in this time")
    if answer.found:
        click.echo()
        table(("TIME", "MACHINE", "EVENT", "WHAT"), [_line(each) for each in answer.found], "")
    days = len(answer.days)
    click.echo(
        f"{answer.hits:,} hits in {days} days ({answer.hits / days:,.1f} a day), {answer.seconds:.1f} s"
        + (f", {answer.checked:,} events looked at one by one" if answer.checked else ""),
        err=True,
    )
    if not answer.complete:
        click.echo(
            f"{_STOPPED[answer.stopped]}. Looked at: {shown_time(answer.covered_since)} to"
            f" {shown_time(answer.covered_until)}",
            err=True,
        )


def _line(found: Found) -> tuple[object, ...]:
    host = found.fields.get("host")
    name = host.get("name") if isinstance(host, dict) else None
    what = next(
        (
            str(found.fields[key])[:100]
            for key in ("CommandLine", "Message", "TargetFilename", "TargetObject", "Image", "message")
            if found.fields.get(key)
        ),
        "",
    )
    group = ", ".join(f"{key}={value}" for key, value in found.group.items())
    return (
        found.time,
        name or found.endpoint_id,
        found.event_id,
        f"{found.events} events: {group}" if found.group else what,
    )


def _plain(found: Found) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}
