"""Events by way of pipelines: from files, where a pipeline is all that is known of them, and from agents, which say
themselves what their events are and may gain further log sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rules.engine.fields import lookup
from rules.engine.routing import Sources, sources_of
from rules.logsources.clock import time_in
from rules.logsources.deciding import CACHE_LIMIT, Decider, Key, KeyedDecider, decider_of, interned, key_of
from rules.logsources.pipelines import find_pipeline
from rules.logsources.preparing import prepare, replaced
from rules.logsources.when import hold, needed
from rules.logsources.windows import Forms, WindowsSources, evtx_fields, flattened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rules.logsources.pipelines import Pipeline


#: The collector's own events say all that they are; only a pipeline of that very product adds to them.
OWN_PRODUCT: Final = "vonggac"


class Reading(NamedTuple):
    """An event as rules see it. ``time``: as it is written, for :func:`rules.logsources.clock.seconds_of`."""

    fields: dict[str, Any]
    sources: Sources
    time: object


#: ``Reading(...)`` without the call of a function that does nothing else.
_reading = tuple.__new__


class WindowsReader:
    """Windows events of both forms, by the pipeline ``windows`` (or one like it)."""

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        pipeline = pipeline or find_pipeline("windows")
        self._where = pipeline.where
        self._steps = pipeline.prepare
        self._extra = bool(pipeline.where or pipeline.prepare)
        self.as_they_are = not self._extra
        #: A flat record's fields.
        self.flat = Forms().flat
        sources = WindowsSources(pipeline)
        #: ``(channel, number, fields) -> Sources | None``
        self.sources = sources.sources
        #: ``(channel, number) -> names | None``: see :meth:`rules.logsources.windows.WindowsSources.open_fields`.
        self.open_fields = sources.open_fields

    def read(self, record: object) -> Reading | None:
        """``None`` where ``record`` has no channel or no event id. Safe on any JSON; a flat record may be given back
        itself, with ``Provider_Name`` added."""
        if not isinstance(record, dict):
            return None
        if "Event" in record and (found := evtx_fields(record)) is not None:
            fields, header = found
            time = header.get("TimeCreated_SystemTime", header.get("TimeCreated"))
        else:
            fields = header = self.flat(record)
            time = fields.get("@timestamp")
        if self._extra:
            if not hold(self._where, fields):
                return None
            fields = prepare(self._steps, fields)
        sources = self.sources(header.get("Channel"), header.get("EventID"), fields)
        return None if sources is None else _reading(Reading, (fields, sources, time))


class FlatReader:
    """Events that are one flat or nested JSON object, by a pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._decider = decider_of(pipeline)
        self._keyed = KeyedDecider(self._decider, pipeline.needs) if pipeline.needs else None

    def read(self, record: object) -> Reading | None:
        """``None`` where the pipeline does not know ``record``. Safe on any JSON; never changes it."""
        if not isinstance(record, dict) or not hold(self._pipeline.where, record):
            return None
        fields = prepare(self._pipeline.prepare, record) if self._pipeline.prepare else record
        decider: Decider | None = self._decider
        if self._keyed is not None:
            decider = self._narrowed(self._keyed, fields)
        if decider is None:
            return None
        sources = decider.constant or decider.decide(fields)
        return Reading(fields, sources, time_in(fields, self._pipeline.times))

    def _narrowed(self, keyed: KeyedDecider, fields: Mapping[str, Any]) -> Decider | None:
        keys: list[Key] = []
        for name in self._pipeline.needs:
            key = key_of(lookup(fields, name))
            if key is None:
                return None
            if not key:
                return self._decider
            keys.append(key)
        return keyed.decider(tuple(keys))


def reader_of(pipeline: Pipeline) -> WindowsReader | FlatReader:
    return WindowsReader(pipeline) if pipeline.form == "windows" else FlatReader(pipeline)


class Reader:
    """Events of files. Of several pipelines the first that knows an event reads it."""

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        readers = [reader_of(each) for each in pipelines]
        self._reads = [each.read for each in readers]
        first = readers[0] if len(readers) == 1 else None
        #: Where Windows events are all there is, and come as they are: their reader.
        self.windows = first if isinstance(first, WindowsReader) and first.as_they_are else None
        if len(self._reads) == 1:  # nearly always, and this is called for every event
            self.read = self._reads[0]  # type: ignore[method-assign]
        #: Whether an event's values are those of its JSON text, so that what is not in the text is in none of them.
        self.raw_holds_values = all(each.form == "windows" and not each.prepare for each in pipelines)

    def read(self, record: object) -> Reading | None:
        for read in self._reads:
            found = read(record)
            if found is not None:
                return found
        return None


