"""Keywords: predicates over all scalar values of an event, which few events ever meet.

So an event is first sieved: the rarest text of each keyword is looked for in the event as a whole (in its JSON text
where that is at hand), all at once by an Aho-Corasick automaton. Only where one is found are the values looked at.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ahocorasick_rs import MATCHKIND_LEFTMOST_FIRST, AhoCorasick, BytesAhoCorasick

from rules.engine.conditions import Text, Value
from rules.engine.fields import scalars, text_of
from rules.engine.index import Budget, ValueIndex

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from rules.engine.tables import Wanted

NO_KEYWORDS: Final[frozenset[int]] = frozenset()
_MOST_CONTAINERS: Final = 16
#: Shorter texts are in too many events to tell anything.
_SHORTEST: Final = 3
#: Runs of characters that JSON writes as they are, and whose only other case is their ASCII one.
_AS_WRITTEN: Final = re.compile(r"[ !#-.0-9:-@\[\]-~]+")
#: A number may be written otherwise than it is compared (1e3, 1000; 1e999, inf).
_NUMBER: Final = re.compile(r"[-+.0-9e]*|-?inf")
#: In JSON text where a character of a keyword may be written otherwise: escaped, or one whose lower case is ASCII (the
#: Kelvin sign, the dotted capital I).
_OTHERWISE: Final = (r"\u00", r"\u0130", r"\u212a", r"\u212A", "\u0130", "\u212a")
_find_otherwise: Final = BytesAhoCorasick(
    [each.encode() for each in _OTHERWISE], matchkind=MATCHKIND_LEFTMOST_FIRST
).find_matches_as_indexes


def otherwise_at(raw: bytes) -> list[int]:
    """Where in JSON text a character may be written otherwise than keywords are compared."""
    return [hit[1] for hit in _find_otherwise(raw)]


class Sieve:
    """Texts of which one is in every event that any of the keywords is in. ``written``: what of each is in JSON, where
    no character is written otherwise than it is compared."""

    def __init__(self, texts: frozenset[str], written: frozenset[str]) -> None:
        self._texts = texts
        self.written = written
        self._in_text = AhoCorasick(sorted(texts), matchkind=MATCHKIND_LEFTMOST_FIRST)
        self._find_json = BytesAhoCorasick(
            sorted(each.encode() for each in written), matchkind=MATCHKIND_LEFTMOST_FIRST
        ).find_matches_as_indexes

    @classmethod
    def of(cls, keywords: Iterable[tuple[Value, ...]]) -> Sieve | None:
        """``None`` where a keyword has no text that could be looked for."""
        texts: list[str] = []
        written: list[str] = []
        for values in keywords:
            for value in values:
                if not isinstance(value, Text):
                    return None
                parts = [each.lower() for each in value.parts if isinstance(each, str)]
                runs = [
                    run for part in parts for run in _AS_WRITTEN.findall(part) if not _NUMBER.fullmatch(run)
                ]
                text, run = max(parts, key=len, default=""), max(runs, key=len, default="")
                if len(text) < _SHORTEST or len(run) < _SHORTEST:
                    return None
                # A cased keyword is in a value as it is; what its lower case is hangs on what stands around it there
                # (the final sigma), but for ASCII.
                texts.append(run if value.cased else text)
                written.append(run)
        return _sieve(frozenset(texts), frozenset(written))

    def joined(self, other: Sieve) -> Sieve:
        """One that lets through what either does."""
        return _sieve(self._texts | other._texts, self.written | other.written)

    def passes_json(self, raw: bytes) -> bool:
        """Whether one of the texts may be in an event written as ``raw``."""
        return bool(self.places(raw) or otherwise_at(raw))

    def places(self, raw: bytes) -> list[int]:
        """Where in the JSON text of any number of events one of the texts begins. Events in which a character is
        written otherwise (:func:`otherwise_at`) are to be asked about one by one."""
        return [hit[1] for hit in self._find_json(raw.lower())]

    def passes(self, fields: Mapping[str, Any]) -> bool:
        """Whether one of the texts is in a value of the event."""
        texts: list[str] = []
        for value in fields.values():
            if value.__class__ is str:
                texts.append(value)
            else:
                texts.extend(text_of(each) or "" for each in scalars(value))
        try:
            return bool(self._in_text.find_matches_as_indexes("\0".join(texts).lower()))
        except UnicodeEncodeError:  # a lone surrogate
            return True


@lru_cache(maxsize=64)
def _sieve(texts: frozenset[str], written: frozenset[str]) -> Sieve:
    """One sieve for all matchers with the same keywords."""
    return Sieve(texts, written)


class KeywordIndex(ValueIndex):
    """The predicates of keywords, over all scalar values of an event."""

    def __init__(self, keywords: Iterable[tuple[Value, ...]], wanted: Wanted, budget: Budget) -> None:
        """``keywords``: the values of each, which ``wanted`` looks up."""
        super().__init__(wanted, budget)
        self._begin()
        self.sieve = Sieve.of(keywords)
        #: Names under which objects and lists came: a set of all values cannot hold those.
        self._containers: list[str] = []

    def _begin(self) -> None:
        #: The class of a value in which no keyword occurs.
        self.nothing = self._classes.number(frozenset())
        self._always[None] = self.nothing  # null has no text
        self.clear()

    def read(self, fields: dict[str, Any], raw: bytes = b"") -> frozenset[int]:
        """The classes of all scalar values, the empty class left out. ``raw``: the fields' JSON text, if at hand."""
        if self.sieve is not None and not (
            (not raw or self.sieve.passes_json(raw)) and self.sieve.passes(fields)
        ):
            return NO_KEYWORDS
        return self._look_up(fields)

    def _look_up(self, fields: dict[str, Any]) -> frozenset[int]:
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
            found.update([self.class_of(value) for value in values if get(value) is None])
        found.discard(self.nothing)
        return frozenset(found)  # type: ignore[arg-type]  # None is out

    def _learn(self, fields: Mapping[str, Any]) -> None:
        if len(self._containers) < _MOST_CONTAINERS:
            self._containers.extend(
                name
                for name, value in fields.items()
                if isinstance(value, (dict, list, tuple)) and name not in self._containers
            )
