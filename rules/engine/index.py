"""One field's predicates, worked out once for each value that occurs.

A *predicate* is a leaf of some rule's condition: "this field has one of these values". For each value the set of
predicates that hold is looked up by a hash table and RE2 sets, and given a number, the value's *class*: values that no
rule can tell apart have the same class. What a rule says of an event depends on its values' classes alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from rules.engine.conditions import (
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
from rules.engine.fields import ABSENT, MISSING, FieldValues, field_values, lookup, scalars, text_of
from rules.engine.patterns import Guard, PatternSet
from rules.engine.values import network_test, number_test, regex_test, time_test

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

Predicates = frozenset[int]
#: Expressions that repeat without end are tried one by one: in a set their automata multiply.
_REPEATS: Final = re.compile(r"[*+]|\{[0-9]*,")
#: Longer values are worked out each time.
_LONGEST_CACHED: Final = 32_768
_OVERHEAD_BYTES: Final = 160
#: ``1``, ``1.0`` and ``True`` are one key to a dictionary, but not one text to a rule.
_ALIKE: Final = ((0, False), (1, True))
_LARGEST_INT: Final = 10**15
_MOST_CONTAINERS: Final = 16


class Budget:
    """What all caches of an engine may hold together, in bytes as estimated when a value is taken in."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    @property
    def exceeded(self) -> bool:
        return self.used_bytes > self.limit_bytes


class Classes:
    """Numbers for sets of predicates. Class 0 is never given, so that a class is always true."""

    def __init__(self) -> None:
        self._numbers: dict[Predicates, int] = {}
        self.sets: list[Predicates] = [frozenset()]

    def number(self, predicates: Predicates) -> int:
        found = self._numbers.get(predicates)
        if found is None:
            self.sets.append(predicates)
            found = self._numbers[predicates] = len(self.sets) - 1
        return found


def _twin(value: float) -> float | None:
    """The number of the other kind that is one key with ``value`` to a dictionary, but another text to a rule."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if abs(value) < _LARGEST_INT:
        return None  # the float's text is the same
    try:
        return float(value) if float(value) == value else None
    except OverflowError:
        return None


class _Tables:
    """The predicates of one field (or of all values, for keywords), laid out by how their values are found."""

    def __init__(self, predicates: Iterable[tuple[int, tuple[Value, ...]]], guard: Guard) -> None:
        exact: dict[str, dict[int, None]] = {}
        low: dict[Text | Regex, dict[int, None]] = {}
        raw: dict[Text | Regex, dict[int, None]] = {}
        self.null: set[int] = set()
        self.present: set[int] = set()
        self.absent: set[int] = set()
        self.texts: list[tuple[Callable[[str], bool], int]] = []
        self.numbers: list[tuple[Callable[[float], bool], int]] = []
        for predicate, values in predicates:
            for value in values:
                match value:
                    case Text(parts, False) if len(parts) < 2 and all(
                        isinstance(part, str) for part in parts
                    ):
                        exact.setdefault("".join(map(str, parts)), {})[predicate] = None
                    case Text():
                        (raw if value.cased else low).setdefault(value, {})[predicate] = None
                    case Regex() if _REPEATS.search(value.source):
                        self.texts.append((regex_test(value), predicate))
                    case Regex():
                        raw.setdefault(value, {})[predicate] = None
                    case Null():
                        self.null.add(predicate)
                    case Exists(wanted):
                        (self.present if wanted else self.absent).add(predicate)
                    case Compare():
                        self.numbers.append((number_test(value), predicate))
                    case Network():
                        self.texts.append((network_test(value), predicate))
                    case TimePart():
                        self.texts.append((time_test(value), predicate))
                    case Reference():
                        raise TypeError("a reference to another field has no class")
        self.exact = {text: tuple(found) for text, found in exact.items()}
        self.low = _set_of(low, guard)
        self.raw = _set_of(raw, guard)

    def quiet(self, text: str) -> bool:
        """Whether no pattern occurs in ``text``, for sure."""
        return (self.low is None or self.low.quiet(text.lower())) and (
            self.raw is None or self.raw.quiet(text)
        )

    def of(self, values: FieldValues) -> Predicates:
        found: set[int] = set(self.present if values.present else self.absent)
        if values.null:
            found |= self.null
        for text, low in zip(values.texts, values.lows, strict=True):
            exact = self.exact.get(low)
            if exact is not None:
                found.update(exact)
            if self.low is not None:
                self.low.collect(low, found)
            if self.raw is not None:
                self.raw.collect(text, found)
            for test, predicate in self.texts:
                if predicate not in found and test(text):
                    found.add(predicate)
        for number in values.numbers:
            for compare, predicate in self.numbers:
                if compare(number):
                    found.add(predicate)
        return frozenset(found)


def _set_of(patterns: Mapping[Text | Regex, Iterable[int]], guard: Guard) -> PatternSet | None:
    if not patterns:
        return None
    return PatternSet({pattern: tuple(found) for pattern, found in patterns.items()}, guard)


class _Index:
    """A cache from a scalar value to its class. ``get`` is the cache's own lookup: the hot path calls it alone."""

    def __init__(self, tables: _Tables, budget: Budget) -> None:
        self._tables = tables
        self._budget = budget
        self._classes = Classes()
        self._always: dict[Any, int] = {}
        for number, boolean in _ALIKE:
            as_number, as_boolean = self._work_out(number), self._work_out(boolean)
            if as_number == as_boolean:
                self._always[number] = as_number
        self.cache: dict[Any, int] = dict(self._always)

    @property
    def sets(self) -> list[Predicates]:
        """The predicates of a class, by its number."""
        return self._classes.sets

    def clear(self) -> None:
        self.cache.clear()
        self.cache.update(self._always)

    def class_of(self, value: Any) -> int:
        """The class of a value that is not in the cache (any JSON value that is present), which takes it in."""
        found = self._work_out(value)
        kind = type(value)
        if kind is str:
            if len(value) <= _LONGEST_CACHED:
                self.cache[value] = found
                self._budget.used_bytes += len(value) + _OVERHEAD_BYTES
        elif (kind is int and abs(value) > 1) or kind is float:
            twin = _twin(value)
            if twin is None or self._work_out(twin) == found:
                self.cache[value] = found
                self._budget.used_bytes += _OVERHEAD_BYTES
        return found

    def _work_out(self, value: Any) -> int:
        return self._classes.number(self._tables.of(field_values(value)))