class LogSources:
    """Events that say themselves what they are (an agent's): what pipelines add to that.

    The event's own log source stays. Services and categories come on top; a category that it names itself and a
    pipeline gives with renames has those renames. A product is taken from a pipeline only where the event has none.
    """

    def __init__(self, pipelines: Iterable[Pipeline]) -> None:
        self._pipelines = tuple((each, reader_of(each).read) for each in pipelines)
        self._looking: dict[tuple[str, str, str], _Looking] = {}
        self._merged: dict[tuple[tuple[str, str, str], tuple[Sources, ...]], Sources] = {}

    def read(
        self, product: str, category: str, service: str, fields: dict[str, Any]
    ) -> tuple[dict[str, Any], Sources]:
        """The fields (more than before, never others) and all log sources. Safe on any JSON object, and the same
        when it is done again with the fields that it gave.

        Nothing that is added can stand in for what is there: no name of it reaches into a field of the event. (Of a
        Windows event as EVTX renders it, the field ``Event`` gives way to what is in it.)
        """
        own = (product, category, service)
        looking = self._looking.get(own)
        if looking is None:
            looking = self._look(own)
        given: tuple[Sources, ...] = ()
        made = fields
        if looking.evtx and "Event" in fields and (flat := flattened(fields)) is not None:
            made = _joined(
                flat, {name: value for name, value in fields.items() if name != "Event"}, frozenset()
            )
        for needs, read, instead in looking.readers:
            for name, head in needs:
                if name not in made and head not in made:
                    break
            else:
                found = read(made)
                if found is not None:
                    given += (found.sources,)
                    made = found.fields if found.fields is made else _joined(found.fields, made, instead)
        merged = self._merged.get((own, given))
        if merged is None:
            merged = _merge(own, given)
            if len(self._merged) >= CACHE_LIMIT:
                self._merged.clear()
            self._merged[own, given] = merged
        return made, merged

    def _look(self, own: tuple[str, str, str]) -> _Looking:
        looking = [
            (pipeline, read)
            for pipeline, read in self._pipelines
            if (not own[0] or pipeline.product == own[0] or (not pipeline.product and own[0] != OWN_PRODUCT))
            and any(
                all(not wanted or wanted == has for wanted, has in zip(source, own, strict=True))
                for source in pipeline.applies
            )
        ]
        if len(self._looking) >= CACHE_LIMIT:
            self._looking.clear()
        self._looking[own] = found = _Looking(
            tuple((needed(pipeline.where), read, replaced(pipeline.prepare)) for pipeline, read in looking),
            any(pipeline.form == "windows" for pipeline, _ in looking),
        )
        return found


class _Looking(NamedTuple):
    """Who looks at events of one kind, each with what events need for that (:func:`rules.logsources.when.needed`), and
    the names of maps that it puts something in place of (``instead``). ``evtx``: whether one of them knows EVTX's
    rendering."""

    readers: tuple[
        tuple[tuple[tuple[str, str], ...], Callable[[object], Reading | None], frozenset[str]], ...
    ]
    evtx: bool


def _joined(found: dict[str, Any], given: dict[str, Any], instead: frozenset[str]) -> dict[str, Any]:
    """What a pipeline found, under what the event had."""
    made = {name: value for name, value in given.items() if name in found or " " not in name}
    for name, value in found.items():
        if name not in made:
            if "." not in name or name.partition(".")[0] not in given:
                made[name] = value
        elif name in instead and isinstance(made[name], dict):
            made[name] = value
    return made


def _merge(own: tuple[str, str, str], given: tuple[Sources, ...]) -> Sources:
    stated = sources_of(*own)
    product = next((each.product for each in given if each.product), "") if not own[0] else own[0]
    services = stated.services.union(*(each.services for each in given))
    categories = frozenset[tuple[str, Any]]().union(*(each.categories for each in given))
    if own[1] and not any(category == own[1] for category, _ in categories):
        categories |= stated.categories
    return interned(Sources(product, services, categories))
