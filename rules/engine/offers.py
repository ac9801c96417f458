"""A rule as it stands to events of some kinds, and what it has cost and given."""

from __future__ import annotations

import math
from itertools import chain, combinations
from typing import TYPE_CHECKING, Final

from rules.engine.conditions import renamed
from rules.engine.plain import Test, plain_test
from rules.engine.terms import Holds, holds, term_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules.engine.leaves import Leaves
    from rules.engine.ruleset import Compiled
    from rules.engine.terms import Term

#: Of so many leaves that compare two fields all combinations are tried.
_MOST_COMPARED: Final = 3


class Counts:
    """What a rule has cost and given since it was loaded, however many kinds of events it is offered."""

    __slots__ = ("last_match", "matches", "nanoseconds")

    def __init__(self) -> None:
        self.matches = 0
        self.nanoseconds = 0
        self.last_match = math.nan


class Offer:
    """A rule as it stands to events of some kinds. ``renames``: the event's field name for the rule's. ``numbers``: the
    leaves of its condition from left to right; ``witness``: those of :func:`rules.engine.terms.witness`; ``needed``:
    by its field, a leaf with whole values that the condition cannot hold without."""

    __slots__ = (
        "_holds",
        "_plain",
        "_rule",
        "_term",
        "_undecided",
        "compares",
        "counts",
        "key",
        "needed",
        "numbers",
        "renames",
        "witness",
    )

    def __init__(self, rule: Compiled, renames: Mapping[str, str], counts: Counts, leaves: Leaves) -> None:
        self.key = rule.key
        self.renames = dict(renames)
        self.compares = rule.compares
        self.counts = counts
        self.numbers, needed = leaves.of_rule(rule.key, rule.condition, renames)
        self.needed = {leaves.field(number): number for number in reversed(needed)}
        self.witness = None if rule.witness is None else [self.numbers[place] for place in rule.witness]
        self._rule = rule
        #: Which of the leaves that compare two fields may hold; none where these are too many to be tried.
        self._undecided: list[frozenset[int]] = []
        if rule.compares and len(compared := leaves.compared(self.numbers)) <= _MOST_COMPARED:
            some = (combinations(compared, count) for count in range(len(compared) + 1))
            self._undecided = [frozenset(each) for each in chain.from_iterable(some)]
        self._term: Term | None = None
        self._holds: Holds | None = None
        self._plain: Test | None = None

    @property
    def term(self) -> Term:
        """The condition over numbers."""
        if self._term is None:
            numbers = iter(self.numbers)
            self._term = term_of(self._rule.condition, lambda _leaf: next(numbers))
        return self._term

    @property
    def holds(self) -> Holds:
        """The condition as a test of the numbers of the leaves that hold."""
        if self._holds is None:
            self._holds = holds(self.term)
        return self._holds

    def tells(self, true: frozenset[int]) -> bool | None:
        """:attr:`holds`, where ``true`` says nothing of the leaves that compare two fields; ``None`` where it hangs on
        those."""
        found = {self.holds(true | each) for each in self._undecided}
        return found.pop() if len(found) == 1 else None

    @property
    def plain(self) -> Test:
        """The condition without index and cache."""
        if self._plain is None:
            self._plain = plain_test(renamed(self._rule.condition, self.renames))
        return self._plain
