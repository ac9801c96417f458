"""Fills the generated tables of README and docs from the code they describe.

``python -m soc_api.docs_tables --write`` writes them, ``--check`` fails where one is out of date. A table stands
between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->`` in a Markdown file; ``NAME`` is a key of :data:`TABLES`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml
from sigma.validators.core import validators as known_validators

from collector.settings import Settings
from collector.watch.concerns import CONCERNS
from rules.catalogue import OWN_RULES, load_catalogue
from rules.logsources import Pipeline, shipped
from rules.validators import CHECKS
from soc_api.accounts.permissions import PERMISSIONS, Permission, Role
from soc_api.pages.collector_words import CONCERN_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PROJECT: Final = Path(__file__).resolve().parents[1]
_SECTION: Final = re.compile(r"(<!-- ([a-z-]+):begin -->\n).*?(<!-- \2:end -->)", re.DOTALL)
#: More services or categories than this are counted, not named.
_MANY: Final = 14
#: The agent is asked as a program, because nothing here may import it.
_AGENT_SCHEMA: Final = (
    "import json, msgspec; from agent.settings import Settings; "
    "print(json.dumps(msgspec.json.schema_components([Settings])[1]))"
)
_WINDOWS_COLLECTORS: Final = (
    "import json; from agent.collectors.registry import load_collectors; "
    "print(json.dumps([{'name': c.name, 'interval_seconds': c.interval_seconds, 'description': c.description, "
    "'privileges': c.privileges} for c in load_collectors('win32')]))"
)


def collectors() -> str:
    """What the agent observes: its own list, by ``vonggac-agent check-config``."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as empty:
        listed = json.loads(_python("-m", "agent.cli", "check-config", "--json", "--config", empty.name))
    rows = []
    for each in listed["collectors"]:
        right, _, why = each["privileges"].partition(": ")
        needs = "–" if right == "none" else f"{right}: {why}"
        rows.append([f"`{each['name']}`", _every(each["interval_seconds"]), each["description"], needs])
    return table(["collector", "every", "what it reports", "needs"], rows)


def windows_collectors() -> str:
    """What the agent observes on Windows: the list of that platform's modules."""
    rows = []
    for each in json.loads(_python("-c", _WINDOWS_COLLECTORS)):
        right, _, why = each["privileges"].partition(": ")
        needs = "–" if right == "none" else why
        rows.append([f"`{each['name']}`", _every(each["interval_seconds"]), each["description"], needs])
    return table(["collector", "every", "what it reports", "why it needs an administrator"], rows)


def rules() -> str:
    """Our own rules, in the order of their files."""
    shown = [rule for rule in load_catalogue([OWN_RULES]).values() if not rule.internal]
    rows = [
        [
            rule.title["vi"],
            rule.title["en"],
            rule.level,
            " ".join(rule.targets) or "–",
            " ".join(rule.techniques) or "–",
        ]
        for rule in shown
    ]
    return table(["quy tắc", "rule", "level", "plan targets", "ATT&CK"], rows)


def settings() -> str:
    return _settings(msgspec.json.schema_components([Settings])[1], "VONGGAC")


def agent_settings() -> str:
    return _settings(json.loads(_python("-c", _AGENT_SCHEMA)), "VONGGAC_AGENT")


def concerns() -> str:
    """What the collector watches of itself, and the alerts that its marks lead to."""
    texts = [
        (f"{rule.title['en']} ({rule.level})", Path(rule.path).read_text(encoding="utf-8"))
        for rule in load_catalogue([OWN_RULES / "collector"]).values()
    ]
    rows = []
    for concern in CONCERNS.values():
        alerts = [said for said, text in texts if concern.field in text]
        marks = ", ".join(f"{'<' if concern.falling else '≥'} {mark:g}" for mark in concern.marks)
        said = [CONCERN_NAMES[concern.name], f"`{concern.field}`", marks, "; ".join(alerts)]
        rows.append(said)
    return table(["what", "field", "marks", "alerts"], rows)


