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
#: JSON text in which a character of a keyword may be written otherwise: escaped, or one whose lower case is ASCII
#: (the Kelvin sign, the dotted capital I).
_ESCAPED: Final = (rb"\u00", rb"\u0130", rb"\u212a")
_UNUSUAL: Final = ("\u0130".encode(), "\u212a".encode())


class Sieve:
    """Texts of which one is in every event that any of the keywords is in."""

    def __init__(self, texts: Iterable[str], written: Iterable[str]) -> None:
        self._in_text = AhoCorasick(sorted(set(texts)), matchkind=MATCHKIND_LEFTMOST_FIRST)
        patterns = sorted({each.encode() for each in written} | set(_ESCAPED))
        self._find_json = BytesAhoCorasick(
            patterns, matchkind=MATCHKIND_LEFTMOST_FIRST
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

    def passes_json(self, raw: bytes) -> bool:
        """Whether one of the texts may be in an event written as ``raw``."""
        return bool(self._find_json(raw.lower())) or self._unusual(raw)

    def places(self, raw: bytes) -> list[int]:
        """Where in the JSON text of many events, in lower case, one of the texts begins. Events that are not ASCII
        alone are to be asked about one by one."""
        return [hit[1] for hit in self._find_json(raw)]

    def _unusual(self, raw: bytes) -> bool:
        return not raw.isascii() and any(each in raw for each in _UNUSUAL)

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
        if self.sieve is not None:
            passes = self.sieve.passes_json(raw) if raw else self.sieve.passes(fields)
            if not passes:
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
