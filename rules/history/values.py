"""What SQL can say of one field's value, and how surely.

Every condition is translated twice: ``sure`` holds for no event that the engine would not match, ``maybe`` for every
event that it would. Where the two are the same text SQL says exactly what the engine says; where they differ, the
events between them are shown to the engine itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING, Final, NamedTuple

import re2

from rules.engine.conditions import (
    ANY_ONE,
    ANY_RUN,
    Compare,
    Exists,
    Network,
    Null,
    Reference,
    Regex,
    Text,
    TimePart,
    Value,
)
from rules.history.sql import FALSE, TRUE, Parameters, all_of, any_of, none_of

if TYPE_CHECKING:
    from collections.abc import Callable

#: Text that may be a number with a fraction or an exponent, which the engine and the store write differently.
_NUMBER_LIKE: Final = re.compile(r"[0-9.e+-]*")
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_FRACTION: Final = r"^-?[0-9]+(\.[0-9]+|[0-9]{14})?(e[+-]?[0-9]+)?$"
#: MultiSearchAny takes no more needles.
_MOST_NEEDLES: Final = 250
#: An IPv4 address as Python reads one: no leading zeros.
_QUAD: Final = r"^(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})$"


class Pair(NamedTuple):
    sure: str
    maybe: str


NEVER: Final = Pair(FALSE, FALSE)
UNKNOWN: Final = Pair(FALSE, TRUE)


def both(pairs: list[Pair]) -> Pair:
    return Pair(all_of([each.sure for each in pairs]), all_of([each.maybe for each in pairs]))


def either(pairs: list[Pair]) -> Pair:
    return Pair(any_of([each.sure for each in pairs]), any_of([each.maybe for each in pairs]))


def opposite(pair: Pair) -> Pair:
    return Pair(none_of(pair.maybe), none_of(pair.sure))


@dataclass(frozen=True, slots=True)
class Source:
    """Where a field's value comes from, as SQL expressions.

    ``low``: its text in lower case, ``''`` where it has none (absent, null, an empty list). ``text``: as it is.
    ``absent``: it is missing; ``null``: it is missing or null. ``many``: whether it may be more than one value (a list,
    or one on the way there), ``none``: whether it is an object, which has no text. ``column``: ``low`` is a column of
    its own, cheap to look at.
    """

    low: str
    text: str
    absent: str
    null: str
    many: str
    none: str
    column: bool


def field_condition(
    source: Source, values: tuple[Value, ...], bind: Parameters, other: Callable[[str], Source]
) -> Pair:
    """One of ``values`` is one of the field's. ``other`` gives the source of another field (for references)."""
    low = [value for value in values if isinstance(value, Text) and not value.cased]
    found = _texts(source, low, bind)
    found += [_value(source, value, bind, other) for value in values if value not in low]
    inner = either(found)
    if source.many == source.none == FALSE:
        return inner
    return Pair(
        all_of([inner.sure, none_of(source.many), none_of(source.none)]),
        any_of([inner.maybe, source.many]),
    )


def _texts(source: Source, values: list[Text], bind: Parameters) -> list[Pair]:
    """Texts are tried together by kind: one look for all that are equal, one for all that are inside."""
    equal: list[str] = []
    inside: list[str] = []
    pairs: list[Pair] = []
    for value in values:
        condition: str | None = None
        match value.parts:
            case ():
                pairs.append(_exact(all_of([f"{source.low} = ''", none_of(source.null)])))
                continue
            case (first, last) if (first, last) == (ANY_ONE, ANY_RUN):
                pairs.append(_exact(f"{source.low} != ''"))
                continue
            case (only,) if only == ANY_RUN:
                pairs.append(_exact(any_of([f"{source.low} != ''", none_of(source.null)])))
                continue
            case (str(text),):
                if not _NUMBER_LIKE.fullmatch(text) or (_WHOLE.fullmatch(text) and text != "0"):
                    equal.append(text)
                    continue
                condition = f"{source.low} = {bind.text(text)}"
            case (first, str(text), last) if first == last == ANY_RUN:
                if not _NUMBER_LIKE.fullmatch(text):
                    inside.append(text)
                    continue
                condition = f"position({source.low}, {bind.text(text)}) > 0"
            case (str(text), last) if last == ANY_RUN:
                condition = f"startsWith({source.low}, {bind.text(text)})"
            case (first, str(text)) if first == ANY_RUN:
                condition = f"endsWith({source.low}, {bind.text(text)})"
            case _:
                condition = f"{source.low} LIKE {bind.text(_like(value))}"
        pairs.append(_doubtful_numbers(source, value, condition, bind))
    if equal:
        one = f"{source.low} = {bind.text(equal[0])}"
        pairs.append(_exact(one if len(equal) == 1 else f"{source.low} IN {bind.texts(equal)}"))
    for at in range(0, len(inside), _MOST_NEEDLES):
        some = inside[at : at + _MOST_NEEDLES]
        if len(some) == 1:
            pairs.append(_exact(f"position({source.low}, {bind.text(some[0])}) > 0"))
        else:
            pairs.append(_exact(f"multiSearchAny({source.low}, {bind.texts(some)})"))
    return pairs


