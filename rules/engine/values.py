"""Single values as tests of text or of a number; what :mod:`rules.engine.plain` and the index of a field build on.

The semantics are the Sigma specification 2.1's; where it is silent: case-insensitive means lower case of both
sides, wildcards cover line breaks, regular expressions are searched and case-sensitive without ``i``. Matching time
is linear in the value's length for every construct (RE2, no backtracking), so a hostile event cannot stall a worker.
"""

from __future__ import annotations

import operator
import re
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, Protocol

import re2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rules.engine.conditions import Compare, Network, Reference, Regex, TimePart
    from rules.engine.guard import Guard
    from rules.engine.strings import TextTest

#: With room for an IPv6 address with a zone.
_LONGEST_ADDRESS: Final = 128


#: Not the empty text, which the automaton would find again at each character.
_CANARY: Final = r"\A"
#: So many characters or more, whatever they are.
_RUN: Final = re.compile(r"(?:\.|\(\.\))\{([0-9]+),\}")


class _Pattern(Protocol):
    def search(self, text: str) -> Any: ...


def regex_options() -> re2.Options:
    """How all expressions are compiled: nothing captured, nothing written to standard error."""
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    return options


def regex_test(value: Regex, guard: Guard | None = None) -> TextTest:
    """Search with RE2: by a set of this one expression, which does nothing but answer, and a canary that matches where
    any text begins; where the set's automaton outgrows its memory the canary is missing (``guard`` counts it), and
    RE2's slower ways are taken."""
    run = _RUN.fullmatch(value.source)
    if run is not None and not value.flags:
        return _long_line(int(run[1]))
    both = re2.Set.SearchSet(regex_options())
    for source in (_CANARY, value.with_flags):
        both.Add(source)
    try:
        both.Compile()
        answers = both.Match
    except re2.error:  # too large for a set, though not by itself
        answers = _nothing
    slower: _Pattern | None = None

    def search_slowly(text: str) -> bool:
        nonlocal slower
        if guard is not None:
            guard.canary_failures += 1
        if slower is None:
            slower = re2.compile(value.with_flags, regex_options())
        return slower.search(text) is not None

    def search(text: str) -> bool:
        try:
            found = answers(text)
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 has no form for
            return search(text.encode("utf-8", "replace").decode("utf-8"))
        return len(found) > 1 if found and 0 in found else search_slowly(text)

    return search


def _nothing(_text: str) -> list[int]:
    return []


def _long_line(least: int) -> TextTest:
    """Whether a line has so many characters: an automaton has to count for each of them where a run may begin."""
    return lambda text: len(text) >= least and any(len(line) >= least for line in text.split("\n"))


_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def number_test(value: Compare) -> Callable[[float], bool]:
    compare, limit = _COMPARISONS[value.op], value.number
    return lambda number: compare(number, limit)


def network_test(value: Network) -> TextTest:
    holds = Networks([(value, 0)])

    def test(text: str) -> bool:
        found: set[int] = set()
        holds.collect(text, found)
        return bool(found)

    return test


class Networks:
    """Networks, each standing for a predicate; an address is read once for all."""

    def __init__(self, values: Iterable[tuple[Network, int]]) -> None:
        self._by_version: dict[int, list[tuple[int, int, int]]] = {4: [], 6: []}
        for value, predicate in values:
            network = ip_network(value.cidr)
            place = (int(network.netmask), int(network.network_address), predicate)
            self._by_version[network.version].append(place)

    def collect(self, text: str, found: set[int]) -> None:
        """Add the predicates of the networks that hold the address ``text`` to ``found``; other text is in none."""
        if len(text) > _LONGEST_ADDRESS:
            return
        try:
            address = ip_address(text)
        except ValueError:
            return
        number = int(address)
        for mask, base, predicate in self._by_version[address.version]:
            if number & mask == base:
                found.add(predicate)


def reference_test(value: Reference) -> Callable[[str, str], bool]:
    """Whether a text of this field stands to a text of the other (both in lower case) as the modifiers say."""
    if value.starts and value.ends:
        return lambda text, wanted: wanted in text
    if value.starts:
        return str.startswith
    if value.ends:
        return str.endswith
    return operator.eq


def parse_time(text: str) -> datetime | None:
    """ISO 8601 (no offset means UTC) or seconds since the epoch, as UTC; ``None`` for anything else."""
    try:
        if len(text) <= 20 and text.replace(".", "", 1).isdigit():
            return datetime.fromtimestamp(float(text), UTC)
        moment = datetime.fromisoformat(text)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


_PART: Final[dict[str, Callable[[datetime], int]]] = {
    "minute": lambda moment: moment.minute,
    "hour": lambda moment: moment.hour,
    "day": lambda moment: moment.day,
    "week": lambda moment: moment.isocalendar().week,
    "month": lambda moment: moment.month,
    "year": lambda moment: moment.year,
}


def time_test(value: TimePart) -> TextTest:
    part, wanted = _PART[value.part], value.number

    def test(text: str) -> bool:
        moment = parse_time(text)
        return moment is not None and part(moment) == wanted

    return test
