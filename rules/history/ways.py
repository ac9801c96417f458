"""Which stored events are offered to a log source, and with which renames: what :class:`rules.logsources.LogSources`
does to one event, as conditions on all of them.

An event's own product, category and service are columns; conditions ask for them by the names below, which no event's
field can have (the store keeps no NUL).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rules.engine.conditions import ANY_ONE, ANY_RUN, And, Field, Node, Not, Null, Or, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rules.engine.ruleset import LogSource
    from rules.logsources.pipelines import Pipeline
    from rules.logsources.when import Condition

PRODUCT: Final = "\0product"
CATEGORY: Final = "\0category"
SERVICE: Final = "\0service"
_LABELS: Final = (PRODUCT, CATEGORY, SERVICE)
#: Conditions that hold for every event, and for none.
ALWAYS: Final[Node] = And(())
NEVER: Final[Node] = Or(())


@dataclass(frozen=True, slots=True)
class Way:
    """Events for which ``condition`` holds are offered; ``renames``: the rule's field name to the event's."""

    condition: Node
    renames: Mapping[str, str] = field(default_factory=dict)


def ways_to(wanted: LogSource, pipelines: Iterable[Pipeline] = ()) -> tuple[Way, ...]:
    """The ways to what a rule's log source names, by what events say of themselves and what ``pipelines`` add."""
    every = list(pipelines)
    if not wanted.product:
        return _ways(wanted, ALWAYS, every, None)
    named = _ways(wanted, _label(PRODUCT, wanted.product), every, wanted.product)
    # An event that names no product has that of the first pipeline that knows it and has one.
    earlier: list[Node] = []
    given: list[Node] = []
    for pipeline in every:
        if pipeline.product:
            applies = _applies(pipeline, "")
            if pipeline.product == wanted.product:
                given.append(_all([applies, *map(Not, earlier)]))
            if applies != NEVER:
                earlier.append(applies)
    return (*named, *_ways(wanted, _all([_label(PRODUCT, ""), _any(given)]), every, ""))


def _ways(
    wanted: LogSource, product: Node, pipelines: Sequence[Pipeline], known: str | None
) -> tuple[Way, ...]:
    """Those of events for which ``product`` holds; ``known``: what they say their product is."""
    applied = [(each, where) for each in pipelines if (where := _applies(each, known)) != NEVER]
    base = _all([product, _service(wanted.service, applied)])
    if base == NEVER:
        return ()
    if not wanted.category:
        return (Way(base),)
    found = [
        (
            _all([where, _service_of(pipeline, way.service), *map(_condition, way.where)]),
            dict(way.renames),
        )
        for pipeline, where in applied
        for way in pipeline.categories.get(wanted.category, ())
    ]
    # A category that an event names itself counts as the pipeline's where that has it too, with its renames.
    own = _all([_label(CATEGORY, wanted.category), *(Not(condition) for condition, _ in found)])
    ways = [*((_all([base, condition]), renames) for condition, renames in found), (_all([base, own]), {})]
    return tuple(Way(condition, renames) for condition, renames in ways if condition != NEVER)


def _service(name: str, applied: Sequence[tuple[Pipeline, Node]]) -> Node:
    if not name:
        return ALWAYS
    given = [_all([where, _service_of(pipeline, name)]) for pipeline, where in applied]
    return _any([_label(SERVICE, name), *given])


def _service_of(pipeline: Pipeline, name: str) -> Node:
    if not name:
        return ALWAYS
    return _any([_all([_condition(each) for each in every]) for every in pipeline.services.get(name, ())])


def _applies(pipeline: Pipeline, product: str | None) -> Node:
    """The pipeline looks at the event, and knows it; ``product``: what the event says its product is, if known."""
    sources = [
        _all([_has(name, value, product) for name, value in zip(_LABELS, source, strict=True) if value])
        for source in pipeline.applies
    ]
    own = ALWAYS
    if pipeline.product and product is None:
        own = _any([_label(PRODUCT, pipeline.product), _label(PRODUCT, "")])
    elif pipeline.product and product not in ("", pipeline.product):
        own = NEVER
    needs = [Field(name, (Text((ANY_ONE, ANY_RUN)),)) for name in pipeline.needs]
    return _all([_any(sources), own, *needs, *map(_condition, pipeline.where)])


def _has(name: str, value: str, product: str | None) -> Node:
    if name == PRODUCT and product is not None:
        return ALWAYS if value == product else NEVER
    return _label(name, value)


def _condition(condition: Condition) -> Node:
    if condition.values is not None:
        texts = [Text((each,)) if each else Text(()) for each in sorted(condition.values)]
        field = Field(condition.field, tuple(texts))
        return Not(field) if condition.negated else field
    absent = Field(condition.field, (Null(),))
    return Not(absent) if condition.present else absent


def _label(name: str, value: str) -> Node:
    return Field(name, (Text((value,)) if value else Text(()),))


def _all(nodes: Sequence[Node]) -> Node:
    if NEVER in nodes:
        return NEVER
    kept = tuple(dict.fromkeys(each for each in nodes if each != ALWAYS))
    return kept[0] if len(kept) == 1 else And(kept)


def _any(nodes: Sequence[Node]) -> Node:
    if ALWAYS in nodes:
        return ALWAYS
    kept = tuple(dict.fromkeys(each for each in nodes if each != NEVER))
    return kept[0] if len(kept) == 1 else Or(kept)
