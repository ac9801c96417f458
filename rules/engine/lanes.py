"""Flat Windows events of known kinds, straight to their matchers.

Such an event's channel and event id lead to its log sources and so to what matches it, if all its names are known to be
plain (without a space, and none that begins another form). All other events are *odd* and take the reader's way, as
does the first of a kind, from which the lane for the next ones is learnt.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rules.engine.keywords import otherwise_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules.engine.engine import Engine, Match
    from rules.engine.keywords import Sieve
    from rules.engine.offers import Offer
    from rules.engine.reading import Block
    from rules.logsources import Reading, WindowsReader

#: Kinds of events and names of fields come from outside: more are not kept.
_KINDS_LIMIT: Final = 4_096
_NAMES_LIMIT: Final = 8_192
#: A search for more texts at once is slower by far.
_SIEVE_TEXTS: Final = 32


class _Way(NamedTuple):
    """``sieved``: from which block on the sieve holds back no event with a keyword that is asked for here."""

    match: Match
    sieved: float


class _Kind(NamedTuple):
    """Events of one channel and event id. ``others``: fields that their log sources hang on besides; how they are
    matched by the values of those."""

    others: tuple[str, ...]
    ways: dict[tuple[str | None, ...], _Way]


class Lanes:
    """What is known of kinds of events, for as long as the engine's rules do not change. Not thread-safe."""

    def __init__(self, engine: Engine, windows: WindowsReader) -> None:
        self._engine = engine
        self._windows = windows
        self._kinds: dict[tuple[Any, Any], _Kind] = {}
        self._known = 0
        self._plain: set[str] = set()
        #: What whole blocks go through, and how many have.
        self._sieve: Sieve | None = None
        self._blocks = 0

    def suspects(self, block: Block) -> set[int]:
        """Begin with a block: the places of events that the sieve lets through, or in which it cannot tell."""
        self._blocks += 1
        if self._sieve is None:
            return set()
        text, ends = block.text, block.ends
        return {bisect_left(ends, at) for at in chain(self._sieve.places(text), otherwise_at(text))}

    def match(
        self, block: Block, first: int, records: Sequence[Any], suspects: set[int], odd: list[int]
    ) -> Iterator[tuple[int, tuple[Offer, ...], dict[str, Any]]]:
        """Of some events of the block begun with, from ``first`` on, those that fire: places, offers, fields.

        ``records``: what is decoded of their texts. The places of those that have no lane go to ``odd``."""
        kinds, plain, blocks = self._kinds, self._plain.issuperset, self._blocks
        try:
            every_plain = plain(chain.from_iterable(records))
        except TypeError:  # one that is no object
            every_plain = False
        for place, record in enumerate(records, first):
            try:
                number = record["EventID"]
                others, ways = kinds[record["Channel"], number]
                match, sieved = ways[tuple(map(record.get, others)) if others else ()]
            except (KeyError, TypeError, IndexError):
                odd.append(place)
                continue
            # True and False are one key with 1 and 0, but not one event id.
            if not (every_plain or plain(record)) or number is True or number is False:
                odd.append(place)
                continue
            if "SourceName" in record and "Provider_Name" not in record:
                record["Provider_Name"] = record["SourceName"]
            if sieved <= blocks:
                offers = match(record, no_keywords=place not in suspects)
            else:
                offers = match(record, block.text_at(place))
            if offers:
                yield place, offers, record

    def learn(self, found: Reading) -> None:
        """Let the next event like this flat one, as the reader gives it, take a lane."""
        record = found.fields
        channel, number = record.get("Channel"), record.get("EventID")
        others = self._windows.open_fields(channel, number)
        if others is None or any("." in name for name in others):
            return
        values = tuple(map(record.get, others))
        if not all(value is None or type(value) is str for value in values):
            return
        if self._known >= _KINDS_LIMIT or len(self._plain) >= _NAMES_LIMIT:
            self._kinds.clear()
            self._plain.clear()
            self._known = 0
        self._known += 1
        self._plain.update(name for name in record if " " not in name)
        match, sieve = self._engine.match_of(found.sources, record, ("Channel", "EventID"))
        sieved = self._blocks + 1 if sieve is not None and self._takes(sieve) else math.inf
        self._kinds.setdefault((channel, number), _Kind(others, {})).ways[values] = _Way(match, sieved)

    def _takes(self, sieve: Sieve) -> bool:
        """Whether blocks go through this one too from now on."""
        joined = sieve if self._sieve is None else self._sieve.joined(sieve)
        if len(joined.written) > _SIEVE_TEXTS:
            return False
        self._sieve = joined
        return True
