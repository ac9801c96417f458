"""One step: a run of log rows, one look at the clock, or what workers handed over; and all that comes of it.

Everything is read in one transaction and kept here; :mod:`collector.detect.commit` writes it in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from collector.detect.streams import StreamsView
from collector.detect.values import digest_of_parts, event_id, moment
from collector.documents.service import DocumentsView
from collector.partitions import WHOLE, partition_of
from collector.store.rows import EventRow, MetricRow
from rules.engine import Event
from rules.logsources import LogSources

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable, Mapping

    from sqlalchemy.orm import Session

    from collector.detect.context import EndpointContext
    from collector.detect.decode import Refusal
    from collector.detect.handover import Note
    from collector.identity.evidence import Evidence
    from collector.network.placing import Touch
    from collector.settings import Settings
    from rules.engine.routing import Sources

#: The newest and oldest time that an event may say of itself, around when it was received.
_AHEAD_SECONDS = 86_400.0
_BEHIND_SECONDS = 366 * 86_400.0
#: Fields that are the collector's, with all that is under them.
_OURS = frozenset({"event", "host", "agency", "simulated"})


_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Record:
    """An event for rules, and what the event store keeps beside it."""

    event: Event
    endpoint_id: str
    agency_id: int
    simulated: bool
    received_at: float
    log_offset: int
    #: All that the event belongs to; ``None``: what it says itself.
    sources: Sources | None = None
    #: Of the endpoint; ``WHOLE``: of what one process finds for all.
    partition: int = WHOLE

    def body(self) -> bytes:
        """The event's fields as JSON."""
        return _encode(self.event.fields)

    def row(self, rule_ids: list[str], body: bytes) -> EventRow:
        return EventRow(
            event_id=self.event.id,
            time=self.event.time,
            received_at=self.received_at,
            log_offset=self.log_offset,
            endpoint_id=self.endpoint_id,
            agency_id=self.agency_id,
            product=self.event.product,
            category=self.event.category,
            service=self.event.service,
            simulated=self.simulated,
            rules=rule_ids,
            body=body,
            partition=self.partition,
        )


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter to be written."""

    endpoint_id: str
    log_offset: int
    received_at: float
    refusal: Refusal


class About(Protocol):
    """Whom an event is about."""

    @property
    def id(self) -> str: ...
    @property
    def agency_id(self) -> int | None: ...
    @property
    def simulated(self) -> bool: ...
    def fields(self) -> dict[str, Any]: ...


class Origin:
    """Where events come from: gives each a number of its own, so that the same input makes the same ids."""

    def __init__(self, received_at: float, log_offset: int, *parts: str | int) -> None:
        self.received_at = received_at
        self.log_offset = log_offset
        self.parts = parts
        self._begun: hashlib._Hash | None = None
        self._next = 0
        self._looks = 0

    def id_of(self, index: int) -> str:
        """As :func:`event_id` of the parts and the place, the parts being digested once."""
        if self._begun is None:
            self._begun = digest_of_parts(*self.parts, "e")
        digest = self._begun.copy()
        digest.update(b"%d" % index)
        return digest.hexdigest()[:32]

    def next_id(self) -> str:
        self._next += 1
        return event_id(*self.parts, f"d{self._next - 1}")

    def next_look(self) -> list[str | int]:
        """The parts of a further origin: of what ``correlate`` makes of what was seen."""
        self._looks += 1
        return [*self.parts, f"look{self._looks - 1}"]


class Step:
    """The events of a step, in the order in which rules are to see them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events: list[Record] = []

    def derive(
        self,
        about: About,
        origin: Origin,
        category: str,
        fields: Mapping[str, Any],
        *,
        time: float | None = None,
        action: str = "",
        identity: str = "",
    ) -> None:
        """Make an event of the collector's own (``product: vonggac``).

        ``fields`` may hold ``host`` (a host document): what is known of the endpoint lies over it. ``identity``
        replaces the numbered id where the same event may be found again (clock events).
        """
        made = identity or origin.next_id()
        happened, suspicious = judge_time(origin.received_at if time is None else time, origin.received_at)
        body = {**fields, **_over(fields, about.fields())}
        body["event"] = {"id": made, **({"action": action} if action else {}), **suspicious}
        event = Event(made, happened, "vonggac", category, "", body)
        self.record(about, origin, event)

    def record(self, about: About, origin: Origin, event: Event, sources: Sources | None = None) -> None:
        self.events.append(
            Record(
                event,
                about.id,
                about.agency_id or 0,
                about.simulated,
                origin.received_at,
                origin.log_offset,
                sources,
                self.partition_of(about),
            )
        )

    def partition_of(self, about: About) -> int:  # noqa: ARG002 - a worker's step asks
        """Where this step's events belong."""
        return WHOLE


