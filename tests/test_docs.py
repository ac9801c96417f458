"""What README and docs say holds: commands exist, links lead somewhere, generated tables are up to date."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from itertools import takewhile
from typing import TYPE_CHECKING

import click
import pytest

from soc_api import docs_tables
from soc_api.cli import main
from soc_api.docs_tables import PROJECT, TABLES, documents, filled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DOCUMENTS = documents()
_NAMES = [str(path.relative_to(PROJECT)) for path in _DOCUMENTS]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PROGRAMS = ("vonggac", "vonggac-agent", "make")
_MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")

every_document = pytest.mark.parametrize("path", _DOCUMENTS, ids=_NAMES)


def _commands(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Program and words of every command that the document shows, in shell blocks and in single spans."""
    text = path.read_text(encoding="utf-8")
    shown = [
        line for kind, block in _FENCE.findall(text) if kind in {"sh", "shell"} for line in block.splitlines()
    ]
    shown += [
        span for span in _SPAN.findall(_FENCE.sub("", text)) if re.match(r"(sudo )?(vonggac|make )", span)
    ]
    for line in shown:
        for part in re.split(r"&&|[;|]", line.split(" # ")[0]):
            words = shlex.split(part.replace("…", " "), comments=True)
            if words[:1] == ["runuser"] and "--" in words:
                words = words[words.index("--") + 1 :]
            words = words[words[:1] == ["sudo"] :]
            program = words[0].rpartition("/")[2] if words else ""
            if program in _PROGRAMS:
                yield program, words[1:]


def _check_vonggac(words: list[str]) -> str:
    """What is wrong with a command line, empty where nothing is."""
    command: click.Command = main
    context = click.Context(main, info_name="vonggac")
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        if found is None:
            return f"no command {rest[0]!r}"
        command, context = found, click.Context(found, parent=context, info_name=rest.pop(0))
    known = {
        option
        for parameter in command.get_params(context)
        for option in parameter.opts + parameter.secondary_opts
    }
    wrong = [
        word for word in rest if word.startswith("--") and word.split("=")[0] not in known | {"--version"}
    ]
    return f"no option {', '.join(wrong)}" if wrong else ""


@functools.cache
def _agent_help(command: str) -> str:
    arguments = [*command.split(), "--help"]
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", *arguments], capture_output=True, text=True, cwd=PROJECT
    )
    return done.stdout if done.returncode == 0 else ""


def _check_agent(words: list[str]) -> str:
    command = " ".join(takewhile(lambda word: re.fullmatch("[a-z-]+", word) and word[0] != "-", words[:2]))
    text = _agent_help(command)
    if not text:
        return f"no command {command!r}"
    wrong = [word for word in words if word.startswith("--") and word.split("=")[0] not in text]
    return f"no option {', '.join(wrong)}" if wrong else ""


def _check_make(words: list[str]) -> str:
    targets = set(re.findall(r"^([a-z0-9-]+):", _MAKEFILE, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) [?:]?=", _MAKEFILE, re.MULTILINE)) | set(
        re.findall(r"\$\(([A-Z]+)\)", _MAKEFILE)
    )
    for word in words:
        name, is_variable, _ = word.partition("=")
        if is_variable and name not in variables:
            return f"no variable {name}"
        if not is_variable and name not in targets:
            return f"no target {name}"
    return ""


_CHECKS = {"vonggac": _check_vonggac, "vonggac-agent": _check_agent, "make": _check_make}


@every_document
def test_every_command_shown_exists(path: Path) -> None:
    wrong = [
        f"{program} {' '.join(words)}: {fault}"
        for program, words in _commands(path)
        if (fault := _CHECKS[program](words))
    ]
    assert not wrong


def test_the_check_of_commands_sees_wrong_ones() -> None:
    assert _check_vonggac(["report", "coverage", "--colour"])
    assert _check_vonggac(["reprot"])
    assert _check_agent(["run", "--fast"])
    assert _check_agent(["fly"])
    assert _check_agent(["update", "apply", "--fast"])
    assert not _check_agent(["update", "apply", "--again", "FILE"])
    assert _check_make(["fly"])
    assert not _check_vonggac(["report", "coverage", "--agency", "all"])
    assert not _check_agent(["once", "--dry-run"])
    assert not _check_make(["run", "SIMULATE=500"])


def test_commands_are_found_in_blocks_and_in_text(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Run `sudo vonggac-agent status`.\n```sh\ncd x && .venv/bin/vonggac serve --data d\nmake run\n```\n"
    )
    assert list(_commands(page)) == [
        ("vonggac", ["serve", "--data", "d"]),
        ("make", ["run"]),
        ("vonggac-agent", ["status"]),
    ]


def _anchors(path: Path) -> set[str]:
    """The ids that a heading gets where Markdown is shown with links to headings."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        found.add(plain.strip().replace(" ", "-"))
    return found


@every_document
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    wrong = []
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
            wrong.append(link)
    assert not wrong


@every_document
def test_generated_tables_are_up_to_date(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert filled(text) == text, "run `make docs`"


def test_every_generated_table_is_shown_somewhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in _DOCUMENTS)
    missing = [name for name in TABLES if f"<!-- {name}:begin -->" not in text]
    assert not missing


@pytest.mark.parametrize("name", ["settings", "agent-settings"])
def test_every_setting_says_what_it_is_for(name: str) -> None:
    rows = TABLES[name]().splitlines()[2:]
    assert rows
    silent = [row for row in rows if not row.split("|")[3].strip()]
    assert not silent


def test_a_table_cell_cannot_break_the_table() -> None:
    assert docs_tables.table(["a"], [["x|y\nz"]]).splitlines()[2] == "| x\\|y z |"


def test_every_decision_is_in_the_list_of_decisions() -> None:
    listed = (PROJECT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    records = sorted((PROJECT / "docs" / "adr").glob("0*.md"))
    assert records
    for number, record in enumerate(records, 1):
        text = record.read_text(encoding="utf-8")
        assert record.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        assert f"]({record.name})" in listed
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequences"))