def _exact(condition: str) -> Pair:
    return Pair(condition, condition)


def _doubtful_numbers(source: Source, value: Text, condition: str, bind: Parameters) -> Pair:
    """A text of digits, points and signs alone may be meant for a number that is written differently here and there."""
    texts = "".join(part for part in value.parts if isinstance(part, str))
    if not _NUMBER_LIKE.fullmatch(texts):
        return _exact(condition)
    doubtful = f"(match({source.low}, {bind.text(_FRACTION)}) OR {source.low} = '-0')"
    return Pair(all_of([condition, none_of(doubtful)]), any_of([condition, doubtful]))


def _like(value: Text) -> str:
    escaped = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
    return "".join(
        part.translate(escaped) if isinstance(part, str) else "%" if part == ANY_RUN else "_"
        for part in value.parts
    )


def _value(source: Source, value: Value, bind: Parameters, other: Callable[[str], Source]) -> Pair:
    match value:
        case Text():
            return _cased(source, value, bind)
        case Regex():
            return _regex(source, value, bind)
        case Null():
            return _exact(all_of([f"{source.low} = ''", source.null]))
        case Exists(wanted):
            absent = all_of([f"{source.low} = ''", source.absent])
            return _exact(none_of(absent) if wanted else absent)
        case Compare():
            return _compare(source, value, bind)
        case Network():
            return _network(source, value, bind)
        case Reference(name):
            return _reference(source, other(name), value)
        case TimePart():
            return Pair(FALSE, f"{source.low} != ''")


def _cased(source: Source, value: Text, bind: Parameters) -> Pair:
    """Looked for in lower case first, where that is a column; then in the text as it is."""
    low = Text(tuple(part.lower() if isinstance(part, str) else part for part in value.parts))
    first = either(_texts(source, [low], bind))
    exact = f"{source.text} LIKE {bind.text(_like(value))}"
    pair = Pair(all_of([first.sure, exact]), all_of([first.maybe, exact]))
    if first.sure == first.maybe:
        return pair
    return Pair(pair.sure, any_of([pair.maybe, all_of([first.maybe, none_of(first.sure)])]))


def _regex(source: Source, value: Regex, bind: Parameters) -> Pair:
    flags = value.flags + (
        "" if "s" in value.flags else "-s"
    )  # here a dot takes line breaks unless told not to
    found = f"match({source.text}, {bind.text(f'(?{flags}){value.source}')})"
    plain = re2.compile(f"(?{value.flags}){value.source}" if value.flags else value.source)
    if plain.search("") is None:
        # An absent field is no text; one without text cannot match either.
        exact = all_of([f"{source.low} != ''", found])
    else:
        exact = all_of([any_of([f"{source.low} != ''", none_of(source.null)]), found])
    doubtful = f"match({source.low}, {bind.text(_FRACTION)})"
    return Pair(all_of([exact, none_of(doubtful)]), any_of([exact, doubtful]))


def _compare(source: Source, value: Compare, bind: Parameters) -> Pair:
    sign = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}[value.op]
    holds = f"toFloat64OrZero({source.low}) {sign} {bind.number(float(value.number))}"
    plain = f"match({source.low}, '^[+-]?[0-9]{{1,15}}$')"
    doubtful = f"(NOT {plain} AND match({source.low}, '^[+-]?[0-9][0-9.e+-]*$'))"
    return Pair(all_of([plain, holds]), any_of([all_of([plain, holds]), doubtful]))


def _network(source: Source, value: Network, bind: Parameters) -> Pair:
    network = ip_network(value.cidr)
    if not isinstance(network, IPv4Network):
        return Pair(FALSE, f"position({source.low}, ':') > 0")
    first, last = int(network.network_address), int(network.broadcast_address)
    inside = f"toUInt32(toIPv4OrDefault({source.low})) BETWEEN {first} AND {last}"
    return _exact(all_of([f"match({source.low}, {bind.text(_QUAD)})", f"isIPv4String({source.low})", inside]))


def _reference(source: Source, other: Source, value: Reference) -> Pair:
    if value.starts and value.ends:
        holds = f"position({source.low}, {other.low}) > 0"
    elif value.starts:
        holds = f"startsWith({source.low}, {other.low})"
    elif value.ends:
        holds = f"endsWith({source.low}, {other.low})"
    else:
        holds = f"{source.low} = {other.low}"
    sure = all_of(
        [holds, f"{source.low} != ''", f"{other.low} != ''", none_of(other.many), none_of(other.none)]
    )
    # Where one is a number, or both are empty, the engine looks.
    number = any_of([f"match({each.low}, '^[0-9.e+-]*$')" for each in (source, other)])
    return Pair(all_of([sure, none_of(number)]), any_of([holds, other.many, number]))
