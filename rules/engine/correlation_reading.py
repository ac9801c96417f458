"""What an event brings to a correlation: the groups that it is in, and its mark there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from rules.engine.correlation_plan import NUMERIC, TEMPORAL

if TYPE_CHECKING:
    from rules.engine.correlation_plan import CorrelationPlan
    from rules.engine.correlation_state import GroupKey, Tracker

#: An event is in at most so many groups of one correlation, and counts with at most so many values.
COMBINATIONS_LIMIT: Final = 64
_NUMBERS_LIMIT: Final = 1_000
_TEXT_LIMIT: Final = 200
_EXACT_LIMIT: Final = 1 << 62


class Values(Protocol):
    @property
    def texts(self) -> tuple[str, ...]: ...
    @property
    def numbers(self) -> tuple[float, ...]: ...


class Fields(Protocol):
    """An event's fields by name, an absent one without texts and numbers; and as they are, for a shorter way."""

    @property
    def fields(self) -> Mapping[str, Any]: ...
    def __getitem__(self, name: str, /) -> Values: ...


class _Named(NamedTuple):
    texts: tuple[str, ...]
    numbers: tuple[float, ...]


class Seen:
    """Fields as a rule saw them: under other names, or of a correlation that an inner one completed."""

    __slots__ = ("_fields", "_group", "_renames", "fields")

    def __init__(self, fields: Fields, renames: Mapping[str, str], group: Mapping[str, str]) -> None:
        self.fields: Mapping[str, Any] = {}  # no shorter way
        self._fields = fields
        self._renames = renames
        self._group = group

    def __getitem__(self, name: str) -> Values:
        values = self._fields[self._renames.get(name, name)]
        if name in self._group:
            return _Named((self._group[name],), values.numbers)
        return values


class Subscription:
    """What one correlation takes from the matches of one rule. ``bits``: the rule's places in the list.

    ``keys`` gives the groups that an event is in; ``mark`` its mark there, ``()`` where it has no part, and is None
    where the bits are the mark.
    """

    __slots__ = ("_names", "bits", "keys", "mark", "order", "tracker", "values")

    def __init__(self, tracker: Tracker, order: int, bits: int, fields: Mapping[str, str]) -> None:
        plan = tracker.plan
        self.tracker = tracker
        self.order = order
        self.bits = 1 if plan.kind == "event_count" else bits
        #: Group-by names, and what this rule's events call them.
        self._names = [(name, fields.get(name, name)) for name in plan.group_by]
        self.keys = _keys_reader([name for _, name in self._names])
        #: The fields of the condition, as this rule's events call them.
        self.values = tuple(fields.get(name, name) for name in plan.fields)
        self.mark = _mark_reader(plan, self.values)

    def group(self, key: GroupKey, fields: Fields) -> dict[str, str]:
        """The group's values by name; ``fields``: of an event that is in it."""
        parts = key if isinstance(key, tuple) else (key,)
        return {
            name: part if isinstance(part, str) else _long(part, fields[field])
            for (name, field), part in zip(self._names, parts, strict=True)
        }


def _long(digest: bytes, values: Values) -> str:
    return next((text for text in values.texts if short(text) == digest), "")


def short(text: str) -> str | bytes:
    """Text to compare by, of bounded size: a digest where it is long or cannot be stored."""
    if len(text) <= _TEXT_LIMIT:
        if text.isascii():
            return text
        try:
            text.encode()
        except UnicodeEncodeError:
            pass
        else:
            return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).digest()


