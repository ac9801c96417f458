"""Pipelines: how an event meets its log sources, as data. ``docs/logsources.md`` describes the form.

A pipeline is one YAML file of ``rules/pipelines`` (or anybody's own). Here it is read and checked;
:mod:`rules.logsources.reading` runs it.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rules.engine.errors import RuleError
from rules.logsources.preparing import read_step
from rules.logsources.strict_yaml import Place, parse_yaml, read_yaml
from rules.logsources.when import Conditions, read_conditions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rules.engine.routing import Renames
    from rules.logsources.stepping import Step

#: Where the shipped pipelines lie.
FOLDER: Final = Path(__file__).parents[1] / "pipelines"
SUFFIXES: Final = (".yml", ".yaml")
#: How an event's JSON is turned into fields: as it is, or as Windows' two forms.
FORMS: Final = ("flat", "windows")
#: The keys of a file.
KEYS: Final = (
    "name", "description", "like", "applies", "product", "form", "needs", "where", "times", "prepare", "services",
    "categories",
)  # fmt: skip
_SOURCE_KEYS: Final = ("product", "category", "service")
_WAY_KEYS: Final = ("service", "where", "fields")


@dataclass(frozen=True, slots=True)
class Way:
    """One way by which an event comes into a category: it belongs to ``service`` (where named) and ``where`` holds.
    ``renames`` replace the field names of rules for events that come this way."""

    service: str
    where: Conditions
    renames: Renames


@dataclass(frozen=True, slots=True)
class Pipeline:
    """See ``docs/logsources.md``. ``services``: alternatives, each a conjunction. ``applies``: the log sources
    (product, category, service; ``""`` any) of agents' events that it looks at."""

    name: str
    description: Mapping[str, str]
    product: str
    path: str
    form: str = "flat"
    applies: tuple[tuple[str, str, str], ...] = ()
    needs: tuple[str, ...] = ()
    where: Conditions = ()
    times: tuple[str, ...] = ("@timestamp",)
    prepare: tuple[Step, ...] = ()
    services: Mapping[str, tuple[Conditions, ...]] = field(default_factory=dict)
    categories: Mapping[str, tuple[Way, ...]] = field(default_factory=dict)


def shipped() -> tuple[Pipeline, ...]:
    """The pipelines that come with the product, by name."""
    return tuple(_shipped().values())


@cache
def _shipped() -> dict[str, Pipeline]:
    found = [load_pipeline(path) for path in sorted(FOLDER.iterdir()) if path.suffix in SUFFIXES]
    return {each.name: each for each in found}


def find_pipeline(name_or_path: str) -> Pipeline:
    """A shipped pipeline by its name, or the file at a path. Raise :class:`RuleError` where there is neither."""
    found = _shipped().get(name_or_path)
    if found is not None:
        return found
    path = Path(name_or_path)
    if path.suffix in SUFFIXES or path.is_file():
        return load_pipeline(path)
    near = difflib.get_close_matches(name_or_path, _shipped(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(_shipped())}"
    raise RuleError(f"no pipeline and no .yml file is called {name_or_path!r}; {hint}")


def load_pipelines(names_or_paths: Iterable[str | Path]) -> tuple[Pipeline, ...]:
    """Those of names and files; a folder stands for the files in it. A name that is there twice is an error."""
    found: dict[str, Pipeline] = {}
    for each in names_or_paths:
        path = Path(each)
        files = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES) if path.is_dir() else []
        for pipeline in [load_pipeline(p) for p in files] if files else [find_pipeline(str(each))]:
            if pipeline.name in found:
                raise RuleError(
                    f"the name {pipeline.name!r} is taken by {found[pipeline.name].path}", pipeline.path
                )
            found[pipeline.name] = pipeline
    return tuple(found.values())


def load_pipeline(path: Path) -> Pipeline:
    """Read one file. Raise :class:`RuleError` with file and line for whatever the form does not know."""
    return _pipeline(read_yaml(path), str(path))


def parse_pipeline(text: str, path: str = "") -> Pipeline:
    """The same for YAML text."""
    return _pipeline(parse_yaml(text, path), path)


def _pipeline(place: Place, path: str) -> Pipeline:
    top = place.mapping(known=KEYS, required=("name", "description"))
    product = top["product"].text() if "product" in top else ""
    model = _model(top["like"]) if "like" in top else None
    services = dict(model.services) if model else {}
    if "services" in top:
        services.update(_services(top["services"]))
    categories = dict(model.categories) if model else {}
    if "categories" in top:
        categories.update(_categories(top["categories"], services))
    if not services and not categories:
        place.fail("a pipeline names services or categories, else no rule meets an event by it")
    if "applies" in top:
        applies = tuple(_source(each) for each in top["applies"].items())
    else:
        applies = ((product, "", ""),) if product else ()
    return Pipeline(
        name=top["name"].text(),
        description={
            language: each.text()
            for language, each in top["description"]
            .mapping(known=("en", "vi"), required=("en", "vi"))
            .items()
        },
        product=product,
        path=path,
        form=top["form"].choice(*FORMS) if "form" in top else "flat",
        applies=applies,
        needs=top["needs"].texts() if "needs" in top else (),
        where=read_conditions(top["where"]) if "where" in top else (),
        times=top["times"].texts() if "times" in top else ("@timestamp",),
        prepare=tuple(read_step(each) for each in top["prepare"].items()) if "prepare" in top else (),
        services=services,
        categories=categories,
    )


def _model(place: Place) -> Pipeline:
    """The shipped pipeline whose services and categories are taken over."""
    name = place.choice(*(path.stem for path in sorted(FOLDER.iterdir()) if path.suffix in SUFFIXES))
    raw = read_yaml(FOLDER / f"{name}.yml")
    if "like" in raw.mapping():
        place.fail(f"{name!r} is itself like another")
    return _pipeline(raw, str(FOLDER / f"{name}.yml"))


def _source(place: Place) -> tuple[str, str, str]:
    found = place.mapping(known=_SOURCE_KEYS)
    if not found:
        place.fail("a log source names a product, a category or a service")
    product, category, service = (found[key].text() if key in found else "" for key in _SOURCE_KEYS)
    return product, category, service


def _services(place: Place) -> dict[str, tuple[Conditions, ...]]:
    found: dict[str, tuple[Conditions, ...]] = {}
    for name, each in place.mapping().items():
        found[name] = tuple(read_conditions(one) for one in each.items())
        if not found[name]:
            each.fail("say when an event belongs to the service ({} for always)")
    return found


def _categories(place: Place, services: Mapping[str, object]) -> dict[str, tuple[Way, ...]]:
    found: dict[str, tuple[Way, ...]] = {}
    for name, each in place.mapping().items():
        found[name] = tuple(_way(one, services) for one in each.items())
        if not found[name]:
            each.fail("say when an event belongs to the category ({} for always)")
    return found


def _way(place: Place, services: Mapping[str, object]) -> Way:
    found = place.mapping(known=_WAY_KEYS)
    service = found["service"].choice(*services) if "service" in found else ""
    renames: list[tuple[str, str]] = []
    for name, each in found["fields"].mapping().items() if "fields" in found else ():
        renames.append((name, each.text()))
    return Way(service, read_conditions(found["where"]) if "where" in found else (), tuple(sorted(renames)))
