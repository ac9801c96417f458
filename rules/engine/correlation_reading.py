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

#: The group-by values as they are, in order.
Texts = tuple[str, ...]


class Values(Protocol):
    @property
    def texts(self) -> tuple[str, ...]: ...
    @property
    def numbers(self) -> tuple[float, ...]: ...


class Fields(Protocol):
    """An event's fields by name; an absent one has no texts and no numbers."""

    def __getitem__(self, name: str, /) -> Values: ...


class _Named(NamedTuple):
    texts: tuple[str, ...]
    numbers: tuple[float, ...]


class Seen:
    """Fields as a rule saw them: under other names, or of a correlation that an inner one completed."""

    __slots__ = ("_fields", "_group", "_renames")

    def __init__(self, fields: Fields, renames: Mapping[str, str], group: Mapping[str, str]) -> None:
        self._fields = fields
        self._renames = renames
        self._group = group

    def __getitem__(self, name: str) -> Values:
        values = self._fields[self._renames.get(name, name)]
        if name in self._group:
            return _Named((self._group[name],), values.numbers)
        return values


class Subscription:
    """What one correlation takes from the matches of one rule. ``bits``: the rule's places in the list."""

    __slots__ = ("bits", "groups", "mark", "order", "tracker", "values")

    def __init__(self, tracker: Tracker, order: int, bits: int, fields: Mapping[str, str]) -> None:
        plan = tracker.plan
        self.tracker = tracker
        self.order = order
        self.bits = bits
        self.groups = _groups_reader([fields.get(name, name) for name in plan.group_by])
        #: The fields of the condition, as this rule's events call them.
        self.values = tuple(fields.get(name, name) for name in plan.fields)
        self.mark = _mark_reader(plan, self.values)


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


def key_of(texts: Texts) -> GroupKey:
    if len(texts) == 1:
        return short(texts[0])
    return tuple([short(text) for text in texts])


def _groups_reader(names: list[str]) -> Callable[[Fields], Iterable[Texts]]:
    def read(fields: Fields) -> Iterable[Texts]:
        each = [fields[name].texts for name in names]
        for texts in each:
            if len(texts) != 1:
                return dict.fromkeys(itertools.islice(itertools.product(*each), COMBINATIONS_LIMIT))
        return (tuple([texts[0] for texts in each]),)

    def read_one(fields: Fields) -> Iterable[Texts]:
        texts = fields[name].texts
        if len(texts) == 1:
            return (texts,)
        return dict.fromkeys((text,) for text in texts[:COMBINATIONS_LIMIT])

    if len(names) == 1:
        name = names[0]
        return read_one
    return read


def _mark_reader(plan: CorrelationPlan, names: tuple[str, ...]) -> Callable[[Fields], Any] | None:
    """Gives an event's mark, ``()`` where it has no part. None: the bits are the mark."""
    if plan.kind in TEMPORAL or plan.kind == "event_count":
        return None
    name = names[0]

    def numbers(fields: Fields) -> Any:
        found = fields[name].numbers
        kept = [_number(each) for each in found[:_NUMBERS_LIMIT] if -_INFINITY < each < _INFINITY]
        return kept[0] if len(kept) == 1 else tuple(kept)

    def one(fields: Fields) -> Any:
        texts = fields[name].texts
        if len(texts) == 1:
            return short(texts[0])
        found = tuple(dict.fromkeys(short(text) for text in texts[:COMBINATIONS_LIMIT]))
        return found[0] if len(found) == 1 else found

    def several(fields: Fields) -> Any:
        each = [fields[name].texts for name in names]
        combined = itertools.islice(itertools.product(*each), COMBINATIONS_LIMIT)
        # Lengths before texts: no two combinations look alike.
        found = tuple(
            dict.fromkeys(short("".join(f"{len(text)}:{text}" for text in texts)) for texts in combined)
        )
        return found[0] if len(found) == 1 else found

    if plan.kind in NUMERIC:
        return numbers
    return one if len(names) == 1 else several


_INFINITY: Final = float("inf")


def _number(value: float) -> float:
    return value if -_EXACT_LIMIT < value < _EXACT_LIMIT else float(value)


#: A subscription whose rule matched, the fields as that rule saw them, and by which names it saw them.
Part = tuple[Subscription, Fields, Mapping[str, str]]


def entries_of(parts: list[Part]) -> list[tuple[GroupKey, Texts, Any]]:
    """The groups that an event enters in one correlation, each once however many of its rules matched."""
    subscription, fields, _ = parts[0]
    kind = subscription.tracker.plan.kind
    if len(parts) == 1:
        mark = subscription.bits if subscription.mark is None else subscription.mark(fields)
        if mark == () and type(mark) is tuple:
            return []
        return [(key_of(texts), texts, mark) for texts in subscription.groups(fields)]
    found: dict[GroupKey, tuple[Texts, list[Any]]] = {}
    counted: set[tuple[GroupKey, str]] = set()
    for subscription, fields, renames in parts:
        mark = subscription.bits if subscription.mark is None else subscription.mark(fields)
        if mark == () and type(mark) is tuple:
            continue
        for texts in subscription.groups(fields):
            key = key_of(texts)
            marks = found.setdefault(key, (texts, []))[1]
            if kind in NUMERIC:
                name = subscription.values[0]
                place = key, renames.get(name, name)
                if place in counted:  # two rules that look at one field: its numbers count once
                    continue
                counted.add(place)
            marks.append(mark)
    return [(key, texts, _merged(kind, marks)) for key, (texts, marks) in found.items()]


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