class WorkStep(Step):
    """What a worker reads for a step and what it makes of it.

    ``log_sources``: what agents' events gain beside what they say of themselves (default: nothing).
    ``documented``: the endpoints whose documents will be asked for.
    """

    def __init__(
        self,
        session: Session,
        settings: Settings,
        contexts: Mapping[str, EndpointContext],
        log_sources: LogSources | None = None,
        documented: Iterable[str] = (),
    ) -> None:
        super().__init__(settings)
        self.contexts = contexts
        self._log_sources = log_sources or LogSources(())
        self.documents = DocumentsView(session, documented)
        self.streams = StreamsView(session, contexts)
        self.metrics: list[MetricRow] = []
        self.letters: list[Letter] = []
        self.endpoint_updates: dict[str, dict[str, Any]] = {}
        #: What speaks for the machines of these endpoints from now on.
        self.evidence: dict[str, Evidence] = {}
        #: Cards whose rows in switches' forwarding tables came or went, by the endpoint that told.
        self.touched: dict[str, dict[str, Touch]] = {}
        #: Notes of others that the step has made events of.
        self.told_notes: list[int] = []
        #: What is left for ``correlate``, by partition and offset.
        self.notes: dict[tuple[int, int], list[Note]] = {}

    def partition_of(self, about: About) -> int:
        return partition_of(about.id)

    def hand_over(self, endpoint_id: str, log_offset: int, note: Note) -> None:
        self.notes.setdefault((partition_of(endpoint_id), log_offset), []).append(note)

    def touch(self, endpoint_id: str, touched: Mapping[str, Touch]) -> None:
        """Cards whose rows in a forwarding table came or went."""
        known = self.touched.setdefault(endpoint_id, {})
        for mac, touch in touched.items():
            known[mac] = max(touch, known.get(mac, touch))

    def change_endpoint(self, context: EndpointContext, **values: Any) -> None:
        """Set columns of the endpoint; the context follows where it has the same."""
        self.endpoint_updates.setdefault(context.id, {}).update(values)
        context.follow(values)

    def take(
        self,
        context: EndpointContext,
        origin: Origin,
        index: int,
        logsource: tuple[str, str, str],
        time: float,
        fields: Mapping[str, Any],
    ) -> None:
        """Make the event at ``index`` of a batch one that rules may see."""
        made = origin.id_of(index)
        happened, suspicious = judge_time(time, origin.received_at)
        said: dict[str, Any] = {}
        if not _says_nothing_of_ours(tuple(fields)):
            fields, said = _apart(fields)
        body = {**fields, **context.fields(), "event": {**said, "id": made, **suspicious}}
        # Before the event is stored: history is to hold what the rules saw.
        body, sources = self._log_sources.read(*logsource, body)
        product, category, service = logsource
        event = Event(made, happened, product or sources.product, category, service, body)
        self.record(context, origin, event, sources)


@lru_cache(maxsize=4_096)
def _says_nothing_of_ours(names: tuple[str, ...]) -> bool:
    """Whether none of these fields reaches into what the collector says. Events of one kind have the same names."""
    return _OURS.isdisjoint(name.partition(".")[0] for name in names)


def _apart(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields without those that the collector says, never an agent; and what the agent says under ``event``."""
    body: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for name, value in fields.items():
        head, _, rest = name.partition(".")
        if head == "event":
            said.update({rest: value} if rest else value if isinstance(value, dict) else {})
        elif head not in _OURS:
            body[name] = value
    for own in ("id", "time_suspicious", "reported_time"):
        said.pop(own, None)
    return body, said


def judge_time(claimed: float, received_at: float) -> tuple[float, dict[str, Any]]:
    """The time that rules go by, and what is to be noted where it is not the claimed one.

    A year out of reach would let one event move every correlation's window: then the receive time stands in,
    ``event.time_suspicious`` is true and ``event.reported_time`` what was claimed.
    """
    if received_at - _BEHIND_SECONDS <= claimed <= received_at + _AHEAD_SECONDS:
        return claimed, {}
    return received_at, {"time_suspicious": True, "reported_time": claimed}


def observed(claimed: float, received_at: float) -> Any:
    """An agent's time of observation as a ``datetime``, by the same judgement."""
    return moment(judge_time(claimed, received_at)[0])


def _over(fields: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    host = fields.get("host")
    if isinstance(host, dict):
        return {**context, "host": {**host, **context["host"]}}
    return dict(context)
