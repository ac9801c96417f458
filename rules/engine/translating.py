"""pySigma's rule objects turned into plain conditions (:mod:`rules.engine.conditions`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import re2
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
from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from rules.engine.conditions import (
    ANY_ONE,
    ANY_RUN,
    And,
    Compare,
    Exists,
    Field,
    Keywords,
    KeywordValue,
    Network,
    Node,
    Not,
    Null,
    Or,
    Reference,
    Regex,
    Text,
    TimePart,
    Value,
)
from rules.engine.errors import RuleError
from rules.engine.fields import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_FLAGS: Final = {"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}
_COMPARISONS: Final = {
    CompareOperators.LT: "lt",
    CompareOperators.LTE: "lte",
    CompareOperators.GT: "gt",
    CompareOperators.GTE: "gte",
}
_WILDCARDS: Final = {SpecialChars.WILDCARD_MULTI: ANY_RUN, SpecialChars.WILDCARD_SINGLE: ANY_ONE}


def condition_of(rule: SigmaRule) -> Node:
    """The rule's condition; several conditions are alternatives.

    Raise :class:`RuleError` or pySigma's ``SigmaError`` where the rule cannot be run as written.
    """
    for detection in rule.detection.detections.values():
        _anchor_regexes(detection)
    return _alternatives([condition.parse() for condition in rule.detection.parsed_condition])


def _node(node: Any) -> Node:
    match node:
        case ConditionAND():
            return _joined(_node(each) for each in node.args)
        case ConditionOR():
            return _alternatives(node.args)
        case ConditionNOT():
            return Not(_node(node.args[0]))
        case ConditionFieldEqualsValueExpression():
            return Field(node.field, _values(node.value))
        case ConditionValueExpression():
            return Keywords(_keywords(node.value))
    raise RuleError(f"a condition cannot hold {type(node).__name__}")


def _joined(nodes: Iterable[Node]) -> Node:
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.nodes if isinstance(node, And) else (node,))
    return flat[0] if len(flat) == 1 else And(tuple(dict.fromkeys(flat)))


def _alternatives(nodes: list[Any]) -> Node:
    """``or``: the values of one field stand together as one leaf, which most rules' long lists are."""
    fields: dict[str, dict[Value, None]] = {}
    keywords: dict[KeywordValue, None] = {}
    others: list[Node] = []
    waiting = [_node(each) for each in nodes]
    for node in waiting:
        match node:
            case Field(name, values) if not isinstance(values[0], Reference):
                fields.setdefault(name, {}).update(dict.fromkeys(values))
            case Keywords(values):
                keywords.update(dict.fromkeys(values))
            case Or(inner):
                waiting.extend(inner)
            case _:
                others.append(node)
    found: list[Node] = [Field(name, tuple(values)) for name, values in fields.items()]
    if keywords:
        found.append(Keywords(tuple(keywords)))
    found.extend(dict.fromkeys(others))
    return found[0] if len(found) == 1 else Or(tuple(found))


def _values(value: SigmaType) -> tuple[Value, ...]:
    if isinstance(value, SigmaExpansion):
        return tuple(each for inner in value.values for each in _values(inner))
    if isinstance(value, SigmaTimestampPart):
        return (TimePart(value.timestamp_part.name.lower(), int(value.number)),)
    if isinstance(value, SigmaString):
        return (_text(value),)
    if isinstance(value, (SigmaNumber, SigmaBool)):
        return (Text((_plain(value).lower(),)),)
    if isinstance(value, SigmaNull):
        return (Null(),)
    if isinstance(value, SigmaExists):
        return (Exists(value.exists),)
    if isinstance(value, SigmaRegularExpression):
        return (_regex(value),)
    if isinstance(value, SigmaCompareExpression):
        if value.op not in _COMPARISONS:
            raise RuleError(f"the comparison {value.op.name} is not supported")
        return (Compare(_COMPARISONS[value.op], _number(value.number)),)
    if isinstance(value, SigmaCIDRExpression):
        return (Network(str(value.network)),)
    if isinstance(value, SigmaFieldReference):
        return (Reference(value.field, starts=value.starts_with, ends=value.ends_with),)
    raise RuleError(f"values of type {type(value).__name__} are not supported")


def _keywords(value: SigmaType) -> tuple[KeywordValue, ...]:
    """Keywords hold where they occur inside a value, so text gets a star at both ends."""
    if isinstance(value, SigmaExpansion):
        return tuple(each for inner in value.values for each in _keywords(inner))
    if isinstance(value, SigmaRegularExpression):
        return (_regex(value),)
    if isinstance(value, (SigmaNumber, SigmaBool)):
        return (Text((ANY_RUN, _plain(value).lower(), ANY_RUN)),)
    if not isinstance(value, SigmaString):
        raise RuleError(f"a keyword cannot be of type {type(value).__name__}")
    inner_text = _text(value)
    parts = inner_text.parts
    before = () if parts[:1] == (ANY_RUN,) else (ANY_RUN,)
    after = () if not parts or parts[-1] == ANY_RUN else (ANY_RUN,)
    return (Text((*before, *parts, *after), inner_text.cased),)


def _plain(value: SigmaNumber | SigmaBool) -> str:
    return text_of(_number(value) if isinstance(value, SigmaNumber) else value.boolean) or ""


def _number(value: SigmaNumber) -> int | float:
    """pySigma makes a float of a whole number that no float is equal to, and then it is another number."""
    if isinstance(value.number, float) and value.number.is_integer():
        raise RuleError(
            f"about {value.number:.0f}: a number of so many digits is exact only as text, in quotes"
        )
    return value.number


def _text(value: SigmaString) -> Text:
    cased = isinstance(value, SigmaCasedString)
    parts: list[str | int] = []
    for part in value.s:
        if isinstance(part, Placeholder):
            raise RuleError(f"the placeholder %{part.name}% has no value here (modifier expand)")
        if isinstance(part, str):
            text = part if cased else part.lower()
            if parts and isinstance(parts[-1], str):
                parts[-1] += text
            else:
                parts.append(text)
        else:
            wildcard = _WILDCARDS[part]
            if not (wildcard == ANY_RUN and parts and parts[-1] == ANY_RUN):
                parts.append(wildcard)
    return Text(tuple(part for part in parts if part != ""), cased)


def _regex(value: SigmaRegularExpression) -> Regex:
    """What RE2 lacks (look-around, back-references) pySigma has refused when it parsed the rule, or is refused here."""
    if value.contains_placeholder():
        raise RuleError("the regular expression holds a placeholder (modifier expand)")
    found = Regex(str(value.regexp), "".join(sorted(_FLAGS[flag.name] for flag in value.flags)))
    try:
        re2.compile(found.with_flags)
    except re2.error as problem:
        raise RuleError(f"regular expression {found.source!r}: {problem}") from problem
    return found


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
