"""``vonggac sigma add``, ``enable``, ``disable``, ``revert`` and ``throttle``: change what runs, without a restart."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from collector.rulebook.errors import RuleRefusedError
from rules.evidence import evidence_path
from soc_api.cli._place import Place, as_json, echo_json, with_place
from soc_api.cli.sigma._desk import desk, find, tell

_TEXT = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_reason = click.option("--reason", default="", help="Why, for whoever reads this later.")


@click.command("add", epilog="Example: vonggac sigma add rare-login.yml --comment 'asked for by the audit'")
@click.argument("file", type=_TEXT)
@click.option(
    "--evidence", type=_FILE, help="Its evidence  [default: FILE.evidence.yml beside it, if there]."
)
@click.option("--comment", default="", help="What this text changes and why.")
@click.option(
    "--on",
    "based_on",
    type=click.IntRange(0),
    help="The revision that this text was made from; needed where the rule is known (0: the shipped text).",
)
@click.option("--dry-run", is_flag=True, help="Only check; store nothing.")
@as_json
@with_place
def add_command(
    place: Place, file: Path, evidence: Path | None, comment: str, based_on: int | None, dry_run: bool, as_json: bool
) -> None:  # fmt: skip
    """Let a rule run, or a new text of one: FILE holds one Sigma rule, correlation or filter; - reads it from a pipe.

    The text is checked as by `vonggac sigma check`, and its evidence is run; a broken one is refused with its line and
    nothing changes. A shipped rule that is given a new text here can be reverted to the shipped one.

    \b
    Change a rule:
      vonggac sigma show ID --text > rule.yml
      vonggac sigma add rule.yml --on 0
    """
    name = "-" if str(file) == "-" else str(file)
    text = sys.stdin.read() if name == "-" else _read(file)
    if evidence is None and name != "-" and evidence_path(file).is_file():
        evidence = evidence_path(file)
    proof = "" if evidence is None else _read(evidence)
    with desk(place) as rules:
        try:
            info, checked = rules.sound(text, proof)
        except RuleRefusedError as error:
            _refuse(error, name, str(evidence or ""), as_json)
            raise click.exceptions.Exit(1) from error
        for fault in checked.faults:
            click.echo(f"{name}:{fault.line}: {fault.severity}: {fault.message}", err=True)
        cases = f" ({checked.cases} cases of evidence hold)" if checked.cases else ""
        if not dry_run:
            revision, _ = rules.write(text, evidence=proof, comment=comment, based_on=based_on)
            done = f"{info.id}: revision {revision.number} stored{cases}"
            tell(place, rules, info.id, done, as_json, revision=revision.number)
        elif as_json:
            echo_json({"rule": info.id, "ok": True, "evidence_cases": checked.cases})
        else:
            click.echo(f"{info.id}: sound{cases}; nothing was stored")


@click.command("disable", epilog="Example: vonggac sigma disable 4b1e9a52 --reason 'fires on every backup'")
@click.argument("rule")
@click.option("--reason", required=True, help="Why, for whoever wonders later why the rule is silent.")
@as_json
@with_place
def disable_command(place: Place, rule: str, reason: str, as_json: bool) -> None:
    """Stop running a rule. Its alerts stay; `enable` brings it back."""
    with desk(place) as rules:
        rule_id = find(rules, rule)
        rules.disable(rule_id, reason)
        tell(place, rules, rule_id, f"{rule_id}: disabled", as_json)


@click.command("enable", epilog="Example: vonggac sigma enable 4b1e9a52")
@click.argument("rule")
@_reason
@as_json
@with_place
def enable_command(place: Place, rule: str, reason: str, as_json: bool) -> None:
    """Run a rule again that was disabled."""
    with desk(place) as rules:
        rule_id = find(rules, rule)
        rules.enable(rule_id, reason)
        tell(place, rules, rule_id, f"{rule_id}: enabled", as_json)


@click.command("revert", epilog="Example: vonggac sigma revert 4b1e9a52 --to 1")
@click.argument("rule")
@click.option(
    "--to", type=click.IntRange(0), required=True, help="The revision to run again; 0: the shipped text."
)
@_reason
@as_json
@with_place
def revert_command(place: Place, rule: str, to: int, reason: str, as_json: bool) -> None:
    """Let an earlier text of a rule run again. Newer ones are kept, and can be reverted to in turn."""
    with desk(place) as rules:
        rule_id = find(rules, rule)
        rules.revert(rule_id, to, reason)
        back = f"revision {to}" if to else "the shipped text"
        tell(place, rules, rule_id, f"{rule_id}: back to {back}", as_json, revision=to)


@click.command(
    "throttle", epilog="Example: vonggac sigma throttle 4b1e9a52 --an-hour 20 --reason 'a noisy printer'"
)
@click.argument("rule")
@click.option("--an-hour", "limit", type=click.IntRange(1, 1_000_000), help="Findings an hour at most.")
@click.option("--off", is_flag=True, help="No limit any more.")
@_reason
@as_json
@with_place
def throttle_command(
    place: Place, rule: str, limit: int | None, off: bool, reason: str, as_json: bool
) -> None:
    """Bound how often a rule may speak. What is held back is counted, and correlations still see it."""
    if (limit is None) != off:
        raise click.UsageError("give --an-hour N, or --off")
    with desk(place) as rules:
        rule_id = find(rules, rule)
        rules.throttle(rule_id, limit, reason)
        what = "no limit" if limit is None else f"{limit} findings an hour at most"
        tell(place, rules, rule_id, f"{rule_id}: {what}", as_json, findings_an_hour=limit)


@click.command("reload", epilog="Example: vonggac sigma reload")
@as_json
@with_place
def reload_command(place: Place, as_json: bool) -> None:
    """Take what has changed in the folders of [detect] rule_folders, without a restart.

    A file that cannot be read any more is refused: its line and reason are said here (exit 1), by `vonggac sigma
    list --state refused` and on the page of rules. The rules that ran of it run on until the server restarts. A
    rule that the engine refuses is said by `list` and `show`, and runs on likewise.
    """
    with desk(place) as rules:
        rules.reload()
        broken = rules.live.book.broken
        faults = [
            {"path": each.path, "line": each.fault.line, "reason": each.fault.message, "rules": each.rules}
            for each in broken
        ]
        tell(place, rules, "", "the folders of rules are looked at again", as_json, refused_files=faults)
    if not as_json:
        for each in broken:
            kept = f" (rules of it that stay as they were: {each.rules})" if each.rules else ""
            click.echo(f"refused: {each}{kept}", err=True)
    if broken:
        raise click.exceptions.Exit(1)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{path}: is not UTF-8 text: save it as UTF-8") from error


def _refuse(error: RuleRefusedError, text: str, evidence: str, as_json: bool) -> None:
    if as_json:
        faults = [{"part": each.part, "line": each.line, "message": each.message} for each in error.faults]
        echo_json({"ok": False, "faults": faults})
    for fault in error.faults:
        place = evidence if fault.part == "evidence" else text
        click.echo(f"{place}:{fault.line}: error: {fault.message}", err=True)
    click.echo("nothing was stored: correct this and repeat", err=True)
