"""``vonggac bench``: measure speed and memory on this machine."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import click

from soc_api.bench.registry import all_benchmarks, row


@click.command(name="bench", short_help="Measure speed and memory on this machine.")
@click.argument("names", nargs=-1)
@click.option(
    "--json", "target", type=click.Path(path_type=Path, dir_okay=False), help="Also write the figures there."
)
@click.option("--list", "list_only", is_flag=True, help="Say which measurements there are.")
def command(names: tuple[str, ...], target: Path | None, list_only: bool) -> None:
    """Measure speed and memory on this machine: NAMES, or all. Exit code 1 where a goal is missed.

    \b
    Examples:
      vonggac bench agent.idle --json bench.json
      VONGGAC_BENCH_SECONDS=60 vonggac bench agent.idle    (shorter, so less sure)
    """
    known = all_benchmarks()
    if list_only:
        for each in known.values():
            click.echo(f"{each.name:20} {each.summary}")
        return
    for name in names:
        if name not in known:
            raise click.UsageError(f"no measurement is called {name!r}; there are: {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped too
    rows = []
    for each in [known[name] for name in names] or known.values():
        click.echo(f"{each.name}: {each.summary}", err=True)
        for figure in each.measure(_tell):
            rows.append(row(each, figure))
            verdict = {None: "", True: "met", False: "MISSED"}[figure.ok]
            click.echo(f"{each.name:20} {figure.value:>10} {figure.unit} (goal: {figure.goal}) {verdict}")
    if target is not None:
        target.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if any(each["ok"] is False for each in rows):
        sys.exit(1)


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)
