"""Steps that take a line of text apart: names with values, columns, and which of several shapes a line has.

All run in time linear in the text: it comes from whoever can reach a probe's port.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rules.engine.fields import MISSING, lookup
from rules.logsources.stepping import MAX_ELEMENTS, MAX_TEXT, Fields, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A name as devices write them. No dots: what a line says reaches into no field of the event.
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_-]{0,63}+"
#: A name begins where a word does: else a long word would be tried anew at each of its letters.
_BEGIN: Final = r"(?<![A-Za-z0-9_-])"
#: Where the collector and the probe say who and what an event is about: no text of a device does.
_OURS: Final = frozenset({"agency", "event", "host", "log", "observer", "probe", "simulated"})
_QUOTED: Final = re.compile(rf"{_BEGIN}({_NAME})=(?:\"((?:[^\"\\]|\\.)*+)\"|([^\s\",;]*+))")
_COLONS: Final = re.compile(rf"{_BEGIN}({_NAME}):\"((?:[^\"\\]|\\.)*+)\"")
_LOOSE: Final = re.compile(rf"(?:^|[\s|])({_NAME})=")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_CUT: Final = re.compile(r"[\t^]")
#: How names and values are written: ``quoted`` ``a=1 b="x y"`` (key=value), ``loose`` ``a=x y b=z`` (CEF), ``tabs``
#: ``a=x y<TAB>b=z`` (LEEF; also with ``^``), ``colons`` ``a:"x"; b:"y"`` (Check Point).
PAIR_FORMS: Final = ("quoted", "loose", "tabs", "colons")


@dataclass(frozen=True, slots=True)
class Pairs(Step):
    """The names of the text at ``path`` become fields with their values; the first of a name counts."""

    path: str
    form: str

    def apply(self, fields: Fields) -> None:
        text = _text(fields, self.path)
        for number, (name, value) in enumerate(_pairs(text, self.form)):
            if number >= MAX_ELEMENTS:
                return
            if name not in _OURS:
                fields.setdefault(name, value)


@dataclass(frozen=True, slots=True)
class Columns(Step):
    """The columns of the text at ``path`` become the fields ``names``; ``-`` passes one over, and an empty column is
    no field. Columns are separated by commas and may be quoted (RFC 4180)."""

    path: str
    names: tuple[str, ...]

    def apply(self, fields: Fields) -> None:
        text = _text(fields, self.path).replace("\n", " ").replace("\r", " ")
        try:
            columns = next(csv.reader([text]), [])
        except csv.Error:
            return
        for name, value in zip(self.names, columns, strict=False):
            if value and name != "-":
                fields.setdefault(name, value)


@dataclass(frozen=True, slots=True)
class Tell(Step):
    """``name`` gets the word of ``words`` whose expression (all are in ``pattern``, a group each) is found first in the
    text at ``path``."""

    path: str
    name: str
    words: tuple[str, ...]
    pattern: Any

    def apply(self, fields: Fields) -> None:
        if self.name in fields:
            return
        try:
            found = self.pattern.search(_text(fields, self.path))
        except UnicodeError:  # lone surrogates, which RE2 cannot take
            return
        if found is not None:
            fields[self.name] = self.words[int(found.lastgroup[1:])]


@dataclass(frozen=True, slots=True)
class Merge(Step):
    """The entries of every map in the map at ``path`` become fields: structured data, whatever its elements are
    called."""

    path: str

    def apply(self, fields: Fields) -> None:
        value = lookup(fields, self.path)
        if not isinstance(value, Mapping):
            return
        count = 0
        for entries in value.values():
            if isinstance(entries, Mapping):
                for name, each in entries.items():
                    count += 1
                    if count > MAX_ELEMENTS:
                        return
                    if "." not in name and name not in _OURS:
                        fields.setdefault(name, each)


def _text(fields: Fields, path: str) -> str:
    value = lookup(fields, path)
    return value[:MAX_TEXT] if value is not MISSING and isinstance(value, str) else ""


def _pairs(text: str, form: str) -> Iterator[tuple[str, str]]:
    match form:
        case "quoted":
            for found in _QUOTED.finditer(text):
                quoted = found[2]
                yield found[1], found[3] if quoted is None else _plain(quoted)
        case "colons":
            for found in _COLONS.finditer(text):
                yield found[1], _plain(found[2])
        case "tabs":
            for piece in _CUT.split(text):
                name, sign, value = (
                    piece.rpartition("|")[2].partition("=") if "|" in piece else piece.partition("=")
                )
                if sign and re.fullmatch(_NAME, name):
                    yield name, value
        case _:
            begin, name = 0, ""
            for found in _LOOSE.finditer(text):
                if name:
                    yield name, _plain(text[begin : found.start()].strip())
                begin, name = found.end(), found[1]
            if name:
                yield name, _plain(text[begin:].strip())


def _plain(value: str) -> str:
    return _ESCAPED.sub(r"\1", value) if "\\" in value else value
