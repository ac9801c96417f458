"""One rule's condition tree, as pySigma gives it, turned into one closure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.modifiers import (
    SigmaContainsModifier,
    SigmaEndswithModifier,
    SigmaRegularExpressionModifier,
    SigmaStartswithModifier,
)
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule
from sigma.types import SigmaCasedString, SigmaRegularExpression, SigmaString, SigmaType

from rules.engine.errors import RuleError
from rules.engine.strings import string_test
from rules.engine.values import Test, all_of, any_of, field_test, keyword_test, none_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def compile_rule(rule: SigmaRule, names: Mapping[str, str]) -> Test:
    """The rule as a test; ``names`` replaces field names (rule's name to event's name).

    Several conditions are alternatives. Raise :class:`RuleError` or pySigma's ``SigmaError`` where the rule cannot
    be run as written.
    """
    for detection in rule.detection.detections.values():
        _anchor_regexes(detection)
    trees = [condition.parse() for condition in rule.detection.parsed_condition]

    def rename(field: str) -> str:
        return names.get(field, field)

    return any_of(tuple(_compile(tree, rename) for tree in trees))


def _compile(node: Any, rename: Callable[[str], str]) -> Test:
    match node:
        case ConditionAND():
            return all_of(tuple(_compile(each, rename) for each in node.args))
        case ConditionOR():
            return _any(node.args, rename)
        case ConditionNOT():
            return none_of(_compile(node.args[0], rename))
        case ConditionFieldEqualsValueExpression():
            return field_test(rename(node.field), node.value, rename)
        case ConditionValueExpression():
            return keyword_test(node.value)
    raise RuleError(f"a condition cannot hold {type(node).__name__}")


def _any(nodes: list[Any], rename: Callable[[str], str]) -> Test:
    """Alternatives; the plain strings of one field are tried together, which most rules' long lists are."""
    strings: dict[str, list[SigmaString]] = {}
    tests: list[Test] = []
    for node in nodes:
        if (
            isinstance(node, ConditionFieldEqualsValueExpression)
            and isinstance(node.value, SigmaString)
            and not isinstance(node.value, SigmaCasedString)
        ):
            strings.setdefault(rename(node.field), []).append(node.value)
        else:
            tests.append(_compile(node, rename))
    return any_of((*(string_test(field, values) for field, values in strings.items()), *tests))


def _anchor_regexes(detection: SigmaDetection) -> None:
    """``re|startswith`` and ``re|endswith`` bind the expression to an end, which a search would otherwise ignore."""
    for item in detection.detection_items:
        if isinstance(item, SigmaDetection):
            _anchor_regexes(item)
        elif SigmaRegularExpressionModifier in item.modifiers:
            starts, ends = _bound(item)
            item.value = [_anchored(value, starts=starts, ends=ends) for value in item.value]


def _bound(item: SigmaDetectionItem) -> tuple[bool, bool]:
    if SigmaContainsModifier in item.modifiers:
        return False, False
    return SigmaStartswithModifier in item.modifiers, SigmaEndswithModifier in item.modifiers


def _anchored(value: SigmaType, *, starts: bool, ends: bool) -> SigmaType:
    source = str(value.regexp) if isinstance(value, SigmaRegularExpression) else ""
    if not isinstance(value, SigmaRegularExpression) or not (starts or ends) or source.startswith(r"\A"):
        return value
    # pySigma appended or prepended .* without the dot-all flag; ends are bound here instead.
    if starts:
        source = rf"\A(?:{source.removesuffix('.*')})"
    if ends:
        source = rf"(?:{source.removeprefix('.*')})\z"
    return SigmaRegularExpression(SigmaString(source, escape=False), set(value.flags))
