"""Writes a worker's step to the state store: documents, streams, endpoints, dead letters, alerts, what is handed over
and the checkpoints, all in the caller's one transaction. Either all of it holds, or the step is done again."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from collector.alerts.findings import Applied, apply_outcomes
from collector.detect.handover import hand_over, row_of
from collector.detect.values import moment
from collector.identity.links import renew_evidence
from collector.network.service import write_devices
from collector.state.tables import DeadLetter, Endpoint, IdentityNote

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.alerts.models import CatalogueLike, Outcome
    from collector.detect.step import Letter, WorkStep

_LETTERS_KEPT = 200
_LETTER_BYTES = 64 << 10
_CHUNK = 500


def commit_step(
    session: Session,
    step: WorkStep,
    outcomes: Sequence[Outcome],
    catalogue: CatalogueLike,
    now: datetime,
) -> Applied:
    """Write all of ``step`` but its checkpoints. Endpoints that were removed since it was read are left out."""
    existing = _existing(session, sorted(step.contexts))
    _write_endpoints(session, step, existing)
    step.documents.flush(session, existing)
    write_devices(session, step.documents.changed(), existing)
    step.streams.flush(session, existing, now)
    for endpoint_id in sorted(step.evidence.keys() & existing):
        simulated = step.contexts[endpoint_id].simulated
        renew_evidence(session, endpoint_id, step.evidence[endpoint_id], now, simulated=simulated)
    if step.told_notes:
        session.execute(delete(IdentityNote).where(IdentityNote.id.in_(step.told_notes)))
    _write_letters(session, [letter for letter in step.letters if letter.endpoint_id in existing])
    hand_over(session, [row_of(*place, notes, now) for place, notes in step.notes.items()])
    return apply_outcomes(session, outcomes, catalogue, now)


def _existing(session: Session, ids: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        query = select(Endpoint.id).where(Endpoint.id.in_(ids[start : start + _CHUNK]))
        found.update(session.scalars(query))
    return found


def _write_endpoints(session: Session, step: WorkStep, existing: set[str]) -> None:
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for endpoint_id, values in step.endpoint_updates.items():
        if endpoint_id in existing:
            by_columns[tuple(sorted(values))].append({"id": endpoint_id, **values})
    for rows in by_columns.values():
        session.execute(update(Endpoint), rows)


def _write_letters(session: Session, letters: list[Letter]) -> None:
    if not letters:
        return
    rows = [
        {
            "endpoint_id": letter.endpoint_id,
            "log_offset": letter.log_offset,
            "part": letter.refusal.part,
            "reason": letter.refusal.reason,
            "body": letter.refusal.body[:_LETTER_BYTES],
            "received_at": moment(letter.received_at),
        }
        for letter in letters
    ]
    session.execute(insert(DeadLetter), rows)
    counts: dict[str, int] = defaultdict(int)
    for letter in letters:
        counts[letter.endpoint_id] += 1
    for endpoint_id, count in counts.items():
        session.execute(
            update(Endpoint)
            .where(Endpoint.id == endpoint_id)
            .values(dead_letters=Endpoint.dead_letters + count)
        )
        kept = (
            select(DeadLetter.id)
            .where(DeadLetter.endpoint_id == endpoint_id)
            .order_by(DeadLetter.id.desc())
            .limit(_LETTERS_KEPT)
        )
        session.execute(
            delete(DeadLetter).where(
                DeadLetter.endpoint_id == endpoint_id, DeadLetter.id.not_in(kept.scalar_subquery())
            )
        )