def permissions() -> str:
    """Which role may do what."""
    roles = list(Role)
    rows = [
        [f"`{permission}`", *("✓" if permission in PERMISSIONS[role] else "" for role in roles)]
        for permission in Permission
    ]
    return table(["permission", *(role.value for role in roles)], rows)


def commands() -> str:
    """The commands of ``vonggac``, each with its one line."""
    import click

    from soc_api.cli import main

    context = click.Context(main, info_name="vonggac")
    rows = []
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None  # noqa: S101 - it was listed
        inner = (
            ", ".join(f"`{each}`" for each in command.list_commands(context))
            if isinstance(command, click.Group)
            else ""
        )
        rows.append([f"`vonggac {name}`", command.get_short_help_str(120), inner])
    return table(["command", "what", "its own commands"], rows)


def pipelines() -> str:
    """The shipped pipelines: what each reads, and what its events can be."""
    rows = []
    for each in shipped():
        every = [f"{len(names)} {what}" for names, what in _many(each) if len(names) > _MANY]
        named = [
            ", ".join(f"`{name}`" for name in names) for names, _ in _many(each) if 0 < len(names) <= _MANY
        ]
        rows.append(
            [f"`{each.name}`", each.description["en"], each.product or "–", "; ".join([*named, *every])]
        )
    return table(["pipeline", "reads", "product", "gives"], rows)


def checks() -> str:
    """pySigma's validators: which run, how serious what they find is, and why others do not."""
    data = yaml.safe_load(CHECKS.read_text(encoding="utf-8"))
    rows = [
        [f"`{name}`", severity, _first_line(known_validators[name])]
        for name, severity in data["validators"].items()
    ]
    rows += [[f"`{name}`", "left out", why] for name, why in data["left_out"].items()]
    return table(["validator", "severity", "what it finds, or why it does not run"], rows)


def _first_line(thing: object) -> str:
    return " ".join((thing.__doc__ or "").strip().partition("\n\n")[0].split()).rstrip(".")


def _many(pipeline: Pipeline) -> list[tuple[list[str], str]]:
    return [(list(pipeline.services), "services"), (list(pipeline.categories), "categories")]


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "collectors": collectors,
    "windows-collectors": windows_collectors,
    "rules": rules,
    "settings": settings,
    "agent-settings": agent_settings,
    "permissions": permissions,
    "concerns": concerns,
    "commands": commands,
    "pipelines": pipelines,
    "checks": checks,
}


def _settings(definitions: Mapping[str, Any], prefix: str) -> str:
    rows = []
    for section, reference in definitions["Settings"]["properties"].items():
        keys = definitions[reference["$ref"].rpartition("/")[2]]["properties"]
        for key, value in keys.items():
            default = json.dumps(value["default"], ensure_ascii=False)
            variable = f"{prefix}_{section}_{key}".upper()
            rows.append(
                [f"`[{section}] {key}`", f"`{default}`", value.get("description", ""), f"`{variable}`"]
            )
    return table(["key", "default", "what", "environment"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def _every(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    return done.stdout


def documents() -> list[Path]:
    """Every Markdown file that people read, in a fixed order."""
    return [
        *sorted(PROJECT.glob("*.md")),
        *sorted((PROJECT / "docs").rglob("*.md")),
        *sorted((PROJECT / "ansible").rglob("*.md")),
    ]


def filled(text: str) -> str:
    """``text`` with every marked section made anew.

    Raises:
        KeyError: a section asks for a table that there is none of.
    """
    return _SECTION.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m soc_api.docs_tables", description="The generated tables of README and docs."
    )
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--write", action="store_true", help="write them")
    group.add_argument("--check", action="store_true", help="fail where one is out of date")
    arguments = parser.parse_args(argv)
    stale = []
    for path in documents():
        text = path.read_text(encoding="utf-8")
        made = filled(text)
        if made != text:
            stale.append(path)
            if arguments.write:
                path.write_text(made, encoding="utf-8")
    for path in stale:
        verdict = "written" if arguments.write else "out of date: run `make docs`"
        sys.stdout.write(f"{path.relative_to(PROJECT)}: {verdict}\n")
    return int(bool(stale) and not arguments.write)


if __name__ == "__main__":
    sys.exit(main())
