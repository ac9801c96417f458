"""Single values as tests of text or of a number; what :mod:`rules.engine.plain` and the index of a field build on.

The semantics are the Sigma specification 2.1's; where it is silent: case-insensitive means lower case of both
sides, wildcards cover line breaks, regular expressions are searched and case-sensitive without ``i``. Matching time
is linear in the value's length for every construct (RE2, no backtracking), so a hostile event cannot stall a worker.
"""

from __future__ import annotations

import operator
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, Protocol

import re2

if TYPE_CHECKING:
    from collections.abc import Callable

    from rules.engine.conditions import Compare, Network, Reference, Regex, TimePart
    from rules.engine.strings import TextTest


class _Pattern(Protocol):
    def search(self, text: str) -> Any: ...


def regex_options() -> re2.Options:
    """How all expressions are compiled: nothing captured, nothing written to standard error."""
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    return options


def regex_test(value: Regex) -> TextTest:
    """Search with RE2."""
    pattern: _Pattern = re2.compile(value.with_flags, regex_options())

    def search(text: str) -> bool:
        try:
            return pattern.search(text) is not None
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 has no form for
            return pattern.search(text.encode("utf-8", "replace").decode("utf-8")) is not None

    return search


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
    network = ip_network(value.cidr)

    def test(text: str) -> bool:
        try:
            return ip_address(text) in network
        except ValueError:
            return False

    return test


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
