"""Where a field's value lies in a stored event: a column of its own, or the JSON of the body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rules.history.sql import FALSE, Parameters, all_of, any_of, none_of
from rules.history.values import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A name with more dots has too many readings (``a.b`` may be a key, or ``b`` inside ``a``): the engine looks.
_MOST_DOTS: Final = 3


class Fields:
    """``columns``: fields that have a column with their text in lower case, and its name. ``body``: the column with
    the event's JSON.
    """

    def __init__(self, columns: Mapping[str, str], bind: Parameters, body: str = "body") -> None:
        self.columns = columns
        self.bind = bind
        self.body = body
        self._sources: dict[str, Source | None] = {}

    def source(self, name: str) -> Source | None:
        """``None`` where SQL cannot say it."""
        if name not in self._sources:
            self._sources[name] = self._column(name) if name in self.columns else self._inside(name)
        return self._sources[name]

    def _column(self, name: str) -> Source:
        if name.startswith("\0"):  # the event's own log source: never null, and no part of the body
            column = self.columns[name]
            return Source(column, column, absent=FALSE, null=FALSE, many=FALSE, none=FALSE, column=True)
        # A name with a dot has a column only of its nested reading; where there is another, the row is odd.
        key = ", ".join(self.bind.text(step) for step in name.split("."))
        return Source(
            low=self.columns[name],
            text=f"JSONExtract({self.body}, {key}, 'String')",
            absent=f"NOT JSONHas({self.body}, {key})",
            null=f"JSONType({self.body}, {key}) = 'Null'",
            many=FALSE,  # rows where a column's field is no plain value are set apart when they are stored
            none=FALSE,
            column=True,
        )

    def _inside(self, name: str) -> Source | None:
        if name.count(".") > _MOST_DOTS:
            return None
        readings = [", ".join(self.bind.text(step) for step in steps) for steps in _readings(name)]
        has = [f"JSONHas({self.body}, {path})" for path in readings]
        text = self._first(readings, has, "JSONExtract({body}, {path}, 'String')", "''")
        kind = self._first(readings, has, "toString(JSONType({body}, {path}))", "'Null'")
        lists = [
            f"JSONType({self.body}, {', '.join(self.bind.text(step) for step in steps)}) = 'Array'"
            for steps in dict.fromkeys(steps[:at] for steps in _readings(name) for at in range(1, len(steps)))
        ]
        return Source(
            low=f"lowerUTF8({text})",
            text=text,
            absent=all_of([none_of(each) for each in has]),
            null=f"{kind} = 'Null'",
            many=any_of([f"{kind} = 'Array'", *lists]),
            none=f"{kind} = 'Object'",
            column=False,
        )

    def _first(self, readings: list[str], has: list[str], form: str, otherwise: str) -> str:
        forms = [form.format(body=self.body, path=path) for path in readings]
        if len(forms) == 1:
            return forms[0]
        cases = ", ".join(f"{there}, {each}" for there, each in zip(has, forms, strict=True))
        return f"multiIf({cases}, {otherwise})"


def _readings(name: str) -> list[tuple[str, ...]]:
    """The ways to read a dotted name, in the engine's order: the whole as a key first."""
    found: list[tuple[str, ...]] = [(name,)]
    at = name.find(".")
    while at >= 0:
        found += [(name[:at], *rest) for rest in _readings(name[at + 1 :])]
        at = name.find(".", at + 1)
    return found
