"""Which rules the events of a block fire: each event by itself, so that any process may do it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rules.engine.engine import Matched
from rules.engine.lanes import Lanes
from rules.engine.reading import decoded_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rules.engine.engine import Engine
    from rules.engine.offers import Offer
    from rules.engine.reading import Block
    from rules.logsources import Reader

#: Events decoded at once: their values are still in the processor's cache when they are matched.
_AT_ONCE: Final = 16
#: Sets of rules that fire together; there may be as many as events.
_TOLD_LIMIT: Final = 4_096


class Shared(NamedTuple):
    """What :meth:`rules.engine.engine.Engine.complete` wants to see of an event."""

    matched: tuple[Matched, ...]
    fields: Mapping[str, Any]
    time: object


class Fired(NamedTuple):
    """An event that fired. ``place``: in its block. ``rules``: whose findings these are already."""

    place: int
    rules: tuple[str, ...]
    shared: Shared | None


@dataclass(slots=True)
class BlockResult:
    """``first``: the index in the file of the block's first event. ``guard``: what was counted since the last block."""

    path: Path
    first: int = 0
    events: int = 0
    unreadable: int = 0
    fired: list[Fired] = field(default_factory=list)
    guard: dict[str, int] = field(default_factory=dict)


class BlockMatcher:
    """Matches blocks of events; what it learns of one makes the next faster. Not thread-safe."""

    def __init__(self, engine: Engine, reader: Reader) -> None:
        self._engine = engine
        self._reader = reader
        self._lanes = Lanes(engine, reader.windows) if reader.windows is not None else None
        self._counted = dict.fromkeys(asdict(engine.guard), 0)
        self._told: dict[tuple[Offer, ...], tuple[tuple[str, ...], tuple[Matched, ...]]] = {}

    def run(self, path: Path, block: Block) -> BlockResult:
        """What the events fire, in their order."""
        result = BlockResult(path, events=len(block))
        lanes, fired = self._lanes, result.fired
        suspects = lanes.suspects(block) if lanes is not None else set()
        for first, records in decoded_lines(block, _AT_ONCE):
            odd: list[int] | range = range(first, first + len(records))
            if lanes is not None:
                odd = []
                for place, offers, fields in lanes.match(block, first, records, suspects, odd):
                    fired.append(self._fired(place, offers, fields, fields.get("@timestamp")))
            for place in odd:
                self._run_oddly(result, block, place, records[place - first])
        fired.sort(key=attrgetter("place"))
        result.guard = self._news()
        return result

    def _run_oddly(self, result: BlockResult, block: Block, place: int, record: Any) -> None:
        if record is None:
            result.unreadable += 1
            return
        found = self._reader.read(record)
        if found is None:
            return
        if self._lanes is not None and found.fields is record and "Event" not in record:
            self._lanes.learn(found)
        raw = block.text_at(place) if self._reader.raw_holds_values else b""
        offers = self._engine.match(found.fields, found.sources, raw)
        if offers:
            result.fired.append(self._fired(place, offers, found.fields, found.time))

    def _fired(self, place: int, offers: tuple[Offer, ...], fields: Mapping[str, Any], time: object) -> Fired:
        told = self._told.get(offers)
        if told is None:
            if len(self._told) >= _TOLD_LIMIT:
                self._told.clear()
            shared = tuple(Matched(each.key, each.renames) for each in self._engine.shared(offers))
            told = self._told[offers] = self._engine.speaking(offers), shared
        rules, matched = told
        return Fired(place, rules, Shared(matched, fields, time) if matched else None)

    def _news(self) -> dict[str, int]:
        now = asdict(self._engine.guard)
        news = {name: count - self._counted[name] for name, count in now.items()}
        self._counted = now
        return news
