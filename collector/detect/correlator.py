"""What only one process can find, which sees what all workers found: correlations, devices, limits, figures of rules.

It holds the lease ``correlate``; others stand by. It takes what the workers hand over in the order of the log, up to
the first row that a worker has yet to work on: so it comes to the same whoever was faster, with any number of
workers. A step writes its own events to the event store first, under the partition ``WHOLE`` and the step's number,
then everything else with that number to the state store in one transaction; a crash between the two is undone as a
worker's is.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import OperationalError

from collector.alerts.findings import apply_outcomes
from collector.alerts.models import Outcome
from collector.detect import clock
from collector.detect.checkpoints import CORRELATE, REMEMBERED, load_count, load_places, save_count
from collector.detect.handover import (
    Fired,
    Look,
    Match,
    forget_taken,
    hand_over,
    mark_taken,
    oldest_waiting,
    row_of,
    waiting,
)
from collector.detect.insertion import Insertion
from collector.detect.logsources import pipelines
from collector.detect.looking import WholeStep, take_look
from collector.detect.memory import Memory
from collector.detect.patience import Patience, StoppedError
from collector.detect.upkeep import Upkeep
from collector.detect.values import moment
from collector.leases import LeaseLostError
from collector.log.errors import LogError
from collector.partitions import WHOLE
from collector.rulebook.statistics import (
    Figures,
    Judge,
    change_everywhere,
    mark_applied,
    write_worker_figures,
)
from collector.store.errors import FencedError, QueryError
from rules.engine.routing import sources_of
from rules.logsources import LogSources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from collector.detect.handover import Taken
    from collector.detect.ports import EventStore, Pause, SelfWatch
    from collector.detect.rulebook import LiveRules
    from collector.detect.step import Record
    from collector.leases import Leases
    from collector.log.interface import LogReader
    from collector.metrics import CorrelateMetrics
    from collector.settings import Settings
    from collector.state.database import StateStore

log = logging.getLogger("vonggac.correlate")

#: A step takes no more rows than this.
_ROWS: Final = 1_000


class Correlator:
    """Call :meth:`run`; or :meth:`hold` and the steps by hand, as tests do.

    ``beat`` is called with every turn of the loop. ``make_watches``: what looks at everything now and then (at the
    collector itself, at what all probes say), made anew whenever the lease was taken.
    """

    def __init__(
        self,
        *,
        state: StateStore,
        reader: LogReader,
        store: EventStore,
        rules: LiveRules,
        memory: Path,
        leases: Leases,
        settings: Settings,
        metrics: CorrelateMetrics,
        now: Callable[[], float],
        stop: Pause,
        beat: Callable[[], None] = lambda: None,
        make_watches: Callable[[], Sequence[SelfWatch]] = tuple,
    ) -> None:
        self._state = state
        self._reader = reader
        self._store = store
        self._rules = rules
        self._engine = rules.engine
        self._leases = leases
        self._settings = settings
        self.metrics: Final = metrics
        self._now = now
        self._stop = stop
        self._beat = beat
        self._persist = Patience(stop, leases, beat)
        log_sources = LogSources(pipelines(settings.detect.pipelines))
        self.memory: Final = Memory(rules.engine, memory, settings.detect.snapshot_seconds, log_sources)
        self._figures = Figures()
        self._judge = Judge(settings.detect)
        self._figures_due = 0.0
        self._upkeep = Upkeep(state, reader, settings)
        self._make_watches = make_watches
        self._watches: Sequence[SelfWatch] = ()
        self._epoch = 0
        self._applied = -1
        #: The number of the last step that was committed.
        self.step = 0

    def run(self) -> None:
        """Work until told to stop, then give the lease back; returns after a whole step."""
        next_clock = 0.0
        try:
            while not self._stop.is_set():
                self._beat()
                if not self.hold():
                    self._stop.wait(self._settings.detect.poll_seconds)
                    continue
                self.look_at_rules()
                took = self._step_or_wait()
                if monotonic() >= next_clock:
                    next_clock = monotonic() + self._settings.detect.clock_seconds
                    self.step_clock()
                    self._upkeep.run(self._now())
                self.look_around()
                self.memory.save()
                if not took:
                    self._stop.wait(self._settings.detect.poll_seconds)
            if self._epoch:
                self.memory.save(at_once=True)
        except StoppedError:
            log.info("correlate stopped while a store was away")
        with suppress(OperationalError):  # then it is free when nobody has renewed it for a while
            self._leases.release()

    def hold(self, *, at_once: bool = False) -> bool:
        """Renew or take the lease; whether this process holds it and may step.

        Waits for the stores as long as it takes.

        Raises:
            StoppedError: told to stop meanwhile.
        """
        try:
            self._leases.tick(at_once=at_once)
        except OperationalError as error:
            log.warning("the lease is renewed later", extra={"error": str(error)[:300]})
            return bool(self._epoch)
        epoch = self._leases.epochs.get(CORRELATE, 0)
        if epoch != self._epoch:
            self._epoch = 0
            if epoch:
                try:
                    self._enter(epoch)
                except LeaseLostError as error:
                    self._lose(error)
        self.metrics.holds.set(bool(self._epoch))
        return bool(self._epoch)

    def step_rows(self) -> int:
        """Take what workers have handed over, as far as the log is worked; return how many rows."""
        started = monotonic()
        with self._state.read() as session:
            rows = waiting(session, _ROWS)
            positions = (
                {each: place.log_offset for each, place in load_places(session).items()} if rows else {}
            )
        if not rows:
            self.metrics.lag_seconds.set(0)
            return 0
        first = self._reader.first_waiting(positions)
        ready = rows if first is None else [row for row in rows if row.log_offset < first]
        if ready:
            self._take(ready)
            self.metrics.handovers.inc(len(ready))
            self.metrics.step_seconds.observe(monotonic() - started)
        with self._state.read() as session:
            oldest = oldest_waiting(session)
        self.metrics.lag_seconds.set(0 if oldest is None else max(0.0, self._now() - oldest.timestamp()))
        return len(ready)

    def step_clock(self) -> int:
        """Make the events that time alone makes, of no endpoint; return how many."""
        now = self._now()
        if not clock.is_due(self._figures_due, now, self._settings.detect.statistics_seconds):
            return 0
        with self._state.read() as session:
            turns = self._judge.look(session, self._rules.book, now)
            step = WholeStep(session, self._settings, self.step + 1)
            clock.tell_rules(step, turns, now, step.number)
        try:
            if step.events:
                outcomes = [self._ask_rules(step, record) for record in step.events]
                self._settle(step, outcomes, ())
        except LeaseLostError as error:
            self._lose(error)
            return 0
        self._write_figures(now)
        return len(step.events)

    def look_around(self) -> None:
        """Let each watch look, if that is due, and tell what has changed."""
        for watch in self._watches:
            if self._epoch and watch.due():
                self._look(watch)

    def _look(self, watch: SelfWatch) -> None:
        try:
            found = self._found(watch)
            if found is None:
                return
            look, step = found
            outcomes = [self._ask_rules(step, record) for record in step.events]
            self._settle(step, outcomes, (), lambda session: watch.write(session, look))
        except LeaseLostError as error:
            self._lose(error)
        except OperationalError as error:
            log.warning("a watch looks later", extra={"error": str(error)[:300]})
        else:
            watch.done(look)

    def _found(self, watch: SelfWatch) -> tuple[Any, WholeStep] | None:
        """What a watch sees, and the step that tells of it; ``None`` where it fails otherwise than by the stores: what
        one of them cannot bear must stop neither the others nor the correlations."""
        try:
            with self._state.read() as session:
                look = watch.look(session, self._store)
                step = WholeStep(session, self._settings, self.step + 1)
            watch.tell(step, look, step.number)
        except (StoppedError, LeaseLostError, FencedError, OperationalError):
            raise
        except Exception:
            log.exception("a watch fails and tells nothing", extra={"watch": type(watch).__module__})
            return None
        return look, step

    def look_at_rules(self) -> bool:
        """Take changes of the rules, if there are any, and say what all workers have taken; whether there were."""
        try:
            changed = self._rules.look()
            self._say_applied()
        except OperationalError as error:
            log.warning("rules are looked at later", extra={"error": str(error)[:300]})
            return False
        if changed:
            # An older snapshot would give changed correlations what they never saw.
            self.memory.save(at_once=True)
        return changed

    def _enter(self, epoch: int) -> None:
        """Undo what lies beyond the last step, and bring the correlations to it."""
        with self._state.read() as session:
            self.step = load_count(session, CORRELATE)
        deleted = self._persist(lambda: self._store.rewind({WHOLE: self.step}, {WHOLE: epoch}))
        self._engine.throttle({})  # what is shown again uses up nobody's limit
        shown, restored = 0, False
        try:
            shown, restored = self._persist(lambda: self.memory.recall(self._state, self._store, self._now()))
        except QueryError as error:
            log.error("correlations start without memory", extra={"error": str(error)[:300]})  # noqa: TRY400
        self._rules.begin()
        self._figures.begin(self._engine.statistics())
        with self._state.read() as session:
            self._judge.begin(session)
        self._applied = -1
        self._watches = self._make_watches()
        self._epoch = epoch
        log.info(
            "correlate started",
            extra={
                "step": self.step,
                "undone_rows": deleted,
                "memory_restored": restored,
                "events_shown_again": shown,
            },
        )

    def _lose(self, error: LeaseLostError) -> None:
        """Another process does the work now; what this one's correlations have seen beyond it is forgotten."""
        log.warning("the lease was lost in the middle of a step", extra={"reason": str(error)[:300]})
        self._leases.lose()
        self._epoch = 0

    def _step_or_wait(self) -> int:
        try:
            return self.step_rows()
        except LeaseLostError as error:
            self._lose(error)
        except (LogError, OperationalError) as error:
            log.warning("handovers are taken later", extra={"error": str(error)[:300]})
        return 0

    def _take(self, rows: Sequence[Taken]) -> None:
        try:
            self._work_on(rows)
        except (StoppedError, LeaseLostError, OperationalError):
            raise
        except Exception:
            # A bug of ours must not stop everything: find the row by taking them one at a time.
            log.exception("a step failed; its handovers are taken one by one", extra={"step": self.step})
            for row in rows:
                self._enter(self._epoch)
                try:
                    self._work_on([row])
                except (StoppedError, LeaseLostError, OperationalError):
                    raise
                except Exception:
                    log.exception("a handover cannot be worked on", extra={"id": row.id})
                    self._enter(self._epoch)
                    with self._state.read() as session:
                        step = WholeStep(session, self._settings, self.step + 1)
                    self._settle(step, (), [row])

    def _work_on(self, rows: Sequence[Taken]) -> None:
        with self._state.read() as session:
            step = WholeStep(session, self._settings, self.step + 1)
            outcomes = self._outcomes(step, rows)
        self._settle(step, outcomes, rows)

    def _outcomes(self, step: WholeStep, rows: Iterable[Taken]) -> list[Outcome]:
        outcomes = []
        for row in rows:
            if row.fault:
                log.error("a handover cannot be read", extra={"id": row.id, "reason": row.fault})
            for note in row.notes:
                outcomes += self._outcomes_of(step, note)
        return outcomes

    def _outcomes_of(self, step: WholeStep, note: Fired | Look) -> list[Outcome]:
        if isinstance(note, Fired):
            event = note.event()
            self.metrics.events.inc()
            try:
                return [Outcome(event, tuple(self._engine.complete(event, note.matched())))]
            except Exception:
                log.exception("correlations failed on an event", extra={"event_id": event.id})
                return []
        before = len(step.events)
        take_look(step, note)
        return [self._ask_rules(step, record) for record in step.events[before:]]

    def _ask_rules(self, step: WholeStep, record: Record) -> Outcome:
        """Of an event of the process's own: all that a worker and it would find together."""
        event = record.event
        try:
            matched = self._engine.match(
                dict(event.fields), sources_of(event.product, event.category, event.service)
            )
            if shared := self._engine.shared(matched):
                step.shown.append(Fired.of(event, [Match(each.key, dict(each.renames)) for each in shared]))
            return Outcome(event, tuple(self._engine.correlate(event, matched)), self._engine.route(event))
        except Exception:
            log.exception("rules failed on an event", extra={"event_id": event.id})
            return Outcome(event)

    def _settle(
        self,
        step: WholeStep,
        outcomes: Sequence[Outcome],
        rows: Sequence[Taken],
        also: Callable[[Session], None] = lambda _session: None,
    ) -> None:
        """Make both stores hold the step. ``also`` is called in its transaction."""
        of_event = {outcome.event.id: outcome for outcome in outcomes}
        stored = [
            record.row([each.rule_id for each in of_event[record.event.id].findings], record.body())
            for record in step.events
        ]
        if stored:
            insertion = Insertion(
                self._store,
                stored,
                [],
                positions={WHOLE: self.step},
                epochs={WHOLE: self._epoch},
                absent=None,
                now=self._now(),
            )
            self._persist(insertion)
            for letter in insertion.letters:
                log.error("an event of our own is refused", extra={"reason": letter.refusal.reason})
        self._persist(lambda: self._commit(step, outcomes, rows, also))
        self.step = step.number
        self.memory.follow(step.number)
        self.metrics.findings.inc(sum(len(outcome.findings) for outcome in outcomes))

    def _commit(
        self,
        step: WholeStep,
        outcomes: Sequence[Outcome],
        rows: Sequence[Taken],
        also: Callable[[Session], None],
    ) -> None:
        now = moment(self._now())
        with self._state.write() as session:
            self._leases.check(session, [CORRELATE])
            step.devices.flush(session)
            also(session)
            mark_taken(session, [row.id for row in rows], step.number)
            if step.shown:  # to be shown again after a crash
                row = row_of(WHOLE, step.number, step.shown, now)
                hand_over(session, [{**row, "taken": step.number}])
            forget_taken(session, self.memory.saved)
            save_count(session, CORRELATE, step.number, now)
            save_count(session, REMEMBERED, self.memory.saved, now)
            applied = apply_outcomes(session, outcomes, self._rules.catalogue, now)
        applied.tell(log)

    def _say_applied(self) -> None:
        """Tell who asked for a change of the rules once it runs in every worker, or why it does not."""
        if self._applied >= self._rules.book.change:
            return
        with self._state.read() as session:
            reached = change_everywhere(session, self._rules.book.change)
        if reached > self._applied:
            now = moment(self._now())
            with self._state.write() as session:
                mark_applied(session, reached, self._rules.refused, now)
                write_worker_figures(session, self._leases.owner, self._rules.figures(), now)
            self._applied = reached

    def _write_figures(self, now: float) -> None:
        """After the events that they led to: a crash between the two tells a turn twice rather than never."""
        self._figures_due = now + self._settings.detect.statistics_seconds
        self._figures.take(self._engine.statistics())
        try:
            with self._state.write() as session:
                self._figures.write(session, now)
                self._judge.write(session, self._rules.refused, now)
                write_worker_figures(session, self._leases.owner, self._rules.figures(), moment(now))
        except OperationalError as error:
            log.warning("figures of rules are written later", extra={"error": str(error)[:300]})
        else:
            self._figures.written()
            self._judge.written()