def _plain_reader(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """Gives what is under a name, at the top or one step down, as :func:`rules.engine.fields.lookup` would, or None
    where it takes more to tell. Most fields are one short text, and most events have many."""
    head, _, rest = name.partition(".")

    def flat(fields: Mapping[str, Any]) -> Any:
        return fields.get(name)

    def nested(fields: Mapping[str, Any]) -> Any:
        value = fields.get(name)
        if value is None and name not in fields:
            child = fields.get(head)
            if type(child) is dict:
                return child.get(rest)
        return value

    return nested if rest else flat


def _keys_reader(names: list[str]) -> Callable[[Fields], Iterable[GroupKey]]:
    def of_one(fields: Fields) -> Iterable[GroupKey]:
        text = read(fields.fields)
        if type(text) is str and len(text) <= _TEXT_LIMIT and text.isascii():
            return (text,)
        return dict.fromkeys(short(text) for text in fields[name].texts[:COMBINATIONS_LIMIT])

    def of_two(fields: Fields) -> Iterable[GroupKey]:
        text, other = read(fields.fields), read_second(fields.fields)
        if (
            type(text) is str
            and type(other) is str
            and len(text) + len(other) <= _TEXT_LIMIT
            and text.isascii()
            and other.isascii()
        ):
            return ((text, other),)
        return of_any(fields)

    def of_any(fields: Fields) -> Iterable[GroupKey]:
        each = [fields[name].texts for name in names]
        combined = itertools.islice(itertools.product(*each), COMBINATIONS_LIMIT)
        return dict.fromkeys(tuple([short(text) for text in texts]) for texts in combined)

    name, second = (*names, "", "")[:2]
    read, read_second = _plain_reader(name), _plain_reader(second)
    return {1: of_one, 2: of_two}.get(len(names), of_any)


def _mark_reader(plan: CorrelationPlan, names: tuple[str, ...]) -> Callable[[Fields], Any] | None:
    def numbers(fields: Fields) -> Any:
        value = read(fields.fields)
        if type(value) is int and -_EXACT_LIMIT < value < _EXACT_LIMIT:
            return value
        found = fields[name].numbers
        kept = [_number(each) for each in found[:_NUMBERS_LIMIT] if -_INFINITY < each < _INFINITY]
        return kept[0] if len(kept) == 1 else tuple(kept)

    def one(fields: Fields) -> Any:
        text = read(fields.fields)
        if type(text) is str and len(text) <= _TEXT_LIMIT and text.isascii():
            return text
        found = tuple(dict.fromkeys(short(text) for text in fields[name].texts[:COMBINATIONS_LIMIT]))
        return found[0] if len(found) == 1 else found

    def several(fields: Fields) -> Any:
        each = [fields[name].texts for name in names]
        combined = itertools.islice(itertools.product(*each), COMBINATIONS_LIMIT)
        # Lengths before texts: no two combinations look alike.
        joined = ("".join(f"{len(text)}:{text}" for text in texts) for texts in combined)
        found = tuple(dict.fromkeys(short(text) for text in joined))
        return found[0] if len(found) == 1 else found

    if plan.kind in TEMPORAL or plan.kind == "event_count":
        return None
    name = names[0]
    read = _plain_reader(name)
    if plan.kind in NUMERIC:
        return numbers
    return one if len(names) == 1 else several


_INFINITY: Final = float("inf")


def _number(value: float) -> float:
    return value if -_EXACT_LIMIT < value < _EXACT_LIMIT else float(value)


#: A subscription whose rule matched, the fields as that rule saw them, and by which names it saw them.
Part = tuple[Subscription, Fields, Mapping[str, str]]


def merged(parts: list[Part]) -> Iterable[tuple[GroupKey, Any, Part]]:
    """The groups that an event enters in one correlation, each once however many of its rules matched."""
    kind = parts[0][0].tracker.plan.kind
    found: dict[GroupKey, tuple[list[Any], Part]] = {}
    counted: set[tuple[GroupKey, str]] = set()
    for part in parts:
        subscription, fields, renames = part
        mark = subscription.bits if subscription.mark is None else subscription.mark(fields)
        if type(mark) is tuple and not mark:
            continue
        for key in subscription.keys(fields):
            marks = found.setdefault(key, ([], part))[0]
            if kind in NUMERIC:
                name = subscription.values[0]
                place = key, renames.get(name, name)
                if place in counted:  # two rules that look at one field: its numbers count once
                    continue
                counted.add(place)
            marks.append(mark)
    return [(key, _merged(kind, marks), part) for key, (marks, part) in found.items()]


def _merged(kind: str, marks: list[Any]) -> Any:
    if kind in TEMPORAL or kind == "event_count":
        bits = 0
        for mark in marks:
            bits |= mark
        return bits
    flat = [value for mark in marks for value in (mark if type(mark) is tuple else (mark,))]
    if kind == "value_count":
        flat = list(dict.fromkeys(flat))
    return flat[0] if len(flat) == 1 else tuple(flat)
