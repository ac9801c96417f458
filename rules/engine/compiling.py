"""One file's YAML to compiled rules, by pySigma. What is broken is refused by itself, and the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.rule import SigmaLogSource, SigmaRule

from rules.engine import modifiers as _modifiers  # noqa: F401 - registers what pySigma's table lacks
from rules.engine.conditions import And, Node
from rules.engine.correlation_plan import CorrelationPlan, plan_of
from rules.engine.errors import Refusal, RuleError
from rules.engine.predicates import compares_fields, witness_of
from rules.engine.ruleset import Compiled, CompiledFile, CompiledFilter, LogSource
from rules.engine.translating import condition_of
from rules.positions import line_of_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sigma.processing.pipeline import ProcessingPipeline

SigmaObject = SigmaRule | SigmaCorrelationRule | SigmaFilter
_YAML: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: pySigma trusts the shape of what it is given in places.
_MALFORMED: Final = (TypeError, ValueError, AttributeError, KeyError, IndexError, RecursionError)


def compile_text(text: str, name: str, pipelines: Sequence[ProcessingPipeline] = ()) -> CompiledFile:
    """The rules, correlations and filters of a YAML text; ``name`` stands in for missing ids. Never raises for what the
    text holds. ``pipelines`` are applied to each rule as it is parsed."""
    compilation = _Compilation(text, name, pipelines)
    compilation.take_text()
    return CompiledFile(
        tuple(compilation.rules),
        tuple(compilation.correlations),
        tuple(compilation.filters),
        tuple(compilation.refused),
    )


class _Compilation:
    def __init__(self, text: str, name: str, pipelines: Sequence[ProcessingPipeline]) -> None:
        self._text = text
        self._name = name
        self._pipelines = pipelines
        self.rules: list[Compiled] = []
        self.correlations: list[CorrelationPlan] = []
        self.filters: list[CompiledFilter] = []
        self.refused: list[Refusal] = []

    def take_text(self) -> None:
        try:
            documents = [each for each in yaml.load_all(self._text, Loader=_YAML) if each is not None]
        except (yaml.YAMLError, ValueError, RecursionError) as problem:
            self._refuse(self._name, problem, "not YAML: ")
            return
        whole = any(isinstance(each, dict) and "action" in each for each in documents)
        for group in [documents] if whole else [[each] for each in documents]:
            self._take(group)

    def _take(self, documents: list[Any]) -> None:
        first = documents[0] if isinstance(documents[0], dict) else {}
        label = str(first.get("id") or first.get("name") or self._name)
        if not all(isinstance(each, dict) for each in documents):
            self.refused.append(Refusal(label, "a rule is a YAML mapping", "", 1))
            return
        try:
            collection = SigmaCollection.from_dicts(documents, collect_filters=True, resolve_references=False)
        except SigmaError as problem:
            self._refuse(label, problem)
            return
        except _MALFORMED as problem:
            self._refuse(label, problem, "malformed: ")
            return
        document = first if len(documents) == 1 else {}
        for sigma in [*collection.rules, *collection.filters]:
            key = str(sigma.id or sigma.name or f"{self._name}#{len(self.rules) + len(self.correlations)}")
            try:
                self._compile(sigma, key, document)
            except (SigmaError, RuleError, *_MALFORMED) as problem:
                self._refuse(key, problem)

    def _compile(self, sigma: SigmaObject, key: str, document: dict[str, Any]) -> None:
        if isinstance(sigma, SigmaFilter):
            self.filters.append(self._filter(sigma, key))
            return
        if self._pipelines:
            from rules.engine import processing

            sigma = processing.apply(self._pipelines, sigma)  # type: ignore[type-var]  # either of the two it takes
        if isinstance(sigma, SigmaCorrelationRule):
            self.correlations.append(plan_of(sigma, document, key=key))
        else:
            source = _logsource(sigma.logsource)
            condition = condition_of(sigma)
            two_fields, witness = compares_fields(condition), witness_of(condition)
            self.rules.append(Compiled(key, sigma.name or "", source, condition, two_fields, witness))

    def _filter(self, sigma: SigmaFilter, key: str) -> CompiledFilter:
        names = sigma.filter.rules
        rules = tuple(str(each.reference) for each in names) if isinstance(names, list) else None
        condition = self._filter_condition(sigma)
        return CompiledFilter(key, rules, _logsource(sigma.logsource), condition, compares_fields(condition))

    def _filter_condition(self, sigma: SigmaFilter) -> Node:
        """The filter's own condition. pySigma knows it only joined to a rule's: so it is joined to one of our making,
        whose one leaf comes first."""
        rule = SigmaRule.from_dict(
            {
                "title": "filtered",
                "logsource": sigma.logsource.to_dict(),
                "detection": {"vonggac": {"vonggac": "filtered"}, "condition": "vonggac"},
            }
        )
        named, sigma.filter.rules = sigma.filter.rules, "any"
        try:
            sigma.apply_on_rule(rule)
        finally:
            sigma.filter.rules = named
        if self._pipelines:
            from rules.engine import processing

            processing.apply(self._pipelines, rule, detection_only=True)
        joined = condition_of(rule)
        if not isinstance(joined, And):
            raise RuleError("the processing pipelines leave nothing of the filter")
        rest = joined.nodes[1:]
        return rest[0] if len(rest) == 1 else And(rest)

    def _refuse(self, label: str, problem: Exception, prefix: str = "") -> None:
        reason = problem.reason if isinstance(problem, RuleError) else _one_line(problem)
        line = line_of_problem(self._text, problem, label)
        self.refused.append(Refusal(label, prefix + reason, "", line))


def _logsource(source: SigmaLogSource) -> LogSource:
    return LogSource(source.product or "", source.category or "", source.service or "")


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
