"""An event's fields by the names rules use, each read once.

Values are compared as text: numbers in decimal, ``true`` and ``false`` for booleans. ``null`` and an absent field
have no text; an object has none either, but is present.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

#: Stands for a field that is not there, which JSON null is not.
MISSING: Final = object()
#: Python writes no longer numbers in decimal, and reads none, as it would take too long.
_MOST_BITS: Final = 14_000
_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


class FieldValues(NamedTuple):
    """One field's values. ``texts``/``lows``: as they are and in lower case; ``null``: absent, JSON null, or no value.

    ``numbers``: of the values that are numbers, or text that is a plain decimal number.
    """

    present: bool
    null: bool
    texts: tuple[str, ...]
    lows: tuple[str, ...]
    numbers: tuple[float, ...]


ABSENT: Final = FieldValues(present=False, null=True, texts=(), lows=(), numbers=())


def text_of(value: object) -> str | None:
    """The text a scalar is compared by, or ``None`` for null, objects and lists."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() < _MOST_BITS else hex(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return None


def number_of(value: object) -> float | None:
    """The number a value stands for (Sigma's ``lt`` … ``gte``), or ``None``; a boolean is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value.bit_length() < 1000 else None
    if isinstance(value, float):
        return value if value == value else None
    if isinstance(value, str) and len(value) <= 64 and _DECIMAL.fullmatch(value):
        return float(value) if "." in value else int(value)
    return None


def _flat(value: object) -> Iterator[object]:
    """The elements of a list, of lists in it, in order; any other value is itself. Depth costs no recursion."""
    if not isinstance(value, (list, tuple)):
        yield value
        return
    stack = [iter(value)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, (list, tuple)):
                stack.append(iter(item))
                break
            yield item
        else:
            stack.pop()


def lookup(fields: Mapping[str, Any], name: str) -> Any:
    """The JSON value under ``name``, or :data:`MISSING`; a list of maps on the way gives a list."""
    found = fields.get(name, MISSING)
    if found is not MISSING:
        return found
    at = name.find(".")
    while at >= 0:
        child = fields.get(name[:at], MISSING)
        rest = name[at + 1 :]
        if child.__class__ is dict or isinstance(child, Mapping):
            inner = lookup(child, rest)
            if inner is not MISSING:
                return inner
        elif isinstance(child, (list, tuple)):
            inners = [lookup(item, rest) for item in _flat(child) if isinstance(item, Mapping)]
            kept = [item for item in inners if item is not MISSING]
            if kept:
                return kept
        at = name.find(".", at + 1)
    return MISSING


def read_field(fields: Mapping[str, Any], name: str) -> FieldValues:
    """All values of one field. Never raises, whatever JSON holds."""
    value = lookup(fields, name)
    return ABSENT if value is MISSING else field_values(value)


def field_values(value: object) -> FieldValues:
    """All values of a field that is there."""
    if isinstance(value, str):
        number = number_of(value)
        return FieldValues(True, False, (value,), (value.lower(),), () if number is None else (number,))
    texts: list[str] = []
    numbers: list[float] = []
    null = empty = True
    for item in _flat(value):
        null = item is None if empty else null or item is None
        empty = False
        text = text_of(item)
        if text is not None:
            texts.append(text)
        number = number_of(item)
        if number is not None:
            numbers.append(number)
    return FieldValues(True, null, tuple(texts), tuple(text.lower() for text in texts), tuple(numbers))


class View(dict[str, FieldValues]):
    """An event's fields, read on demand and kept: ``view[name]`` never fails.

    ``scalars`` are all scalar texts of the event at any depth (keywords search them); ``lows`` in lower case.
    """

    __slots__ = ("_lows", "_texts", "fields")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self.fields = fields
        self._texts: tuple[str, ...] | None = None
        self._lows: tuple[str, ...] | None = None

    def __missing__(self, name: str) -> FieldValues:
        values = self[name] = read_field(self.fields, name)
        return values

    @property
    def texts(self) -> tuple[str, ...]:
        if self._texts is None:
            found = (text_of(value) for value in scalars(self.fields))
            self._texts = tuple(text for text in found if text is not None)
        return self._texts

    @property
    def lows(self) -> tuple[str, ...]:
        if self._lows is None:
            self._lows = tuple(text.lower() for text in self.texts)
        return self._lows


def scalars(value: object) -> Iterator[Any]:
    """All scalar values inside ``value``, at any depth, null left out."""
    stack: list[object] = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, (str, int)):
            yield value
        elif isinstance(value, (list, tuple)):
            stack.extend(value)
        elif isinstance(value, (dict, Mapping)):
            stack.extend(value.values())
        elif value is not None:
            yield value
