"""Which services and categories of a pipeline an event belongs to, worked out as rarely as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rules.engine.fields import text_of
from rules.engine.routing import Renames, Sources
from rules.logsources.when import Condition, Conditions, hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rules.logsources.pipelines import Pipeline

#: Log sources come from outside: no cache of them grows beyond this.
CACHE_LIMIT: Final = 4096
#: Longer texts are no keys of it.
MAX_KEY: Final = 512
#: The value of a field, or its several values.
Key = str | tuple[str, ...]
#: A list with more elements, or longer ones, is no key: who decides looks at the fields themselves.
_MOST_ELEMENTS: Final = 16
_LONGEST_ELEMENT: Final = 64
_interned: dict[Sources, Sources] = {}


def key_of(value: object) -> Key | None:
    """What a value is known by: its text, or the texts of a list. ``None`` where it has none; a list that is too long
    is told by an empty key."""
    if not isinstance(value, list):
        return text_of(value) or None
    texts = tuple(text for text in map(text_of, value[:_LONGEST_ELEMENT]) if text)
    if not texts:
        return None
    return () if len(value) > _MOST_ELEMENTS or max(map(len, texts)) > _LONGEST_ELEMENT else texts


def interned(sources: Sources) -> Sources:
    """One object for equal log sources, so that whoever caches by them finds them by identity."""
    found = _interned.get(sources)
    if found is None:
        if len(_interned) >= CACHE_LIMIT:
            _interned.clear()
        found = _interned[sources] = sources
    return found


class Decider:
    """The services and categories of one pipeline, with what is still open about them.

    ``constant``: the answer, where no condition is left. :meth:`narrowed` settles the conditions on fields whose
    values are known; so an answer can be kept by those values, and only what hangs on others is asked again.
    """

    __slots__ = ("_answers", "_product", "_services", "_ways", "constant")

    def __init__(
        self,
        product: str,
        services: Iterable[tuple[str, tuple[Conditions, ...]]],
        ways: Iterable[tuple[str, str, Conditions, Renames]],
    ) -> None:
        self._product = product
        self._services = tuple(services)
        self._ways = tuple(ways)
        self._answers: dict[tuple[bool, ...], Sources] = {}
        is_open = any(not any(not each for each in found) for _, found in self._services) or any(
            where for _, _, where, _ in self._ways
        )
        self.constant: Sources | None = None if is_open else self._decide({})

    def decide(self, fields: Mapping[str, Any]) -> Sources:
        if self.constant is not None:
            return self.constant
        return self._decide(fields)

    def _decide(self, fields: Mapping[str, Any]) -> Sources:
        services = frozenset(
            name for name, alternatives in self._services if any(hold(each, fields) for each in alternatives)
        )
        categories = frozenset(
            (category, renames)
            for category, service, where, renames in self._ways
            if (not service or service in services) and hold(where, fields)
        )
        return interned(Sources(self._product, services, categories))

    def open_fields(self) -> tuple[str, ...]:
        """The fields that the conditions left ask for."""
        every = [each for _, found in self._services for each in found]
        every.extend(where for _, _, where, _ in self._ways)
        return tuple(dict.fromkeys(condition.field for conditions in every for condition in conditions))

    def narrowed(self, known: Mapping[str, Any]) -> Decider:
        """The decider for events whose fields have the values ``known``; what cannot hold any more is gone."""
        services: list[tuple[str, tuple[Conditions, ...]]] = []
        for name, alternatives in self._services:
            left = tuple(each for each in (_left(each, known) for each in alternatives) if each is not None)
            if left:
                services.append((name, ((),) if () in left else left))
        names = {name for name, _ in services}
        ways: list[tuple[str, str, Conditions, Renames]] = []
        for category, service, where, renames in self._ways:
            still = _left(where, known)
            if still is not None and (not service or service in names):
                ways.append((category, service, still, renames))
        return Decider(self._product, services, ways)


def _left(conditions: Conditions, known: Mapping[str, Any]) -> Conditions | None:
    """Those on other fields than ``known``; ``None`` where one on a known field does not hold."""
    left: list[Condition] = []
    for each in conditions:
        if each.field not in known:
            left.append(each)
        elif not each.holds(known):
            return None
    return tuple(left)


def decider_of(pipeline: Pipeline, product: str | None = None) -> Decider:
    """``product`` stands in where the pipeline names none."""
    return Decider(
        pipeline.product or product or "",
        pipeline.services.items(),
        (
            (category, way.service, way.where, way.renames)
            for category, ways in pipeline.categories.items()
            for way in ways
        ),
    )


class KeyedDecider:
    """A decider, narrowed for the values of some fields and kept by them.

    Worth it where nearly everything hangs on one or two fields of few values: a channel and an event id, a program.
    What the first leaves is kept too: there are few channels, of many event ids each.
    """

    __slots__ = ("_by_first", "_decider", "_known", "_names")

    def __init__(self, decider: Decider, names: tuple[str, ...]) -> None:
        self._decider = decider
        self._names = names
        self._known: dict[tuple[Key, ...], Decider] = {}
        self._by_first: dict[Key, Decider] = {}

    def decider(self, values: tuple[Key, ...]) -> Decider:
        """For events whose fields have these values: a text, or several as a tuple."""
        found = self._known.get(values)
        if found is None:
            short = all(len(each) <= MAX_KEY for each in values)
            known = dict(zip(self._names, values, strict=True))
            found = (self._narrowed_by_first(values[0]) if short else self._decider).narrowed(known)
            if short:
                if len(self._known) >= CACHE_LIMIT:
                    self._known.clear()
                self._known[values] = found
        return found

    def _narrowed_by_first(self, value: Key) -> Decider:
        found = self._by_first.get(value)
        if found is None:
            if len(self._by_first) >= CACHE_LIMIT:
                self._by_first.clear()
            found = self._by_first[value] = self._decider.narrowed({self._names[0]: value})
        return found
