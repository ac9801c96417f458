"""Looks at the way of the batches: how far behind it is, and what could not be read."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from collector.detect.values import moment
from collector.state.tables import Certificate, Checkpoint, Endpoint, Handover, RuleChange
from collector.steering.releases.rollout import HALTED
from collector.steering.releases.service import current
from collector.watch.readings import HourCount, LastChange, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

_DETECT: Final = "detect"
_CORRELATE: Final = "correlate"
_PARTITION: Final = "partition/"
#: Agents renew long before; a certificate this near its end means that its agent cannot.
_AGENT_DAYS: Final = 7


class PipelineLook:
    """Remembers between looks: what moved, and when."""

    def __init__(self) -> None:
        self._moves: LastChange[object] = LastChange()
        self._letters = HourCount()

    def look(self, session: Session, now: float, steady: float) -> Iterator[Reading]:
        """Ages by the wall clock: not to be asked while it has just been set."""
        checkpoints = session.scalars(select(Checkpoint)).all()
        partitions = [row for row in checkpoints if row.worker.startswith(_PARTITION)]
        received = [row.received_at.timestamp() for row in partitions if row.received_at is not None]
        if received:
            yield Reading("queue_lag", _DETECT, max(0.0, now - min(received)))
        ages = [(self._moves.age(row.worker, row.updated_at, steady), row.worker) for row in checkpoints]
        for name, prefix in ((_DETECT, _PARTITION), (_CORRELATE, _CORRELATE)):
            found = [each for each in ages if each[1].startswith(prefix)]
            if found:
                age, worker = max(found)
                yield Reading("checkpoint_age", name, age, detail={"oldest": worker})
        waiting = session.scalar(select(func.min(Handover.created_at)).where(Handover.taken == 0))
        lag = 0.0 if waiting is None else max(0.0, now - waiting.timestamp())
        yield Reading("correlate_lag", _CORRELATE, lag)
        change = session.scalar(select(func.min(RuleChange.made_at)).where(RuleChange.applied_at.is_(None)))
        lag = 0.0 if change is None else max(0.0, now - change.timestamp())
        yield Reading("rule_lag", "rules", lag)

    def look_at_letters(self, session: Session, steady: float) -> Iterator[Reading]:
        """How many batches, or parts of them, could not be read within the hour."""
        total = session.scalar(select(func.coalesce(func.sum(Endpoint.dead_letters), 0))) or 0
        yield Reading("dead_letters", _DETECT, self._letters.add(steady, float(total)))

    def look_at_rollout(self, session: Session) -> Iterator[Reading]:
        """For how many machines the rollout of a release has halted by itself, until somebody resumes or stops it."""
        rollout = current(session)
        if rollout is None or rollout.state != HALTED:
            return
        failed, silent = (float(rollout.reason.get(name, 0)) for name in ("failed", "silent"))
        told = {
            "ring": rollout.reason.get("ring", rollout.ring),
            "failed": int(failed),
            "silent": round(silent),
        }
        yield Reading(
            "rollout_halted",
            rollout.version,
            max(1.0, float(round(failed + silent))),
            fields={"concern": told},
        )

    def look_at_agents(self, session: Session, now: float) -> Iterator[Reading]:
        """Endpoints whose newest certificate is about to end although they report."""
        ends = (
            select(func.max(Certificate.not_after).label("ends"))
            .join(Endpoint, Endpoint.id == Certificate.endpoint_id)
            .where(
                Certificate.revoked_at.is_(None),
                Endpoint.retired_at.is_(None),
                Endpoint.silence_mark_seconds == 0,
            )
            .group_by(Certificate.endpoint_id)
            .subquery()
        )
        count = session.scalar(
            select(func.count())
            .select_from(ends)
            .where(ends.c.ends <= moment(now) + timedelta(days=_AGENT_DAYS))
        )
        yield Reading("agent_certificates", "agents", float(count or 0))
