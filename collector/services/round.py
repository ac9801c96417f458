"""Judges services and agencies' connections again and again, and tells what has changed as events.

It runs beside the collector's watch over itself, in the process that holds the lease ``correlate``, with the same life
(:class:`collector.detect.ports.SelfWatch`): what was found is told and written down in one transaction.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from collector.detect import clock
from collector.detect.checkpoints import load_places
from collector.detect.step import Record
from collector.detect.values import event_id, moment
from collector.links.lines import Lines
from collector.links.verdicts import agency_verdicts
from collector.machine import ClockGuard, since_boot
from collector.services import register, spans
from collector.services.learning import page_to_learn
from collector.services.models import (
    ACCEPTED,
    CATEGORIES,
    CERTIFICATE,
    CONNECTED,
    CONTENT,
    DEGRADED,
    DOWN_FOR_ALL,
    DOWN_FOR_SOME,
    FREE,
    IN_ORDER,
    LAN,
    LINE,
    POSTURE,
    SERVICE,
    UNACCEPTED,
    UNKNOWN,
    UP,
    VALID,
    WAN,
    Subject,
    Turn,
    Verdict,
)
from collector.services.probed import Documents
from collector.services.verdicts import (
    certificate_verdict,
    content_verdict,
    posture_verdict,
    service_verdict,
)
from collector.state.tables import Agency, AvailabilityLook, Service, ServiceContent
from collector.state.upsert import upsert
from rules.engine import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.detect.ports import EventStore
    from collector.detect.step import Step
    from collector.services.models import Probed
    from collector.settings import Settings
    from collector.state.tables import AvailabilitySpan

log = logging.getLogger("vonggac.services")

#: Nothing is judged while the log is worked on with more delay than this: who is silent is not known then.
_BEHIND_SECONDS: Final = 60.0
#: A service that does not work tells of no certificate: for so long the last word counts.
_DOWN_SECONDS: Final = 86_400.0
#: How often what ended long ago is dropped.
_FORGET_SECONDS: Final = 86_400.0
#: States that are well: the first time, nothing is told of them.
_WELL: Final = frozenset({UP, CONNECTED, DEGRADED, ACCEPTED, UNACCEPTED, VALID, IN_ORDER, FREE, UNKNOWN})
#: What is said of a service beside whether it works: that nobody knows it any more, the service's own event says.
_BESIDE: Final = (CONTENT, CERTIFICATE, POSTURE)
_KINDS: Final = (*register.KINDS, LAN, WAN, LINE)


@dataclass
class Judged:
    """What one look found. ``judged`` is false where nothing could be. ``new``: names of services that no register
    has yet, with the agency that told of them; ``learnt``: pages that count as right from now on. ``opened``: how
    everything was; ``restless``: what has changed so often that it is held."""

    now: float
    judged: bool = False
    verdicts: list[Verdict] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    new: list[tuple[str, int]] = field(default_factory=list)
    learnt: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    unknown_since: datetime | None = None
    opened: dict[tuple[str, int], AvailabilitySpan] = field(default_factory=dict)
    restless: set[tuple[str, int]] = field(default_factory=set)


class Availability:
    """One a process; not for several threads.

    Args:
        now, steady: the wall clock, and one that nobody sets.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], float] = time,
        steady: Callable[[], float] = since_boot,
    ) -> None:
        self._settings = settings.availability
        self._now = now
        self._steady = steady
        self._guard = ClockGuard(now, steady)
        self._documents = Documents(self._settings.fresh_seconds)
        self._lines = Lines(self._settings)
        self._next = monotonic()
        self._begun = False
        self._forget_at = 0.0
        self._judges_from = float("-inf")

    def due(self) -> bool:
        return monotonic() >= self._next

    def look(self, session: Session, store: EventStore) -> Judged:
        """Judge everything. Reads."""
        self._next = monotonic() + self._settings.seconds
        now, steady = self._now(), self._steady()
        last = session.get(AvailabilityLook, 1)
        away = last is not None and abs(now - last.looked_at.timestamp()) > clock.OUTAGE_SECONDS
        if (away and not self._begun) or self._guard.look():
            # Probes get the time to be heard again before anybody is called silent.
            self._judges_from = steady + self._settings.fresh_seconds
        self._begun = True
        look = Judged(now)
        if steady < self._judges_from or self._behind(session, now):
            return look
        look.judged = True
        if away and last is not None:
            look.unknown_since = last.looked_at
        probed, heard = self._documents.read(session, now)
        agencies = {each.id: each for each in session.scalars(select(Agency))}
        look.opened = spans.open_spans(session, _KINDS)
        look.restless = spans.restless(session, moment(now))
        self._judge_services(
            session, look, [each for each in probed if each.kind == "service_check"], agencies
        )
        links = [each for each in probed if each.kind == "link" and each.agency_id in agencies]
        self._judge_links(links, heard, look, agencies)
        for verdict in self._lines.verdicts(links, look.opened, store, now):
            if verdict.subject_id in agencies:
                _add(look, verdict, _subject(agencies[verdict.subject_id]))
        return look

    def tell(self, step: Step, look: Judged, log_offset: int) -> None:
        """One event a turn."""
        for turn in look.turns:
            verdict, category = turn.verdict, CATEGORIES[turn.verdict.kind]
            made = event_id(
                "availability", verdict.kind, verdict.subject_id, verdict.state, int(look.now * 1000)
            )
            said: dict[str, Any] = {
                "name": turn.subject.name,
                "title": turn.subject.title,
                "state": verdict.state,
                **verdict.fields,
            }
            if turn.subject.importance:
                said["importance"] = turn.subject.importance
            body: dict[str, Any] = {
                category: said,
                "changed": [f"{category}.state"],
                "simulated": False,
                "event": {"id": made, "action": action_of(verdict)},
            }
            if turn.before:
                body["previous"] = {category: {"state": turn.before, "since": turn.since}}
            agency = turn.subject.agency
            if agency:
                body["agency"] = agency
            event = Event(made, look.now, "vonggac", category, "", body)
            step.events.append(Record(event, "", agency.get("id", 0), False, look.now, log_offset))

    def write(self, session: Session, look: Judged) -> None:
        """Write down what was judged, in the transaction of its events."""
        if not look.judged:
            return
        at = moment(look.now)
        register.add_seen(session, look.new, at)
        # One that was taken out of the register meanwhile leaves nothing behind.
        there = set(session.scalars(select(Service.id)))
        for service_id, page in look.learnt:
            if service_id in there:
                session.add(register.accepted_page(service_id, page, at, by="", reason=""))
        verdicts = [
            each for each in look.verdicts if each.kind not in register.KINDS or each.subject_id in there
        ]
        spans.write(session, verdicts, at, look.unknown_since)
        if look.now >= self._forget_at:
            self._forget_at = look.now + _FORGET_SECONDS
            spans.forget(session, at)
        upsert(session, AvailabilityLook, [{"id": 1, "looked_at": at}], ("id",))

    def done(self, look: Judged) -> None:
        """Nothing is left to do."""

    def _behind(self, session: Session, now: float) -> bool:
        received = [
            place.received_at for place in load_places(session).values() if place.received_at is not None
        ]
        return bool(received) and now - min(received).timestamp() > _BEHIND_SECONDS

    def _judge_services(
        self,
        session: Session,
        look: Judged,
        probed: Sequence[Probed],
        agencies: dict[int, Agency],
    ) -> None:
        services = {service.name: service for service in session.scalars(select(Service))}
        of_service: dict[str, list[Probed]] = {}
        told: dict[str, set[int]] = {}
        for each in probed:
            of_service.setdefault(each.item, []).append(each)
            told.setdefault(each.item, set()).add(each.agency_id)
        look.new = register.newcomers(services.values(), told)
        watching = {each.agency_id for each in probed if each.fresh}
        accepted: dict[int, list[dict[str, Any]]] = {}
        for row in session.scalars(select(ServiceContent).order_by(ServiceContent.id)):
            page = {"text": row.text, "structure": row.structure, "hosts": row.hosts, "digest": row.digest}
            accepted.setdefault(row.service_id, []).append(page)
        planned = register.planned_now(session, moment(look.now))
        for name, service in sorted(services.items()):
            seen = of_service.get(name, [])
            known = accepted.get(service.id, [])
            subject = _subject_of(service, agencies)
            verdict = service_verdict(service.id, seen)
            verdict.fields["planned"] = service.id in planned
            verdict.fields["agencies"] = [
                agencies[each].name for each in verdict.detail["down"] if each in agencies
            ][:20]
            _add(look, verdict, subject)
            if not known:
                for_so_long = look.now - service.first_seen_at.timestamp()
                learnt = page_to_learn(seen, service.agency_id, watching, for_so_long)
                if learnt is not None:
                    look.learnt.append((service.id, learnt))
                    known = [learnt]
            beside = {
                CONTENT: content_verdict(service.id, seen, known),
                CERTIFICATE: certificate_verdict(service.id, seen, look.now),
                POSTURE: posture_verdict(service.id, seen),
            }
            for kind, judged in beside.items():
                if judged is not None:
                    _add(look, judged, subject)
                elif (kind, service.id) in look.opened and not self._is_just_down(look, verdict):
                    _add(look, Verdict(kind, service.id, UNKNOWN), subject)

    @staticmethod
    def _is_just_down(look: Judged, verdict: Verdict) -> bool:
        """Whether a service does not work, and has not for long: what is known of it beside that stays so."""
        span = look.opened.get((SERVICE, verdict.subject_id))
        if verdict.state not in (DOWN_FOR_SOME, DOWN_FOR_ALL):
            return False
        return (
            span is None
            or span.state != verdict.state
            or look.now - span.began_at.timestamp() < _DOWN_SECONDS
        )

    @staticmethod
    def _judge_links(
        probed: Sequence[Probed],
        heard: set[int],
        look: Judged,
        agencies: dict[int, Agency],
    ) -> None:
        of_agency: dict[int, list[Probed]] = {}
        for each in probed:
            of_agency.setdefault(each.agency_id, []).append(each)
        for _, agency_id in (key for key in look.opened if key[0] in (LAN, WAN)):
            if agency_id in agencies and agency_id not in of_agency:
                gone = {"side": "", "links_count": 0, "failing": [], "reasons": ["no_probe"]}
                for kind in (LAN, WAN):
                    told = {**gone, "side": kind}
                    _add(look, Verdict(kind, agency_id, UNKNOWN, told, told), _subject(agencies[agency_id]))
                of_agency[agency_id] = []
        for agency_id, links in sorted(of_agency.items()):
            if links:
                for verdict in agency_verdicts(agency_id, links, heard=agency_id in heard):
                    _add(look, verdict, _subject(agencies[agency_id]))


