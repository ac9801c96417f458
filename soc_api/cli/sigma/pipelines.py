"""``vonggac sigma pipelines``: how events meet their log sources, and what a file's events would meet."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rules.engine import RuleError
from rules.engine.reading import read_events
from rules.logsources import Reader, load_pipelines, shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules.engine.routing import Sources
    from rules.logsources import Pipeline

_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)
#: How many kinds of events are listed, the most frequent first.
_SHOWN: Final = 40


@click.command("pipelines", epilog="Example: vonggac sigma pipelines linux-auditd --events audit.jsonl")
@click.argument("names", nargs=-1, metavar="[NAME|FILE]…")
@click.option("--events", type=_FILES, multiple=True, help="Count what the events of a file would meet.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def pipelines_command(names: tuple[str, ...], events: tuple[Path, ...], as_json: bool) -> None:
    """Show the pipelines that give events their log sources and field names.

    Without a name: which there are. With names or files: their services, categories and field names (a file is
    checked on the way). With --events: how many events of the files belong to which log source by them.
    """
    try:
        chosen = load_pipelines(names) if names else shipped()
        counts = _count(chosen, events) if events else None
    except RuleError as problem:
        raise click.ClickException(str(problem)) from problem
    if as_json:
        document: Any = [_as_json(each) for each in chosen]
        if counts is not None:
            document = {
                "pipelines": document,
                "events": [_count_json(*each) for each in counts.most_common()],
            }
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    elif counts is not None:
        _print_counts(counts)
    elif names:
        for each in chosen:
            _print_whole(each)
    else:
        for each in chosen:
            click.echo(f"{each.name:22} {each.description['en']}")
            click.echo(f"{'':22} {each.description['vi']}")


def _count(pipelines: Sequence[Pipeline], files: tuple[Path, ...]) -> Counter[Sources | None]:
    read = Reader(pipelines).read
    counts: Counter[Sources | None] = Counter()
    for path in files:
        for record in read_events(path):
            found = read(record)
            counts[found.sources if found is not None else None] += 1
    return counts


def _names(sources: Sources) -> tuple[list[str], list[str]]:
    return sorted(sources.services), sorted({category for category, _ in sources.categories})


def _count_json(sources: Sources | None, count: int) -> dict[str, Any]:
    if sources is None:
        return {"events": count, "known": False}
    services, categories = _names(sources)
    return {
        "events": count, "known": True, "product": sources.product, "services": services, "categories": categories,
    }  # fmt: skip


def _print_counts(counts: Counter[Sources | None]) -> None:
    for sources, count in counts.most_common(_SHOWN):
        if sources is None:
            click.echo(f"{count:>10,}  no pipeline knows these")
            continue
        services, categories = _names(sources)
        parts = [
            f"product {sources.product}" if sources.product else "",
            f"service {', '.join(services)}" if services else "",
            f"category {', '.join(categories)}" if categories else "",
        ]
        click.echo(f"{count:>10,}  {'; '.join(part for part in parts if part) or 'no log source'}")
    if len(counts) > _SHOWN:
        click.echo(f"{'':>10}  and {len(counts) - _SHOWN:,} kinds more: see --json", err=True)


def _as_json(pipeline: Pipeline) -> dict[str, Any]:
    return {
        "name": pipeline.name,
        "description": dict(pipeline.description),
        "product": pipeline.product,
        "path": pipeline.path,
        "applies": [
            {key: value for key, value in zip(("product", "category", "service"), each, strict=True) if value}
            for each in pipeline.applies
        ],
        "needs": list(pipeline.needs),
        "where": [str(each) for each in pipeline.where],
        "services": {
            name: [[str(each) for each in one] for one in alternatives]
            for name, alternatives in pipeline.services.items()
        },
        "categories": {
            name: [
                {
                    "service": way.service,
                    "where": [str(each) for each in way.where],
                    "fields": dict(way.renames),
                }
                for way in ways
            ]
            for name, ways in pipeline.categories.items()
        },
    }


def _print_whole(pipeline: Pipeline) -> None:
    click.echo(f"{pipeline.name}: {pipeline.description['en']}")
    click.echo(f"  {pipeline.description['vi']}")
    click.echo(f"  {pipeline.path}")
    if pipeline.product:
        click.echo(f"  product {pipeline.product}")
    if pipeline.needs or pipeline.where:
        needs = [f"{name} present" for name in pipeline.needs]
        click.echo(f"  only events with {', '.join([*needs, *map(str, pipeline.where)])}")
    for service, alternatives in pipeline.services.items():
        either = " or ".join(" and ".join(map(str, one)) or "always" for one in alternatives)
        click.echo(f"  service {service}: {either}")
    for category, ways in pipeline.categories.items():
        for way in ways:
            conditions = [*([f"service {way.service}"] if way.service else []), *map(str, way.where)]
            click.echo(f"  category {category}: {' and '.join(conditions) or 'always'}")
            for name, of in way.renames:
                click.echo(f"    {name} reads {of}")
