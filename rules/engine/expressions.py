"""Which of many regular expressions a value matches: RE2's filter names those whose necessary text is there, and only
those are tried.

The filter looks for the necessary texts with an automaton that says nothing when it outgrows its memory. So each value
is asked about with a canary, a text of ours that one more expression wants: where that one is not named, the filter
has not answered, and all expressions are tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import re2

from rules.engine.values import regex_options, regex_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rules.engine.conditions import Regex
    from rules.engine.guard import Guard

_CANARY: Final = "\nvonggac-canary-4f2d"
#: So few are tried faster one by one.
_FEW: Final = 3


class Expressions:
    """Regular expressions, each standing for some predicates."""

    def __init__(self, patterns: Mapping[Regex, Iterable[int]], guard: Guard) -> None:
        self._guard = guard
        self._tests = [(regex_test(pattern), tuple(found)) for pattern, found in patterns.items()]
        self._filter: re2.Filter | None = None
        if len(self._tests) > _FEW:
            self._filter = re2.Filter()
            for pattern in patterns:
                self._filter.Add(pattern.with_flags, regex_options())
            self._filter.Add(re2.escape(_CANARY), regex_options())
            self._filter.Compile()

    def collect(self, text: str, found: set[int]) -> None:
        """Add the predicates of the expressions that match somewhere in ``text`` to ``found``."""
        for place in self._candidates(text):
            test, predicates = self._tests[place]
            if not found.issuperset(predicates) and test(text):
                found.update(predicates)

    def _candidates(self, text: str) -> Iterable[int]:
        every = range(len(self._tests))
        if self._filter is None:
            return every
        try:
            named: list[int] | None = self._filter.Match(text + _CANARY, potential=True)
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 has no form for
            return every
        if not named or named[-1] != len(self._tests):
            self._guard.canary_failures += 1
            return every
        return named[:-1]
