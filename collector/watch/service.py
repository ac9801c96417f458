"""The collector's watch over itself: looks at every concern, and tells what has changed as events of its own.

It runs where everything can be seen: in the process that holds the lease ``correlate``. A look reads; what it found is
told in that process's next step, whose transaction also writes it down. So a crash in between tells it again, once.

    look = watch.look(session, store)           # when watch.due()
    watch.tell(step, look, log_offset)          # events into the step, offered to the rules like any other
    watch.write(session, look)                  # in the step's transaction, with or without events
    watch.done(look)                            # once that holds
"""

from __future__ import annotations

import logging
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import select

from collector.detect import clock
from collector.detect.step import Record
from collector.detect.values import event_id
from collector.files import write_file
from collector.machine import ClockGuard, since_boot
from collector.state.tables import ProcessHealth, WatchState
from collector.steering.releases.going import Going
from collector.watch import record
from collector.watch.concerns import CONCERNS
from collector.watch.pipeline import PipelineLook
from collector.watch.processes import Processes
from collector.watch.silence import Sources, silent_agencies
from rules.engine import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from collector.detect.ports import EventStore
    from collector.detect.step import Step
    from collector.settings import DataDirectory, Settings
    from collector.watch.readings import Reading
    from collector.watch.record import Look

#: After the clock was set, what goes by it is not believed for so long.
_JUMP_GRACE_SECONDS: Final = 120.0

log = logging.getLogger("vonggac.watch")


class Watch:
    """One a process; not for several threads.

    Args:
        now, steady: the wall clock, and one that nobody sets.
    """

    def __init__(
        self,
        settings: Settings,
        data: DataDirectory,
        *,
        now: Callable[[], float] = time,
        steady: Callable[[], float] = since_boot,
    ) -> None:
        self._settings = settings.watch
        self._data = data
        self._now = now
        self._steady = steady
        self._guard = ClockGuard(now, steady)
        self._processes = Processes()
        self._pipeline = PipelineLook()
        self._sources = Sources(settings.watch)
        self._rollout = Going()
        self._next = monotonic()
        self._silence_from = float("-inf")
        self._begun = False

    def due(self) -> bool:
        """Whether it is time for the next look."""
        return monotonic() >= self._next

    def look(self, session: Session, store: EventStore) -> Look:
        """Look at everything. Reads; raises what the state store raises, and takes a store that is away for now."""
        self._next = monotonic() + self._settings.seconds
        now, steady = self._now(), self._steady()
        if not self._begun:
            self._begin(session, now, steady)
        jumped = self._guard.look()
        if jumped:
            log.warning("the clock was set", extra={"seconds": round(jumped, 3)})
            self._silence_from = steady + clock.GRACE_SECONDS
        states = record.read_states(session)
        rows = session.scalars(select(ProcessHealth)).all()
        readings: list[Reading] = []
        asked = set(CONCERNS)
        readings += self._processes.look(rows, steady)
        readings += self._processes.look_at_stores(rows)
        readings += self._processes.look_at_machines(rows, _disk_samples(states), now, steady)
        readings += self._pipeline.look_at_letters(session, steady)
        readings += self._pipeline.look_at_rollout(session)
        if self._guard.since_jump < _JUMP_GRACE_SECONDS:
            asked -= {"queue_lag", "checkpoint_age", "correlate_lag", "rule_lag", "agent_certificates"}
        else:
            readings += self._pipeline.look(session, now, steady)
            readings += self._pipeline.look_at_agents(session, now)
            self._rollout.look(session, now, steady)
        lag = max((each.value for each in readings if each.concern == "queue_lag"), default=0.0)
        if steady < self._silence_from or lag > clock.CLOSE_SECONDS:
            asked -= {"agency_silence", "source_silence"}
        else:
            self._sources.listen(store, now)
            readings += silent_agencies(session, now)
            readings += self._sources.silent(session, now)
        return record.judge(readings, states, asked, now)

    def tell(self, step: Step, look: Look, log_offset: int) -> None:
        """One event for each turn. They are about no endpoint; of an agency where the concern is."""
        for turn in look.turns:
            reading, concern = turn.reading, CONCERNS[turn.reading.concern]
            made = event_id("watch", reading.concern, reading.subject, int(turn.mark), int(turn.since * 1000))
            said = {
                **reading.fields.get("concern", {}),
                "subject": reading.subject,
                concern.unit: round(reading.value, 6),
                "mark": turn.mark,
            }
            agency: dict[str, Any] = reading.fields.get("agency", {})
            simulated = bool(reading.fields.get("simulated", False))
            body: dict[str, Any] = {
                "collector": {reading.concern: said},
                "changed": [f"collector.{reading.concern}.mark"],
                "previous": {"collector": {reading.concern: {"mark": turn.before}}},
                "simulated": simulated,
                "event": {"id": made, "action": "mark_passed"},
            }
            if agency:
                body["agency"] = agency
            event = Event(made, look.now, "vonggac", "collector", "", body)
            step.events.append(Record(event, "", agency.get("id", 0), simulated, look.now, log_offset))

    def write(self, session: Session, look: Look) -> None:
        """Write down what was found. In a write transaction, the one of the turns' events."""
        record.write(session, look)
        self._sources.note(session)
        self._rollout.write(session, look.now)
        self._processes.forget(session, session.scalars(select(ProcessHealth)).all(), self._steady())

    def done(self, look: Look) -> None:
        """The transaction of :meth:`write` holds: the pipeline lives, and says so in a file."""
        self._sources.noted()
        pulse = {"looked_at": look.now, "turns": len(look.turns)}
        try:
            write_file(self._data.pulse, msgspec.json.encode(pulse), 0o644)
        except OSError as error:
            log.warning("the pulse cannot be written", extra={"error": str(error)})

    def _begin(self, session: Session, now: float, steady: float) -> None:
        self._begun = True
        pulse = session.get(WatchState, (record.PULSE, ""))
        if pulse is None or abs(now - pulse.looked_at.timestamp()) > clock.OUTAGE_SECONDS:
            self._silence_from = steady + clock.GRACE_SECONDS


def _disk_samples(states: dict[tuple[str, str], WatchState]) -> dict[str, Any]:
    return {
        subject: row.detail.get("samples", ())
        for (concern, subject), row in states.items()
        if concern == "disk_runway"
    }
