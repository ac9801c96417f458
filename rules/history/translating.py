"""A rule's condition (:mod:`rules.engine.conditions`) as SQL over the events table, three ways.

* :meth:`Translator.exact`: what the engine would say, ``sure`` and ``maybe``.
* :meth:`Translator.cheap`: the same from the columns alone, so that most rows are done with before a body is read.
* :meth:`Translator.literals`: text that the body of every matching event has in it somewhere, whatever its form.

The last two only narrow; the first decides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
import re2

from rules.engine.conditions import (
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
    Value,
)
from rules.history.sql import FALSE, TRUE, Parameters, all_of, any_of
from rules.history.values import UNKNOWN, Pair, Source, both, either, field_condition, opposite

if TYPE_CHECKING:
    from rules.history.fields import Fields

_ASCII_RUN: Final = re.compile(r"[\x00-\x7f]+")
_NUMBER_LIKE: Final = re.compile(r"[0-9.e+-]*")
_WHOLE: Final = re.compile(r"[0-9]{3,15}")
#: Shorter texts are in nearly every body.
_SHORTEST: Final = 3
_MOST_NEEDLES: Final = 250


class Translator:
    """``bind`` collects the values."""

    def __init__(self, fields: Fields, bind: Parameters) -> None:
        self._fields = fields
        self._bind = bind

    def exact(self, node: Node) -> Pair:
        match node:
            case And(nodes):
                return both([self.exact(each) for each in nodes])
            case Or(nodes):
                return either([self.exact(each) for each in nodes])
            case Not(inner):
                return opposite(self.exact(inner))
            case Field(name, values):
                return self._field(name, values)
            case Keywords(values):
                return Pair(FALSE, self._within_body(values))

    def cheap(self, node: Node) -> Pair:
        match node:
            case And(nodes):
                return both([self.cheap(each) for each in nodes])
            case Or(nodes):
                return either([self.cheap(each) for each in nodes])
            case Not(inner):
                return opposite(self.cheap(inner))
            case Field(name, values):
                source = self._fields.source(name) if name in self._fields.columns else None
                return (
                    UNKNOWN
                    if source is None
                    else either([self._cheap_value(source, each) for each in values])
                )
            case Keywords():
                return UNKNOWN

    def outline(self, node: Node) -> Pair:
        """Of a way's condition: what columns and plain fields say. Fields with dots in their names, which may be read
        in several ways, are left to the engine: they only tell ways apart that a column has told apart before."""
        match node:
            case And(nodes):
                return both([self.outline(each) for each in nodes])
            case Or(nodes):
                return either([self.outline(each) for each in nodes])
            case Not(inner):
                return opposite(self.outline(inner))
            case Field(name) if name in self._fields.columns or "." in name:
                return self.cheap(node)
            case _:
                return self.exact(node)

    def literals(self, node: Node, *, columns: bool) -> str:
        """``columns``: also those of fields with a column (whose condition on the column is the better one)."""
        match node:
            case And(nodes):
                return all_of([self.literals(each, columns=columns) for each in nodes])
            case Or(nodes):
                return any_of([self.literals(each, columns=columns) for each in nodes])
            case Field(name, values):
                if name in self._fields.columns and not columns:
                    return TRUE
                return self._within_body(values)
            case Keywords(values):
                return self._within_body(values)
            case Not():
                return TRUE

    def _field(self, name: str, values: tuple[Value, ...]) -> Pair:
        source = self._fields.source(name)
        others = [each for each in values if isinstance(each, Reference)]
        if source is None or any(self._fields.source(each.field) is None for each in others):
            return Pair(FALSE, self._within_body(values))
        return field_condition(source, values, self._bind, self._other)

    def _other(self, name: str) -> Source:
        source = self._fields.source(name)
        assert source is not None  # noqa: S101 - looked at above
        return source

    def _cheap_value(self, source: Source, value: Value) -> Pair:
        match value:
            case Text(parts, cased) if parts and parts != (ANY_RUN,):
                low = Text(tuple(part.lower() if isinstance(part, str) else part for part in parts))
                found = field_condition(source, (low,), self._bind, self._other)
                return Pair(FALSE, found.maybe) if cased else found
            case Compare() | Network():
                return field_condition(source, (value,), self._bind, self._other)
            case Reference(name) if name in self._fields.columns:
                return field_condition(source, (value,), self._bind, self._other)
            case Regex(expression, flags):
                plain = re2.compile(f"(?{flags}){expression}" if flags else expression)
                return Pair(FALSE, f"{source.low} != ''" if plain.search("") is None else TRUE)
            case Text(()) if source.null == FALSE:
                return field_condition(source, (value,), self._bind, self._other)
            case Null() | Text(()):
                return Pair(FALSE, f"{source.low} = ''")
            case Exists(wanted):
                has_text = f"{source.low} != ''"
                return Pair(has_text, TRUE) if wanted else Pair(FALSE, f"{source.low} = ''")
        return UNKNOWN

    def _within_body(self, values: tuple[Value, ...] | tuple[KeywordValue, ...]) -> str:
        """One of the values' longest literals is in the body; :data:`TRUE` where one has none worth looking for."""
        needles: dict[str, None] = {}
        for value in values:
            needle = _needle(value)
            if needle is None:
                return TRUE
            needles[needle] = None
        found = list(needles)
        body = self._fields.body
        if len(found) == 1:
            return f"positionCaseInsensitive({body}, {self._bind.text(found[0])}) > 0"
        return any_of(
            [
                f"multiSearchAnyCaseInsensitive({body}, {self._bind.texts(found[at : at + _MOST_NEEDLES])})"
                for at in range(0, len(found), _MOST_NEEDLES)
            ]
        )


def _needle(value: Value) -> str | None:
    """ASCII text as JSON writes it, without regard to case, that is in whatever holds the value."""
    if not isinstance(value, Text):
        return None
    runs = [run for part in value.parts if isinstance(part, str) for run in _ASCII_RUN.findall(part)]
    longest = max(runs, key=len, default="")
    if len(longest) < _SHORTEST or (_NUMBER_LIKE.fullmatch(longest) and not _WHOLE.fullmatch(longest)):
        return None
    return msgspec.json.encode(longest)[1:-1].decode()
