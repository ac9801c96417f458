"""``vonggac sigma new``: begin a rule, with an id of its own and evidence to fill in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import click

from rules.evidence import evidence_path

_RULE: Final = """\
title: {title}
id: {id}
status: test
description: What happens, and why somebody should look.
author: {author}
date: {date}
tags: [attack.execution, attack.t1059.004]
logsource: {{product: linux, category: process_creation}}
detection:
  selection:
    Image|endswith: /example
  condition: selection
falsepositives:
  - When it is a false alert
level: medium
vonggac:
  title_vi: Tên quy tắc
  description_vi: Điều gì xảy ra, và vì sao cần xem.
  falsepositives_vi:
    - Khi nào là cảnh báo nhầm
  triage:
    vi:
      - Việc cần làm trước tiên.
    en:
      - What to do first.
  targets: [TB112-11]
  subject: [host.id]
"""
_EVIDENCE: Final = """\
fires:
  - why: What must fire it
    events:
      - {Image: /usr/bin/example, CommandLine: example, User: lan}
near_misses:
  - why: What narrowly must not
    events:
      - {Image: /usr/bin/examples, CommandLine: examples, User: lan}
"""


@click.command("new")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--title", default="A new rule", show_default=True, help="The rule's English title.")
@click.option("--author", default="Vọng Gác", show_default=True)
def new_command(path: Path, title: str, author: str) -> None:
    """Write a rule to begin with, and its evidence beside it. Neither file may exist.

    \b
    Example:
      vonggac sigma new execution_example.yml --title "Example started"
    """
    beside = evidence_path(path)
    for each in (path, beside):
        if each.exists():
            raise click.ClickException(f"{each} exists: name another file")
    if path.suffix not in (".yml", ".yaml"):
        raise click.ClickException(f"{path} is no YAML file: let its name end in .yml")
    text = _RULE.format(
        title=_quoted(title), id=uuid4(), author=_quoted(author), date=datetime.now(UTC).date().isoformat()
    )
    path.write_text(text, encoding="utf-8")
    beside.write_text(_EVIDENCE, encoding="utf-8")
    click.echo(f"{path}\n{beside}")
    click.echo(f"next: vonggac sigma check {path} && vonggac sigma test {path}", err=True)


def _quoted(text: str) -> str:
    """As a YAML scalar that nothing in it can leave."""
    plain = " ".join(text.split())
    return "'" + plain.replace("'", "''") + "'" if not plain.replace(" ", "").isalnum() else plain
