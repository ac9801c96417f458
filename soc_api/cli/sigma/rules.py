"""``vonggac sigma list``, ``show`` and ``stats``: what runs and how it fares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soc_api.cli._place import Place, as_json, echo_json, shown_time, table, with_place
from soc_api.cli.sigma._desk import desk, find
from soc_api.rulebook.service import SORTS, difference, figures_of

if TYPE_CHECKING:
    from collector.state.tables import RuleFigures
    from soc_api.rulebook.service import RuleLine, RuleView

_STATES = ("ok", "slow", "noisy", "refused", "disabled")
_ORIGINS = ("own", "folder", "imported", "local")


@click.command("list", epilog="Example: vonggac sigma list --state noisy")
@click.option("--text", default="", help="Only those with this in id, name, title or tags.")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--origin", type=click.Choice(_ORIGINS), help="Only those from there.")
@as_json
@with_place
def list_command(place: Place, text: str, state: str | None, origin: str | None, as_json: bool) -> None:
    """All rules: what runs, with which text, and in which state."""
    with desk(place) as rules:
        lines = [line for line in rules.lines() if _fits(line, text.casefold(), state, origin)]
        broken = rules.live.book.broken
    if as_json:
        echo_json([_json(line) for line in lines])
        return
    rows = [
        (
            line.entry.id,
            line.entry.info.level,
            line.state,
            line.entry.origin,
            line.entry.setting.revision or "shipped",
            line.entry.setting.throttle,
            line.entry.info.title["en"],
        )
        for line in lines
    ]
    table(
        ("ID", "LEVEL", "STATE", "ORIGIN", "REVISION", "AN HOUR", "TITLE"),
        rows,
        "no rule is like that: leave an option out",
    )
    if state in (None, "refused"):
        for each in broken:
            click.echo(f"refused: {each}", err=True)


@click.command("stats", epilog="Example: vonggac sigma stats --sort seconds --limit 10")
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="matches",
    show_default=True,
    help="Figures: the highest first.",
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many.")
@as_json
@with_place
def stats_command(place: Place, sort: str, limit: int, as_json: bool) -> None:
    """How rules fare: events offered, candidates, matches, findings held back, time spent, last match.

    The worker writes these every few seconds; they are summed over all its runs.
    """
    with desk(place) as rules:
        lines = rules.lines(sort)[:limit]
    if as_json:
        echo_json([_json(line) for line in lines])
        return
    rows = [
        (
            line.entry.id,
            line.state,
            *(getattr(line.figures, name, 0) for name in ("offered", "candidates", "matches", "throttled")),
            f"{getattr(line.figures, 'seconds', 0.0):.3f}",
            line.hour_matches,
            None if line.figures is None else shown_time(line.figures.last_match_at),
            line.entry.info.title["en"],
        )
        for line in lines
    ]
    head = (
        "ID",
        "STATE",
        "OFFERED",
        "CANDIDATES",
        "MATCHES",
        "HELD BACK",
        "SECONDS",
        "THIS HOUR",
        "LAST",
        "TITLE",
    )
    table(head, rows, "no rules: is this the right --data?")


@click.command("show", epilog="Example: vonggac sigma show 4b1e9a52 --diff 0")
@click.argument("rule")
@click.option("--revision", type=click.IntRange(0), help="The text of this revision (0: the shipped one).")
@click.option("--diff", "other", type=click.IntRange(0), help="How this revision differs from what runs.")
@click.option("--text", "only_text", is_flag=True, help="Only the rule's text, to edit and add again.")
@as_json
@with_place
def show_command(
    place: Place, rule: str, revision: int | None, other: int | None, only_text: bool, as_json: bool
) -> None:
    """One rule: its text, what was set and by whom, its revisions, and how it fares.

    RULE is an id, the beginning of one, or the rule's name.
    """
    with desk(place) as rules:
        rule_id = find(rules, rule)
        view = rules.view(rule_id)
        text = view.text if revision is None else rules.text_of(rule_id, revision)
        changed = None if other is None else difference(rules.text_of(rule_id, other), view.text)
    if as_json:
        echo_json(_whole(view, text, changed))
    elif changed is not None:
        click.echo(
            "\n".join(sign + line if sign != "@" else line for sign, line in changed) or "no difference"
        )
    elif only_text or revision is not None:
        click.echo(text.rstrip("\n"))
    else:
        _tell(view)


def _tell(view: RuleView) -> None:
    entry, setting, figures = view.entry, view.entry.setting, view.figures
    runs = f"revision {setting.revision}" if setting.revision else "shipped text"
    facts = [
        ("title", entry.info.title["en"]),
        ("", entry.info.title["vi"]),
        ("id", entry.id),
        ("state", view.state + (" (the worker has yet to take the last change)" if view.pending else "")),
        (
            "runs",
            f"{runs}, {entry.origin}" + (f", {entry.path}" if entry.path and not setting.revision else ""),
        ),
        ("level", entry.info.level),
        ("limit", "none" if setting.throttle is None else f"{setting.throttle} findings an hour"),
    ]
    if setting.changed_by:
        why = f": {setting.reason}" if setting.reason else ""
        facts.append(("changed", f"{shown_time(setting.changed_at)} by {setting.changed_by}{why}"))
    if view.refused is not None:
        facts.append(("refused", f"line {view.refused.line or '?'}: {view.refused.message}"))
    if figures is not None:
        counted = f"offered {figures.offered}, candidates {figures.candidates}, matches {figures.matches}"
        spent = f"held back {figures.throttled}, {figures.seconds:.3f} s, last {shown_time(figures.last_match_at)}"
        facts.append(("figures", f"{counted}, {spent}"))
    for name, value in facts:
        click.echo(f"{name + ':' if name else '':9} {value}")
    for row in view.revisions:
        mark = "*" if row.number == setting.revision else " "
        click.echo(f"{mark} revision {row.number}  {shown_time(row.created_at)}  {row.author}  {row.comment}")
    click.echo("\n" + view.text.rstrip("\n"))


def _fits(line: RuleLine, text: str, state: str | None, origin: str | None) -> bool:
    info = line.entry.info
    words = (info.id, info.name, *info.title.values(), *info.tags)
    return (
        (state is None or line.state == state)
        and (origin is None or line.entry.origin == origin)
        and (not text or any(text in word.casefold() for word in words))
    )


def _figures(row: RuleFigures | None) -> dict[str, Any]:
    return {name: value for name, value in figures_of(row).items() if name != "updated_at"}


def _json(line: RuleLine) -> dict[str, Any]:
    entry, figures = line.entry, line.figures
    return {
        "id": entry.id,
        "title": dict(entry.info.title),
        "kind": entry.kind,
        "level": entry.info.level,
        "origin": entry.origin,
        "state": line.state,
        "enabled": entry.setting.enabled,
        "revision": entry.setting.revision,
        "throttle": entry.setting.throttle,
        **_figures(figures),
        "hour_matches": line.hour_matches,
        "hour_microseconds": line.hour_microseconds,
    }


def _whole(view: RuleView, text: str, changed: list[tuple[str, str]] | None) -> dict[str, Any]:
    setting, figures = view.entry.setting, view.figures
    return {
        "id": view.entry.id,
        "title": dict(view.entry.info.title),
        "kind": view.entry.kind,
        "level": view.entry.info.level,
        "origin": view.entry.origin,
        "path": view.entry.path,
        "state": view.state,
        "pending": view.pending,
        "enabled": setting.enabled,
        "revision": setting.revision,
        "throttle": setting.throttle,
        "reason": setting.reason,
        "changed_by": setting.changed_by,
        "changed_at": setting.changed_at,
        "refused": "" if view.refused is None else view.refused.message,
        "refused_line": None if view.refused is None else view.refused.line or None,
        **_figures(figures),
        "revisions": [
            {name: getattr(row, name) for name in ("number", "author", "comment", "created_at")}
            for row in view.revisions
        ],
        "text": text,
        "difference": changed,
    }
