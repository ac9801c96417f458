"""Many patterns asked of one text at once, by RE2 sets, with a guard against a set's silent failure.

An RE2 set whose automaton outgrows its memory answers "nothing matches" and says no more. So every set holds a canary,
a pattern that matches any text: an answer without it is no answer, and the patterns are then tried one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import re2

from rules.engine.conditions import ANY_RUN, Regex, Text
from rules.engine.strings import TextTest, text_test
from rules.engine.values import regex_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CANARY: Final = ""
#: Patterns in one set; more are spread over several, so that an automaton's states stay few.
_SHARD: Final = 4_000
_FIRST_MEMORY: Final = 4 << 20
_BYTES_A_PATTERN: Final = 4 << 10
_MOST_MEMORY: Final = 64 << 20


@dataclass(slots=True)
class Guard:
    """Counts that would show the prefilter's silent misses.

    ``canary_failures``: texts that a set did not answer for (they were tried pattern by pattern instead);
    ``shadow_checks``: rules evaluated plainly beside the matcher; ``shadow_misses``: where the two differed.
    """

    canary_failures: int = 0
    shadow_checks: int = 0
    shadow_misses: int = 0


class PatternSet:
    """Patterns, each standing for some predicates, that are asked of a text together.

    ``patterns``: each pattern's predicates. Text is given in lower case where the patterns are not cased.
    """

    def __init__(self, patterns: Mapping[Text | Regex, tuple[int, ...]], guard: Guard) -> None:
        self._guard = guard
        self._shards: list[_Shard] = []
        waiting = [list(patterns.items())[at : at + _SHARD] for at in range(0, len(patterns), _SHARD)]
        #: Patterns that no set takes; they are tried one by one.
        self._single: list[tuple[TextTest, tuple[int, ...]]] = []
        while waiting:
            part = waiting.pop(0)
            try:
                self._shards.append(_Shard(part))
            except (re2.error, UnicodeEncodeError):
                if len(part) == 1:
                    self._single.append((test_of(part[0][0]), part[0][1]))
                else:
                    half = len(part) // 2
                    waiting[:0] = [part[:half], part[half:]]

    def collect(self, text: str, found: set[int]) -> None:
        """Add the predicates of the patterns that match ``text`` to ``found``."""
        for shard in self._shards:
            try:
                hits = shard.match(text)
            except UnicodeEncodeError:  # a lone surrogate, which UTF-8 has no form for
                shard.collect_singly(text, found)
                continue
            if 0 not in hits:
                self._guard.canary_failures += 1
                shard.collect_singly(text, found)
            elif len(hits) > 1:
                predicates = shard.predicates
                for hit in hits:
                    found.update(predicates[hit])
        for test, predicates in self._single:
            if test(text):
                found.update(predicates)

    def quiet(self, text: str) -> bool:
        """Whether no pattern matches, for sure; false where that cannot be told at once."""
        if self._single:
            return False
        try:
            return all(shard.match(text) == [0] for shard in self._shards)
        except UnicodeEncodeError:
            return False


class _Shard:
    def __init__(self, patterns: list[tuple[Text | Regex, tuple[int, ...]]]) -> None:
        self._patterns = patterns
        self._tests: list[TextTest] | None = None
        #: By the set's own index; the canary is index 0 and stands for nothing.
        self.predicates: list[tuple[int, ...]] = [(), *(predicates for _, predicates in patterns)]
        sources = [_CANARY, *(_source(pattern) for pattern, _ in patterns)]
        memory = min(_MOST_MEMORY, _FIRST_MEMORY + _BYTES_A_PATTERN * len(sources))
        try:
            self._set = _compiled(sources, memory)
        except re2.error:
            self._set = _compiled(sources, _MOST_MEMORY)

    def match(self, text: str) -> list[int]:
        return self._set.Match(text) or []

    def collect_singly(self, text: str, found: set[int]) -> None:
        if self._tests is None:
            self._tests = [test_of(pattern) for pattern, _ in self._patterns]
        for test, (_, predicates) in zip(self._tests, self._patterns, strict=True):
            if test(text):
                found.update(predicates)


def test_of(pattern: Text | Regex) -> TextTest:
    """One pattern alone, without a set."""
    return regex_test(pattern) if isinstance(pattern, Regex) else text_test([pattern])


def _compiled(sources: Iterable[str], memory: int) -> re2.Set:
    options = re2.Options()
    options.max_mem = memory
    options.log_errors = False
    found = re2.Set.SearchSet(options)
    for source in sources:
        found.Add(source)
    found.Compile()
    return found


def _source(pattern: Text | Regex) -> str:
    if isinstance(pattern, Regex):
        return pattern.with_flags
    parts = pattern.parts
    text = "".join(
        re2.escape(part) if isinstance(part, str) else "(?s:.*)" if part == ANY_RUN else "(?s:.)"
        for part in parts
    )
    starts = not parts or parts[0] != ANY_RUN
    ends = not parts or parts[-1] != ANY_RUN
    if not starts:
        text = text.removeprefix("(?s:.*)")
    if not ends:
        text = text.removesuffix("(?s:.*)")
    return (r"\A" if starts else "") + text + (r"\z" if ends else "")
