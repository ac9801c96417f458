"""A correlation as plain data: what the engine builds its correlations from, and what a cache of rules keeps.

``plan_of`` is the only place that reads pySigma's correlation objects, so all that the specification leaves open is
settled here, or refused with its reason.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionItem,
    CorrelationConditionNOT,
    CorrelationConditionOR,
    SigmaCorrelationCondition,
    SigmaCorrelationRule,
    SigmaExtendedCorrelationCondition,
    SigmaRuleReference,
)

from rules.engine.errors import RuleError
from rules.engine.measures import alternatives_of

#: Types whose condition is about numbers of one field.
NUMERIC: Final = frozenset({"value_sum", "value_avg", "value_median", "value_percentile"})
#: Types whose condition is about which rules matched.
TEMPORAL: Final = frozenset({"temporal", "temporal_ordered"})
_DEPTH_LIMIT: Final = 40
_RULES_LIMIT: Final = 1_000
_ORDERED_LIMIT: Final = 50
_LARGEST: Final = 1 << 62

#: A boolean condition: a reference as written, or ``["and" | "or" | "not", operand, …]``.
Tree = str | list[Any]


class CorrelationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One correlation rule. ``key``: its id, or its name where it has none; ``path``: the file, for messages.

    ``rules``: the references as written, in the order of the list (or, without a list, of the condition).
    ``aliases``: alias → reference as written → field. ``tree``: a boolean condition; else ``operator`` (``gte`` …)
    and ``limit`` hold, with ``fields`` for the types that are about values.
    """

    key: str
    kind: str
    rules: tuple[str, ...]
    seconds: float
    name: str = ""
    path: str = ""
    group_by: tuple[str, ...] = ()
    aliases: dict[str, dict[str, str]] = {}
    operator: str = ""
    limit: int | float = 0
    fields: tuple[str, ...] = ()
    percentile: int | None = None
    tree: Any = None
    generate: bool = False

    @property
    def wants_all(self) -> bool:
        """Whether a number over the rules that matched asks for all of the list."""
        return self.operator == "gte" and self.limit == len(self.rules)

    def digest(self) -> str:
        """The same for plans that treat every event alike: where the file lies and what it generates do not count."""
        alike = msgspec.structs.replace(self, path="", name="", generate=False)
        return hashlib.sha256(msgspec.msgpack.encode(alike, order="deterministic")).hexdigest()[:32]


def plan_of(
    rule: SigmaCorrelationRule, document: dict[str, Any], *, key: str = "", path: str = ""
) -> CorrelationPlan:
    """The plan of a parsed rule; ``document`` is the YAML it came from (for ``generate`` at the top level).

    Raise :class:`RuleError` for what cannot be run, with the reason.
    """
    kind = rule.type.name.lower()
    condition = rule.condition
    tree: Tree | None = None
    limit: int | float = 0
    operator = ""
    fields: tuple[str, ...] = ()
    percentile: int | None = None
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        tree = _tree(condition.parsed, 0)
    else:
        operator, limit = condition.op.name.lower(), _number(condition.count)
        fields, percentile = _fields(kind, condition)
    if rule.rules is not None:
        rules = tuple(str(each.reference) for each in rule.rules)
    else:
        rules = tuple(dict.fromkeys(_leaves(tree)))
    if not rules:
        raise RuleError("refers to no rule")
    if len(rules) > _RULES_LIMIT:
        raise RuleError(f"refers to more than {_RULES_LIMIT} rules")
    plan = CorrelationPlan(
        key=key or str(rule.id or rule.name or ""),
        kind=kind,
        rules=rules,
        seconds=_seconds(rule),
        name=rule.name or "",
        path=path,
        group_by=tuple(dict.fromkeys(rule.group_by or ())),
        aliases={
            str(alias.alias): {str(each.reference): str(field) for each, field in alias.mapping.items()}
            for alias in rule.aliases
        },
        operator=operator,
        limit=limit,
        fields=fields,
        percentile=percentile,
        tree=tree,
        generate=rule.generate or document.get("generate") is True,
    )
    if kind == "temporal_ordered":
        if tree is not None:
            alternatives_of(tree, rules)
        elif not plan.wants_all and len(rules) > _ORDERED_LIMIT:
            raise RuleError(f"temporal_ordered with a number takes at most {_ORDERED_LIMIT} rules")
    return plan


def _seconds(rule: SigmaCorrelationRule) -> float:
    if rule.timespan.seconds > _LARGEST:
        raise RuleError("the timespan is longer than any log")
    return float(rule.timespan.seconds)


def _number(count: int | float) -> int | float:
    if abs(count) > _LARGEST and isinstance(count, int):
        raise RuleError("the condition's number is too large")
    return count


def _fields(kind: str, condition: SigmaCorrelationCondition) -> tuple[tuple[str, ...], int | None]:
    if kind == "event_count" or kind in TEMPORAL:
        return (), None
    written = condition.fieldref
    names = tuple(written) if isinstance(written, list) else (written,)
    if not names or not all(isinstance(each, str) and each for each in names):
        raise RuleError("the condition's field is the name of a field, or a list of names")
    if kind in NUMERIC and len(names) > 1:
        raise RuleError(f"{kind} is over one field (the specification says nothing of several)")
    if kind != "value_percentile":
        return tuple(str(each) for each in names), None
    percentile = condition.percentile
    if percentile is None or not 0 < percentile <= 100:
        # The specification's text means the value below which a share of the values lies and names no share; its
        # example means the share of the events that have the same value. Neither can be guessed.
        raise RuleError(
            "value_percentile needs a percentile from 1 to 100 (the specification leaves it open)"
        )
    return tuple(str(each) for each in names), percentile


def _tree(node: CorrelationConditionItem | SigmaRuleReference, depth: int) -> Tree:
    if depth > _DEPTH_LIMIT:
        raise RuleError("the condition is nested too deeply")
    if isinstance(node, SigmaRuleReference):
        return node.reference
    for kind, word in (
        (CorrelationConditionAND, "and"),
        (CorrelationConditionOR, "or"),
        (CorrelationConditionNOT, "not"),
    ):
        if isinstance(node, kind):
            return [word, *(_tree(each, depth + 1) for each in node.args)]
    raise RuleError(f"a correlation condition cannot hold {type(node).__name__}")


def _leaves(tree: Tree | None) -> list[str]:
    if tree is None or isinstance(tree, str):
        return [] if tree is None else [tree]
    return [leaf for each in tree[1:] for leaf in _leaves(each)]
