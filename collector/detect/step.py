"""One step of the worker: a run of log rows, or one look at the clock, and all that comes of it.

Everything is read in one transaction and kept here; :mod:`collector.detect.commit` writes it in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from collector.detect.streams import StreamsView
from collector.detect.values import event_id, moment
from collector.devices.service import DevicesView
from collector.documents.service import DocumentsView
from collector.store.rows import EventRow, MetricRow
from rules.engine import Event
from rules.logsources import LogSources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from collector.detect.context import EndpointContext
    from collector.detect.decode import Refusal
    from collector.settings import Settings
    from rules.engine.routing import Sources

#: The newest and oldest time that an event may say of itself, around when it was received.
_AHEAD_SECONDS = 86_400.0
_BEHIND_SECONDS = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
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

    def row(self, rule_ids: list[str]) -> EventRow:
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
            body=msgspec.json.encode(self.event.fields).decode(),
        )


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter to be written."""

    endpoint_id: str
    log_offset: int
    received_at: float
    refusal: Refusal


class Origin:
    """Where events come from: gives each a number of its own, so that the same input makes the same ids."""

    def __init__(self, received_at: float, log_offset: int, *parts: str | int) -> None:
        self.received_at = received_at
        self.log_offset = log_offset
        self._parts = parts
        self._next = 0

    def id_of(self, index: int) -> str:
        return event_id(*self._parts, f"e{index}")

    def next_id(self) -> str:
        self._next += 1
        return event_id(*self._parts, f"d{self._next - 1}")


class Step:
    """What a step reads and what it makes. ``events`` are in the order in which rules are to see them.

    ``log_sources``: what agents' events gain beside what they say of themselves (default: nothing).
    """

    def __init__(
        self,
        session: Session,
        settings: Settings,
        contexts: Mapping[str, EndpointContext],
        log_sources: LogSources | None = None,
    ) -> None:
        self.session = session
        self.settings = settings
        self.contexts = contexts
        self._log_sources = log_sources or LogSources(())
        self.documents = DocumentsView(session, contexts)
        self.devices = DevicesView(session)
        self.streams = StreamsView(session, contexts)
        self.events: list[Record] = []
        self.metrics: list[MetricRow] = []
        self.letters: list[Letter] = []
        self.endpoint_updates: dict[str, dict[str, Any]] = {}

    def change_endpoint(self, context: EndpointContext, **values: Any) -> None:
        """Set columns of the endpoint; the context follows where it has the same."""
        self.endpoint_updates.setdefault(context.id, {}).update(values)
        for name, value in values.items():
            if hasattr(context, name):
                setattr(context, name, value)

    def derive(
        self,
        context: EndpointContext,
        origin: Origin,
        category: str,
        fields: Mapping[str, Any],
        *,
        time: float | None = None,
        action: str = "",
        identity: str = "",
    ) -> None:
        """Make an event of the collector's own (``product: vonggac``).

        ``fields`` may hold ``host`` (a host document): the context lies over it. ``identity`` replaces the
        numbered id where the same event may be found again (clock events).
        """
        made = identity or origin.next_id()
        happened, suspicious = judge_time(origin.received_at if time is None else time, origin.received_at)
        body = {**fields, **_over(fields, context.fields())}
        body["event"] = {"id": made, **({"action": action} if action else {}), **suspicious}
        event = Event(made, happened, "vonggac", category, "", body)
        self._record(context, origin, event)

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
        body: dict[str, Any] = {}
        said: dict[str, Any] = {}
        for name, value in fields.items():
            head, _, rest = name.partition(".")
            if head == "event":
                said.update({rest: value} if rest else value if isinstance(value, dict) else {})
            elif head not in ("host", "agency", "simulated"):  # the collector says these, never an agent
                body[name] = value
        body.update(context.fields())
        for own in ("id", "time_suspicious", "reported_time"):
            said.pop(own, None)
        body["event"] = {**said, "id": made, **suspicious}
        # Before the event is stored: history is to hold what the rules saw.
        body, sources = self._log_sources.read(*logsource, body)
        self._record(context, origin, Event(made, happened, *logsource, body), sources)

    def _record(
        self, context: EndpointContext, origin: Origin, event: Event, sources: Sources | None = None
    ) -> None:
        self.events.append(
            Record(
                event,
                context.id,
                context.agency_id or 0,
                context.simulated,
                origin.received_at,
                origin.log_offset,
                sources,
            )
        )


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
