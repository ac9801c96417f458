"""Events that nobody sends: silence that lasts, and days that pass over a date.

They happen by the collector's clock, and their ids are made of what they say (endpoint, since when, which mark or day),
so that the same one found again is the same event.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import false, func, or_, select, update

from collector.detect.ages import AGING, age_of
from collector.detect.derive import document_fields, note_age, sum_up_protection
from collector.detect.step import Origin, Record
from collector.detect.values import event_id, moment
from collector.documents.service import AGES
from collector.identity.links import succeeded
from collector.partitions import partition_of
from collector.state.tables import Document, Endpoint, IdentityNote
from rules.engine import Event

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy.orm import Session

    from collector.detect.step import Step, WorkStep
    from collector.rulebook.statistics import Turn
    from collector.settings import Coverage, Settings

#: After the collector was away for longer than the first, or its clock was set, agents get the second to come back
#: before anybody is called silent.
OUTAGE_SECONDS: Final = 120.0
GRACE_SECONDS: Final = 900.0
#: Behind by less than this, what was read tells who is silent.
CLOSE_SECONDS: Final = 30.0
_AGING_FIELDS = ("state", "signature_time", "pending_since", "security_pending")
_MAX_DUE = 1000
_CHUNK = 500


def is_due(due: float, now: float, every_seconds: float) -> bool:
    """Whether the time ``due``, which was set ``every_seconds`` ahead, has come; a clock that was set back since does
    not put it off."""
    return now >= due or due - now > every_seconds


@dataclass(frozen=True)
class DueAge:
    """A document whose age is no longer what was told last."""

    endpoint_id: str
    kind: str
    item: str


class AgeIndex:
    """Every document of some partitions that grows older, in memory: a day's passing is found without asking the
    store."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._told: dict[str, Mapping[str, Any]] = {}

    def load(self, session: Session, partitions: Collection[int]) -> None:
        """Add these partitions' documents."""
        ids = [each for each in session.scalars(select(Endpoint.id)) if partition_of(each) in partitions]
        query = select(Document.endpoint_id, Document.kind, Document.item, Document.body).where(
            Document.kind.in_((*AGING, AGES))
        )
        for start in range(0, len(ids), _CHUNK):
            of_some = query.where(Document.endpoint_id.in_(ids[start : start + _CHUNK]))
            for endpoint_id, kind, item, body in session.execute(of_some):
                self._note(endpoint_id, kind, item, body)

    def leave(self, partitions: Collection[int]) -> None:
        """Forget what is of these partitions."""
        held = {key[0] for key in self._facts} | self._told.keys()
        self.forget(each for each in held if partition_of(each) in partitions)

    def follow(self, step: WorkStep) -> None:
        """Note what a committed step put."""
        for (endpoint_id, kind, item), stored in step.documents.changed().items():
            self._note(endpoint_id, kind, item, None if stored is None else stored.body)

    def forget(self, endpoint_ids: Iterable[str]) -> None:
        gone = set(endpoint_ids)
        for key in [key for key in self._facts if key[0] in gone]:
            del self._facts[key]
        for endpoint_id in gone:
            self._told.pop(endpoint_id, None)

    def due(self, now: float, limits: Coverage) -> list[DueAge]:
        """At most 1,000; the next look finds the rest."""
        found = []
        for (endpoint_id, kind, item), facts in self._facts.items():
            age = age_of(kind, facts, now, limits)
            if age is not None and self._told.get(endpoint_id, {}).get(f"{kind}/{item}") != age.days:
                found.append(DueAge(endpoint_id, kind, item))
                if len(found) >= _MAX_DUE:
                    break
        return found

    def _note(self, endpoint_id: str, kind: str, item: str, body: Mapping[str, Any] | None) -> None:
        if kind == AGES:
            self._told[endpoint_id] = body or {}
        elif kind in AGING:
            if body is None:
                self._facts.pop((endpoint_id, kind, item), None)
            else:
                facts = {name: body[name] for name in _AGING_FIELDS if name in body}
                self._facts[endpoint_id, kind, item] = facts


def newly_silent(
    session: Session, marks: Iterable[int], now: float, partitions: Collection[int]
) -> list[str]:
    """Endpoints of these partitions that have passed a further mark of silence. At most 1,000; the next look finds the
    rest."""
    last = func.coalesce(Endpoint.last_seen_at, Endpoint.enrolled_at)
    # Only those with something to tell: a thousand machines that are off and told of must not hide the next.
    passed = [
        (Endpoint.silence_mark_seconds < mark) & (last <= moment(now) - timedelta(seconds=mark))
        for mark in marks
    ]
    query = select(Endpoint.id).where(Endpoint.retired_at.is_(None), ~succeeded(), or_(false(), *passed))
    found = (
        each for each in session.scalars(query.order_by(Endpoint.id)) if partition_of(each) in partitions
    )
    return list(islice(found, _MAX_DUE))


