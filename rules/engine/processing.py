"""pySigma's processing pipelines, applied to rules as they are.

A pipeline is written for a backend that makes queries. What it does to the rule itself means the same here; what it
does to a query's text has nothing to work on. That is refused with its reason: with the pipeline where it can be told
from the pipeline alone, else with the rule that it would have changed in meaning.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml
from sigma.correlations import SigmaCorrelationCondition, SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.modifiers import SigmaExistsModifier, SigmaNegateModifier
from sigma.processing.conditions import (
    LogsourceCondition,
    RuleContainsDetectionItemCondition,
    RuleContainsFieldCondition,
)
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import (
    NestedProcessingTransformation,
    RegexTransformation,
    ValueListPlaceholderTransformation,
)
from sigma.processing.transformations.base import (
    DetectionItemTransformation,
    FieldMappingTransformationBase,
)
from sigma.processing.transformations.external import ExternalSourceBaseTransformation
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule
from sigma.types import SigmaExists, SigmaExpansion, SigmaNull, SigmaQueryExpression

from rules.engine.errors import RuleError
from rules.logsources.strict_yaml import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Rule = TypeVar("Rule", SigmaRule, SigmaCorrelationRule)

_SUFFIXES: Final = (".yml", ".yaml")
#: Conditions that look into the rules a correlation refers to, which are not at hand when one rule is worked on.
_ABOUT_RULES: Final = (LogsourceCondition, RuleContainsFieldCondition, RuleContainsDetectionItemCondition)
#: What pySigma lets through where a pipeline is not of the shape that it trusts.
_MALFORMED: Final = (TypeError, ValueError, AttributeError, KeyError, IndexError, RecursionError)


def load_pipelines(names_or_paths: Iterable[str | Path]) -> list[ProcessingPipeline]:
    """The pipelines of files and folders of YAML, and of installed pySigma packages by name (``sysmon``).

    Sorted as pySigma does it, by priority and then as given. Raise :class:`RuleError` where there is none of that
    name, one is broken, or one does what only makes sense for a query's text.
    """
    found: list[ProcessingPipeline] = []
    for each in names_or_paths:
        path = Path(each)
        if path.is_dir():
            files = [p for p in sorted(path.rglob("*")) if p.suffix in _SUFFIXES and p.is_file()]
            found.extend(parse(read_text(p), str(p)) for p in files)
        elif path.suffix in _SUFFIXES or path.is_file():
            found.append(parse(read_text(path), str(path)))
        else:
            found.append(_installed(str(each)))
    return sorted(found, key=lambda pipeline: pipeline.priority)


def placeholder_pipeline(values: Mapping[str, Sequence[str]]) -> ProcessingPipeline:
    """Gives placeholders (modifier ``expand``) their values; one that is not in ``values`` stays open."""
    item = ProcessingItem(transformation=ValueListPlaceholderTransformation(include=list(values)))
    return ProcessingPipeline(
        items=[item], vars={name: [str(each) for each in value] for name, value in values.items()}
    )


def apply(pipelines: Iterable[ProcessingPipeline], rule: Rule, *, detection_only: bool = False) -> Rule:
    """``rule`` itself, changed by all pipelines in turn.

    ``detection_only``: only what changes fields and values, not the log source or the condition as a whole (for a
    filter's detection, which is joined to rules that have had the rest).

    Raise :class:`RuleError` where a pipeline refuses the rule (``rule_failure`` and the like) or would change what it
    means. The rule may then be half changed: throw it away.
    """
    for pipeline in pipelines:
        try:
            _apply(pipeline, rule, detection_only)
        except RuleError as problem:
            raise RuleError(f"{_label(pipeline)}: {problem.reason}") from problem
        except (SigmaError, *_MALFORMED) as problem:
            raise RuleError(f"{_label(pipeline)}: {_one_line(problem)}") from problem
    if isinstance(rule, SigmaRule):
        for item in _items(rule):
            if any(isinstance(value, SigmaQueryExpression) for value in item.value):
                raise RuleError(
                    "a query expression stands for a placeholder; it is text for another system's queries. "
                    "Give the placeholder its values (value_placeholders)"
                )
    return rule


def _apply(pipeline: ProcessingPipeline, rule: Any, detection_only: bool) -> None:
    """What ``ProcessingPipeline.apply`` does, with a look at each item before it acts."""
    items = pipeline.items
    pipeline.items = []
    try:
        pipeline.apply(rule)  # with no items: only makes its state new
    finally:
        pipeline.items = items
    for item in items:
        if detection_only and not isinstance(item.transformation, DetectionItemTransformation):
            pipeline.applied.append(False)
            continue
        _check(item, rule)
        applied = item.apply(rule)
        pipeline.applied.append(applied)
        if applied and item.identifier:
            pipeline.applied_ids.add(item.identifier)


def _check(item: ProcessingItem, rule: SigmaRule | SigmaCorrelationRule) -> None:
    mapping = item.transformation
    if isinstance(mapping, NestedProcessingTransformation):
        for inner in _inner(mapping):
            _check(inner, rule)
    if not isinstance(mapping, FieldMappingTransformationBase):
        return
    if isinstance(rule, SigmaCorrelationRule):
        _check_correlation(item, mapping, rule)
        return
    if not item.match_rule_conditions(rule):
        return
    for detection_item in _items(rule):
        names = mapping.apply_field_name(detection_item.field)
        if not isinstance(names, list) or len(names) == 1 or not item.match_detection_item(detection_item):
            continue
        if not names:
            raise RuleError(f"{_item_label(item)} maps {detection_item.field!r} to no field at all")
        if _says_something_is_not(detection_item):
            raise RuleError(
                f"{_item_label(item)} maps {detection_item.field!r} to several fields ({', '.join(names)}), of which "
                "one would be enough; what the rule says of it (null, exists, neq) would then hold nearly always"
            )


def _check_correlation(
    item: ProcessingItem, mapping: FieldMappingTransformationBase, rule: SigmaCorrelationRule
) -> None:
    aliases = {alias.alias for alias in rule.aliases}
    named = [name for name in rule.group_by or () if name not in aliases]
    named += [name for alias in rule.aliases for name in alias.mapping.values()]
    if isinstance(rule.condition, SigmaCorrelationCondition) and rule.condition.fieldref:
        ref = rule.condition.fieldref
        named += ref if isinstance(ref, list) else [ref]
    mapped = {
        name: names for name in named if (names := mapping.apply_field_name(name)) not in (None, name, [name])
    }
    mapped = {name: names for name, names in mapped.items() if item.match_field_name(name)}
    if not mapped:
        return
    name = next(iter(mapped))
    conditions = item.rule_conditions
    for condition in conditions.values() if isinstance(conditions, dict) else conditions:
        if isinstance(condition, _ABOUT_RULES):
            raise RuleError(
                f"{_item_label(item)} would map the correlation's field {name!r} by what its rules are (log source or "
                "fields), which are not at hand here: give the mapping for correlations without that condition"
            )
    if not item.match_rule_conditions(rule):
        return
    for name, names in mapped.items():
        if isinstance(names, list) and len(names) != 1:
            raise RuleError(
                f"{_item_label(item)} maps the correlation's field {name!r} to {', '.join(names) or 'no field'}: "
                "events can be told apart by one field only"
            )


def _says_something_is_not(item: SigmaDetectionItem) -> bool:
    if SigmaNegateModifier in item.modifiers or SigmaExistsModifier in item.modifiers:
        return True
    return any(isinstance(value, (SigmaNull, SigmaExists)) for value in _flat(item.value))


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, SigmaExpansion):
            yield from _flat(value.values)
        else:
            yield value


def _items(rule: SigmaRule) -> Iterator[SigmaDetectionItem]:
    waiting: list[Any] = list(rule.detection.detections.values())
    while waiting:
        each = waiting.pop()
        if isinstance(each, SigmaDetection):
            waiting.extend(each.detection_items)
        else:
            yield each


def parse(text: str, path: str = "") -> ProcessingPipeline:
    """A pipeline of YAML text; ``path`` stands in errors."""
    try:
        yaml.safe_load(text)  # for its own words about what is wrong, with the line
        pipeline = ProcessingPipeline.from_yaml(text)
    except yaml.YAMLError as problem:
        raise RuleError(f"not YAML: {_one_line(problem)}", path) from problem
    except (SigmaError, *_MALFORMED) as problem:
        raise RuleError(f"no pySigma pipeline: {_one_line(problem)}", path) from problem
    pipeline.name = pipeline.name or Path(path).stem or None
    _refuse_text(pipeline, path)
    return pipeline


def _installed(name: str) -> ProcessingPipeline:
    # Here and not above: it imports the HTTP client that looks for plugins, which nobody else needs.
    from sigma.plugins import InstalledSigmaPlugins

    known = InstalledSigmaPlugins.autodiscover(include_backends=False, include_validators=False).pipelines
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"installed: {', '.join(sorted(known)) or 'none'}"
        raise RuleError(f"no pySigma pipeline is called {name!r} and no .yml file is; {hint}")
    try:
        pipeline = known[name]()
    except (SigmaError, *_MALFORMED) as problem:
        raise RuleError(f"the pySigma pipeline {name!r} cannot be made: {_one_line(problem)}") from problem
    pipeline.name = pipeline.name or name
    _refuse_text(pipeline, "")
    return pipeline


def _refuse_text(pipeline: ProcessingPipeline, path: str) -> None:
    """What can be told from the pipeline alone."""
    reasons: list[str] = []
    if pipeline.postprocessing_items:
        reasons.append("it changes the text of queries (postprocessing), which are not made here")
    if pipeline.finalizers:
        reasons.append("it puts queries together (finalizers), which are not made here")
    if pipeline.allowed_backends:
        names = ", ".join(sorted(pipeline.allowed_backends))
        reasons.append(f"it is only for the backends {names} (allowed_backends)")
    for item in _all_items(pipeline.items):
        if isinstance(item.transformation, ExternalSourceBaseTransformation):
            reasons.append(f"{_item_label(item)} fetches values from a file, an address or a command")
        elif isinstance(item.transformation, RegexTransformation):
            reasons.append(
                f"{_item_label(item)} turns values into regular expressions, which are searched anywhere in a field: "
                "what must be equal would only have to occur"
            )
    if reasons:
        raise RuleError(f"{_label(pipeline)} cannot be applied: {'; '.join(reasons)}", path)


def _all_items(items: Iterable[ProcessingItem]) -> Iterator[ProcessingItem]:
    for item in items:
        yield item
        if isinstance(item.transformation, NestedProcessingTransformation):
            yield from _all_items(_inner(item.transformation))


def _inner(nested: NestedProcessingTransformation) -> list[ProcessingItem]:
    return nested._nested_pipeline.items  # noqa: SLF001 - pySigma keeps them nowhere else


def _label(pipeline: ProcessingPipeline) -> str:
    return f"pipeline {pipeline.name!r}" if pipeline.name else "pipeline"


def _item_label(item: ProcessingItem) -> str:
    return f"{type(item.transformation).__name__} ({item.identifier})"


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
