"""One field's predicates, worked out once for each value that occurs.

A *predicate* is a leaf of some rule's condition: "this field has one of these values". For each value the set of
predicates that hold is looked up by hash tables and automata, and given a number, the value's *class*: values that no
rule can tell apart have the same class. What a rule says of an event depends on its values' classes alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

from rules.engine.fields import ABSENT, MISSING, field_values, lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules.engine.tables import Wanted

#: Numbers of predicates.
Predicates = frozenset[int]
#: Longer values are worked out each time.
LONGEST_CACHED: Final = 32_768
OVERHEAD_BYTES: Final = 160
#: Of a set, for each member.
MEMBER_BYTES: Final = 40
_LARGEST_INT: Final = 10**15


class Renewed(Protocol):
    """What keeps numbers of classes."""

    def renew(self) -> None: ...


class Budget:
    """What all caches of an engine may hold together, in bytes as estimated when something is taken in. When the
    values in them are more, all values are forgotten; when what was derived from values (classes, and what the rules
    say of signatures) is more, all of that is: whoever sends events chooses how many there are of either."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.derived_bytes = 0
        self._indexes: WeakSet[ValueIndex] = WeakSet()
        self._owners: WeakSet[Renewed] = WeakSet()

    def register(self, index: ValueIndex) -> None:
        self._indexes.add(index)

    def register_owner(self, owner: Renewed) -> None:
        """``owner`` knows classes by their numbers, and is told when those are given anew."""
        self._owners.add(owner)

    def renew_if_full(self) -> bool:
        """Begin anew with classes where they are too many. To be called only while no class's number is in use."""
        if self.derived_bytes <= self.limit_bytes:
            return False
        self.used_bytes = self.derived_bytes = 0
        for owner in self._owners:
            owner.renew()
        return True

    def spend(self, count: int) -> None:
        self.used_bytes += count
        if self.used_bytes > self.limit_bytes:
            self.used_bytes = 0
            for index in self._indexes:
                index.clear()


class Classes:
    """Numbers for sets of predicates. Class 0 is never given, so that a class is always true."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._numbers: dict[Predicates, int] = {}
        self.sets: list[Predicates] = [frozenset()]

    def number(self, predicates: Predicates) -> int:
        found = self._numbers.get(predicates)
        if found is None:
            self.sets.append(predicates)
            found = self._numbers[predicates] = len(self.sets) - 1
            self._budget.derived_bytes += OVERHEAD_BYTES + MEMBER_BYTES * len(predicates)
        return found


def _twin(value: float) -> float | None:
    """The number of the other kind that is one key with ``value`` to a dictionary, but another text to a rule."""
    if value.__class__ is float:
        return int(value) if value.is_integer() else None
    if abs(value) < _LARGEST_INT:
        return None  # the float's text is the same
    try:
        return float(value) if float(value) == value else None
    except OverflowError:
        return None


class ValueIndex:
    """A cache from a scalar value to its class. The hot path looks into :attr:`cache` itself."""

    def __init__(self, wanted: Wanted, budget: Budget) -> None:
        self._wanted = wanted
        self._budget = budget
        budget.register(self)
        self._classes = Classes(budget)
        self._always: dict[Any, int] = {}
        self.cache: dict[Any, int] = {}

    @property
    def sets(self) -> list[Predicates]:
        """The predicates of a class, by its number."""
        return self._classes.sets

    def clear(self) -> None:
        """Forget all values but those that are always known."""
        self.cache.clear()
        self.cache.update(self._always)

    def renew(self) -> None:
        """Forget all values and classes."""
        self._classes = Classes(self._budget)
        self._begin()

    def _begin(self) -> None:
        """Give what is always known its class."""
        self.clear()

    def class_of(self, value: Any) -> int:
        """The class of a value that is not in the cache (any JSON value that is present), which takes it in."""
        kind = type(value)
        if kind is str:
            found = self._classes.number(self._wanted.of_text(value))
            if len(value) <= LONGEST_CACHED:
                self.cache[value] = found
                self._budget.spend(len(value) + OVERHEAD_BYTES)
            return found
        found = self._work_out(value)
        # 1, 1.0 and True are one key to a dictionary, but not one text to a rule.
        if kind is bool or value in (0, 1):
            if self._work_out(bool(value)) == self._work_out(int(value)):
                self.cache[value] = found
        elif kind is int or kind is float:
            twin = _twin(value)
            if twin is None or self._work_out(twin) == found:
                self.cache[value] = found
                self._budget.spend(OVERHEAD_BYTES)
        return found

    def _work_out(self, value: Any) -> int:
        return self._classes.number(self._wanted.of(field_values(value)))


class FieldIndex(ValueIndex):
    """The predicates of the field ``name``."""

    def __init__(self, name: str, wanted: Wanted, budget: Budget) -> None:
        super().__init__(wanted, budget)
        self.name = name
        self._begin()

    def _begin(self) -> None:
        # A field that is not there has its class without looking, unless `exists` tells it from null, or the name
        # may lead into nested objects.
        self._absent = self._classes.number(self._wanted.of(ABSENT))
        self._null = self._work_out(None)
        #: Whether the cache alone answers: a look-up of the name gives the value, or null for no value.
        self.direct = "." not in self.name and self._null == self._absent
        if self.direct:
            self._always[None] = self._null
        self.clear()

    @property
    def absent(self) -> Predicates:
        """What holds of the field where it is not there."""
        return self.sets[self._absent]

    def read(self, fields: Mapping[str, Any]) -> int:
        """The class of the event's value, however it is to be found."""
        value = lookup(fields, self.name)
        if isinstance(value, (str, int)):
            return self.cache.get(value) or self.class_of(value)
        if value is MISSING:
            return self._absent
        return self._null if value is None else self._work_out(value)