def forget_future(session: Session, now: float) -> None:
    """Endpoints that were last seen later than now were seen by a clock that was ahead: they count as seen now, or
    their silence would not be noticed until that time has come."""
    at = moment(now)
    session.execute(update(Endpoint).where(Endpoint.last_seen_at > at).values(last_seen_at=at))


def tell_silence(step: WorkStep, settings: Settings, now: float, positions: Mapping[int, int]) -> None:
    """One event for each endpoint of the step that passed a mark; the highest one where it passed several."""
    marks = sorted(settings.detect.silence_marks_seconds)
    for context in step.contexts.values():
        since = (context.last_seen_at or context.enrolled_at).timestamp()
        quiet = now - since
        passed = max((mark for mark in marks if mark <= quiet), default=0)
        if passed <= context.silence_mark_seconds:
            continue
        fields = {
            "silence": {
                "seconds": passed,
                "last_seen": since,
                "never_reported": context.last_seen_at is None,
            },
            "changed": ["silence.seconds"],
            "previous": {"silence": {"seconds": context.silence_mark_seconds}},
        }
        place = positions[partition_of(context.id)]
        origin = Origin(now, place, context.id, "silence", int(since * 1000), passed)
        step.derive(context, origin, "silence", fields, action="silent", identity=origin.next_id())
        step.change_endpoint(context, silence_mark_seconds=passed)


def notes_waiting(session: Session, partitions: Collection[int]) -> list[IdentityNote]:
    """What is to be told of endpoints of these partitions, the oldest first; at most 1,000."""
    found: list[IdentityNote] = []
    last = 0
    while len(found) < _MAX_DUE:
        query = select(IdentityNote).where(IdentityNote.id > last).order_by(IdentityNote.id).limit(_MAX_DUE)
        piece = session.scalars(query).all()
        found.extend(each for each in piece if partition_of(each.endpoint_id) in partitions)
        if len(piece) < _MAX_DUE:
            break
        last = piece[-1].id
    return found[:_MAX_DUE]


def tell_notes(
    step: WorkStep, notes: Iterable[IdentityNote], now: float, positions: Mapping[int, int]
) -> None:
    """One event for each note about an endpoint that somebody left: an enrolment, a link, a copy, a vulnerability."""
    for note in notes:
        step.told_notes.append(note.id)
        context = step.contexts.get(note.endpoint_id)
        if context is None:
            continue
        place = positions[partition_of(context.id)]
        origin = Origin(now, place, context.id, note.category, note.id)
        fields = {note.category: dict(note.body)}
        step.derive(
            context,
            origin,
            note.category,
            fields,
            time=note.made_at.timestamp(),
            action=note.action,
            identity=origin.next_id(),
        )


def tell_rules(step: Step, turns: Iterable[Turn], now: float, log_offset: int) -> None:
    """One event for each rule that has become slow or noisy, or is well again. It is about no endpoint."""
    for turn in turns:
        made = event_id("rule_health", turn.rule_id, turn.state, int(turn.since))
        body = {
            "rule": {
                "id": turn.rule_id,
                "title": turn.title,
                "state": turn.state,
                "findings_an_hour": turn.matches_an_hour,
                "throttled_an_hour": turn.throttled_an_hour,
                "microseconds_an_event": turn.microseconds_an_event,
            },
            "changed": ["rule.state"],
            "previous": {"rule": {"state": turn.before}},
            "simulated": False,
            "event": {"id": made, "action": "rule_state_changed"},
        }
        event = Event(made, now, "vonggac", "rule_health", "", body)
        step.events.append(Record(event, "", 0, False, now, log_offset))


def tell_ages(step: WorkStep, due: Iterable[DueAge], now: float, positions: Mapping[int, int]) -> None:
    """An event for each document whose age in days has grown, and the endpoint's protection where that changes."""
    for each in due:
        context = step.contexts.get(each.endpoint_id)
        stored = step.documents.get(each.endpoint_id, each.kind, each.item)
        if context is None or stored is None:
            continue
        age = age_of(each.kind, stored.body, now, step.settings.coverage)
        told = step.documents.get(each.endpoint_id, AGES)
        previous = None if told is None else told.body.get(f"{each.kind}/{each.item}")
        if age is None or age.days == previous:
            continue
        name = f"{each.kind}.{age.field}"
        parts = (each.kind, each.item, stored.digest, age.days)
        origin = Origin(now, positions[partition_of(context.id)], context.id, "age", *parts)
        fields = document_fields(each.kind, each.item, stored.body, now, step)
        fields["changed"] = [name]
        if previous is not None:
            fields["previous"] = {each.kind: {age.field: previous}}
        step.derive(
            context,
            origin,
            each.kind,
            fields,
            action="day_passed",
            identity=event_id(context.id, "age", *parts),
        )
        note_age(step, context, each.kind, each.item, age.days, now)
        if each.kind == "antivirus":
            sum_up_protection(step, context, origin, identity=event_id(context.id, "protection", *parts))