class FieldIndex(_Index):
    """The predicates of the field ``name``."""

    def __init__(
        self,
        name: str,
        predicates: Iterable[tuple[int, tuple[Value, ...]]],
        budget: Budget,
        guard: Guard,
    ) -> None:
        super().__init__(_Tables(predicates, guard), budget)
        self.name = name
        # A field that is not there has its class without looking, unless `exists` tells it from null, or the name
        # may lead into nested objects.
        self._absent = self._classes.number(self._tables.of(ABSENT))
        self._null = self._work_out(None)
        #: Whether the cache alone answers: a look-up of the name gives the value, or null for no value.
        self.direct = "." not in name and self._null == self._absent
        if self.direct:
            self._always[None] = self._null
            self.clear()

    def read(self, fields: Mapping[str, Any]) -> int:
        """The class of the event's value, however it is to be found."""
        value = lookup(fields, self.name)
        if isinstance(value, (str, int)):
            return self.cache.get(value) or self.class_of(value)
        if value is MISSING:
            return self._absent
        return self._null if value is None else self._work_out(value)


class KeywordIndex(_Index):
    """The predicates of keywords, over all scalar values of an event."""

    def __init__(
        self, predicates: Iterable[tuple[int, tuple[Value, ...]]], budget: Budget, guard: Guard
    ) -> None:
        listed = list(predicates)
        super().__init__(_Tables(listed, guard), budget)
        #: The class of a value in which no keyword occurs.
        self.nothing = self._classes.number(frozenset())
        self._always[None] = self.nothing  # null has no text
        self.clear()
        #: Names under which objects and lists came: a set of all values cannot hold those.
        self._containers: list[str] = []
        #: Whether a keyword that is in a value is also in a longer text around it.
        self._whole = not any(isinstance(value, Regex) for _, values in listed for value in values)

    def read(self, fields: Mapping[str, Any]) -> frozenset[int]:
        """The classes of all scalar values, the empty class left out."""
        get = self.cache.get
        values: Collection[Any] = fields.values()
        try:
            if self._containers:
                flat = {**fields}
                inner: list[Any] = []
                for name in self._containers:
                    value = flat.pop(name, None)
                    inner.extend(value if value.__class__ is list else scalars(value))
                values = [*flat.values(), *inner]
            found = set(map(get, values))
        except TypeError:  # an object or a list where there was none before
            self._learn(fields)
            values = list(scalars(fields))
            found = set(map(get, values))
        if None in found:
            found.discard(None)
            found.update(self._take_in([value for value in values if get(value) is None]))
        found.discard(self.nothing)
        return frozenset(found)  # type: ignore[arg-type]  # None is out

    def _take_in(self, values: list[Any]) -> Iterable[int]:
        """New values, looked at all together first: most hold no keyword."""
        if self._whole and self._tables.quiet("\0".join([text_of(value) or "" for value in values])):
            kept = [value for value in values if value.__class__ is str and len(value) <= _LONGEST_CACHED]
            self.cache.update(dict.fromkeys(kept, self.nothing))
            self._budget.used_bytes += sum(map(len, kept)) + _OVERHEAD_BYTES * len(kept)
            if len(kept) < len(values):
                return [self.class_of(value) for value in values if value.__class__ is not str] or [
                    self.nothing
                ]
            return [self.nothing]
        return [self.class_of(value) for value in values]

    def _learn(self, fields: Mapping[str, Any]) -> None:
        if len(self._containers) < _MOST_CONTAINERS:
            self._containers.extend(
                name
                for name, value in fields.items()
                if isinstance(value, (dict, list, tuple)) and name not in self._containers
            )