def action_of(verdict: Verdict) -> str:
    """What ``event.action`` says of a turn to this state."""
    match verdict.kind:
        case "service":
            return "up_again" if verdict.state == UP else verdict.state
        case "content":
            return f"content_{verdict.state}"
        case "certificate":
            return f"certificate_{verdict.state}" if not verdict.state.isdigit() else "certificate_expires"
        case "posture":
            return "posture_changed"
        case _:
            return f"{verdict.kind}_{verdict.state}"


def _add(look: Judged, verdict: Verdict, subject: Subject) -> None:
    key = (verdict.kind, verdict.subject_id)
    span = look.opened.get(key)
    if (
        span is not None
        and key in look.restless
        and look.now - span.began_at.timestamp() < spans.HELD_SECONDS
        and not spans.is_same(span, verdict)
        and not spans.is_worse(verdict.kind, span.state, verdict.state)
    ):
        detail = verdict.detail if verdict.state == span.state else span.detail
        look.verdicts.append(replace(verdict, state=span.state, detail=detail, held=True))
        return
    look.verdicts.append(verdict)
    if span is None:
        if verdict.state not in _WELL:
            look.turns.append(Turn(verdict, subject, "", look.now))
        return
    # That nobody can ask any more does not mean that what was wrong has passed: no event that would end its alert.
    silent = verdict.state == UNKNOWN and (span.state not in _WELL or verdict.kind in _BESIDE)
    if silent or spans.is_same(span, verdict):
        return
    look.turns.append(Turn(verdict, subject, span.state, span.began_at.timestamp()))


def _subject_of(service: Service, agencies: dict[int, Agency]) -> Subject:
    owner = agencies.get(service.agency_id) if service.agency_id is not None else None
    told = {} if owner is None else {"id": owner.id, "code": owner.code, "name": owner.name}
    return Subject(service.name, service.title_vi or service.name, told, service.importance)


def _subject(agency: Agency) -> Subject:
    return Subject(agency.code, agency.name, {"id": agency.id, "code": agency.code, "name": agency.name})
