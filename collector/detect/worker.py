"""A detect worker: log → events → rules → stores, with an exactly-once effect. Any number of them share the work.

A worker holds leases of partitions and takes the rows of those. A step writes events and metrics to the event store
first, then everything else and the checkpoints to the state store in one transaction. After a crash between the two
the event store holds rows that no checkpoint covers: whoever takes the partition next rewinds it, and does the step
again, from the same rows, with the same ids. Both stores refuse what is written under a lease that was taken over.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import OperationalError

from collector.detect import clock
from collector.detect.checkpoints import NAMES, load_places
from collector.detect.patience import Patience, StoppedError
from collector.detect.placing import PlacingIndex, place_cards
from collector.detect.restoring import Restoring
from collector.detect.rows import decode_rows
from collector.detect.stepping import Stepper
from collector.detect.values import moment
from collector.leases import LeaseLostError
from collector.log.errors import LogDamagedError, LogError
from collector.machine import ClockGuard, since_boot
from collector.rulebook.statistics import Figures, write_worker_figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.detect.ports import EventStore, Export, Pause
    from collector.detect.rulebook import LiveRules
    from collector.detect.step import WorkStep
    from collector.leases import Leases
    from collector.log.interface import LogReader
    from collector.metrics import DetectMetrics
    from collector.settings import Settings
    from collector.state.database import StateStore

log = logging.getLogger("vonggac.detect")

#: A step has a price of its own in both stores, whatever it holds. So after one the worker rests for some times what it
#: took, and the next one holds more; but not where it is behind.
_RESTS: Final = 4.0
_LONGEST_REST_SECONDS: Final = 0.5
_BEHIND_SECONDS: Final = 1.0
#: How often the checkpoints say how far the log is worked while nothing comes.
_ALIVE_SECONDS: Final = 5.0


class Worker:
    """Call :meth:`run`; or :meth:`begin`, :meth:`hold` and the steps by hand, as tests do.

    ``reread`` opens a second reader of the log, for what was worked on long ago. ``beat`` is called with every turn of
    the loop. ``export`` is given endpoints' metrics for another store.
    ``steady`` is a clock that nobody sets, by which a setting of ``now`` is noticed.
    """

    def __init__(
        self,
        *,
        state: StateStore,
        reader: LogReader,
        reread: Callable[[], LogReader],
        store: EventStore,
        rules: LiveRules,
        leases: Leases,
        settings: Settings,
        metrics: DetectMetrics,
        now: Callable[[], float],
        stop: Pause,
        beat: Callable[[], None] = lambda: None,
        export: Export | None = None,
        steady: Callable[[], float] = since_boot,
    ) -> None:
        self._state = state
        self._reader = reader
        self._store = store
        self._rules = rules
        self._leases = leases
        self._settings = settings
        self.metrics: Final = metrics
        self._now = now
        self._guard = ClockGuard(now, steady)
        self._stop = stop
        self._beat = beat
        self._persist = Patience(stop, leases, beat, metrics.store_retries.inc)
        self._ages = clock.AgeIndex()
        self._placing = PlacingIndex()
        self._stepper = Stepper(
            state=state,
            store=store,
            rules=rules,
            leases=leases,
            ages=self._ages,
            placing=self._placing,
            settings=settings,
            metrics=metrics,
            now=now,
            persist=self._persist,
            export=export,
        )
        self._restoring = Restoring(
            open_reader=reread,
            state=state,
            store=store,
            engine=rules.engine,
            new_step=self._stepper.new_step,
            persist=self._persist,
            metrics=metrics,
            batch_rows=settings.detect.batch_rows,
            now=now,
        )
        self._figures = Figures()
        self._figures_due = 0.0
        self._silence_from = 0.0
        self._alive_due = 0.0
        #: For how long :meth:`run` waits after the last step.
        self.rest_seconds = 0.0

    @property
    def positions(self) -> dict[int, int]:
        """The last offset that is worked on, of each partition held."""
        return self._stepper.holding.positions

    def run(self) -> None:
        """Work until told to stop, then give the leases back; returns after a whole step."""
        next_clock = 0.0
        try:
            self.begin()
            while not self._stop.is_set():
                self._beat()
                self.hold()
                self.look_at_rules()
                caught_up = self._step_or_wait()
                # Silence is only known of what has been read: not while far behind, but also under steady load.
                close = self._now() - self._stepper.holding.received_at < clock.CLOSE_SECONDS
                if close and monotonic() >= next_clock:
                    next_clock = monotonic() + self._settings.detect.clock_seconds
                    self.step_clock()
                if caught_up:
                    self._stay_alive()
                pause = self._settings.detect.poll_seconds if caught_up else self.rest_seconds
                if not (pause and self.restore()):
                    self._stop.wait(pause)
        except StoppedError:
            log.info("detect stopped while a store was away")
        finally:
            self._restoring.close()
        with suppress(OperationalError):  # then they are free when nobody has renewed them for a while
            self._leases.release()

    def begin(self) -> None:
        """Before the first step. Waits for the state store as long as it takes."""
        self._rules.begin()
        self._persist(self._say_rules)
        self._figures.begin(self._rules.engine.statistics())

    def hold(self, *, at_once: bool = False) -> bool:
        """Renew the leases, take what is free, give up what others are to have; whether anything changed.

        Waits for the event store as long as it takes.

        Raises:
            StoppedError: told to stop meanwhile.
            LogDamagedError: the log is not the one that the checkpoints are of.
        """
        try:
            self._leases.tick(at_once=at_once)
        except OperationalError as error:
            log.warning("the leases are renewed later", extra={"error": str(error)[:300]})
            return False
        epochs = {NAMES[name]: epoch for name, epoch in self._leases.epochs.items()}
        if epochs == self._stepper.holding.epochs:
            return False
        try:
            self._follow(epochs)
        except LeaseLostError as error:
            self._lose(error)
        except LogError as error:
            log.warning(
                "the log cannot be asked; partitions are taken later", extra={"error": str(error)[:300]}
            )
        return True

    def step_rows(self) -> int:
        """Take the next rows of the log, if any; return how many."""
        holding = self._stepper.holding
        started, asked_at = monotonic(), self._now()
        rows = self._reader.read(holding.positions, self._settings.detect.batch_rows)
        if not rows:
            holding.received_at = asked_at
            self.metrics.lag_seconds.set(0)
            return 0
        taken = decode_rows(rows)
        try:
            self._stepper.rows(taken)
        except LeaseLostError as error:
            self._lose(error)
            return 0
        lag, took = max(0.0, self._now() - holding.received_at), monotonic() - started
        behind = lag >= _BEHIND_SECONDS or len(rows) >= self._settings.detect.batch_rows
        self.rest_seconds = 0.0 if behind else min(_RESTS * took, _LONGEST_REST_SECONDS)
        self.metrics.lag_seconds.set(lag)
        self.metrics.step_seconds.observe(took)
        return len(taken)

    def step_clock(self) -> int:
        """Make the events that time alone makes, of endpoints of the partitions held; return how many."""
        now = self._now()
        count = 0
        try:
            if self._guard.look():  # nobody's silence is known by a clock that was just set
                self._silence_from = now + clock.GRACE_SECONDS
                self._persist(lambda: self._forget_future(now))
            for make in (self._silence, self._age, self._identity):
                step = make(now)
                if step.events or step.told_notes:
                    self._stepper.derived(step)
                    count += len(step.events)
            self._place_cards(now)
        except LeaseLostError as error:
            self._lose(error)
        self._write_figures(now)
        return count

    def look_at_rules(self) -> bool:
        """Take changes of the rules, if there are any; whether there were."""
        try:
            changed = self._rules.look()
            if changed:
                self._say_rules()
        except OperationalError as error:
            log.warning("rules are looked at later", extra={"error": str(error)[:300]})
            return False
        return changed

    def restore(self) -> bool:
        """Bring back a piece of what is damaged of the event store, if anything is; whether there was something."""
        try:
            return self._restoring.piece(self._stepper.holding)
        except LeaseLostError as error:
            self._lose(error)
            return True

    def _forget_future(self, now: float) -> None:
        with self._state.write() as session:
            clock.forget_future(session, now)

    def _silence(self, now: float) -> WorkStep:
        positions = self.positions
        with self._state.read() as session:
            marks = self._settings.detect.silence_marks_seconds
            held = positions.keys() if now >= self._silence_from else ()
            step = self._stepper.new_step(session, clock.newly_silent(session, marks, now, held))
            clock.tell_silence(step, self._settings, now, positions)
        return step

    def _age(self, now: float) -> WorkStep:
        due = self._ages.due(now, self._settings.coverage)
        ids = sorted({each.endpoint_id for each in due})
        with self._state.read() as session:
            step = self._stepper.new_step(session, ids, ids)
            clock.tell_ages(step, due, now, self.positions)
        self._ages.forget(set(ids) - step.contexts.keys())
        return step

    def _identity(self, now: float) -> WorkStep:
        positions = self.positions
        with self._state.read() as session:
            notes = clock.notes_waiting(session, positions.keys())
            step = self._stepper.new_step(session, sorted({note.endpoint_id for note in notes}))
            clock.tell_notes(step, notes, now, positions)
        return step

    def _place_cards(self, now: float) -> None:
        due = self._placing.due(now)
        if not due:
            return
        with self._state.read() as session:
            step = self._stepper.new_step(session, due)
            looked = place_cards(session, step, self._placing, due, now, self.positions)
        if step.notes:
            self._stepper.derived(step)
        self._placing.done(looked, now)

    def _follow(self, epochs: dict[int, int]) -> None:
        """Go on from the checkpoints of partitions that are new: undo what lies beyond them in the event store."""
        holding = self._stepper.holding
        self._leave([each for each, epoch in holding.epochs.items() if epochs.get(each) != epoch])
        fresh = {each: epoch for each, epoch in epochs.items() if each not in holding.epochs}
        if fresh:
            self._enter(fresh)
        self.metrics.partitions.set(len(holding.epochs))

    def _leave(self, gone: list[int]) -> None:
        holding = self._stepper.holding
        for each in gone:
            del holding.epochs[each], holding.positions[each]
        self._ages.leave(gone)
        self._placing.leave(gone)

    def _enter(self, fresh: dict[int, int]) -> None:
        with self._state.read() as session:
            places = load_places(session, fresh)
        given = self._reader.last_offset()
        highest = max(place.log_offset for place in places.values())
        if given < highest:
            raise LogDamagedError(
                f"the log ends at offset {given}, but {highest} were read already: it was lost or replaced;"
                " stop `vonggac serve` and start it again, which repairs this"
            )
        positions = {each: place.log_offset for each, place in places.items()}
        deleted = self._persist(lambda: self._store.rewind(positions, fresh))
        with self._state.read() as session:
            self._ages.load(session, fresh.keys())
            self._placing.load(session, fresh.keys(), self._now())
        now = self._now()
        worked = [place.updated_at.timestamp() for place in places.values() if place.updated_at is not None]
        if worked and now - max(worked) > clock.OUTAGE_SECONDS:
            self._silence_from = now + clock.GRACE_SECONDS
        holding = self._stepper.holding
        holding.positions.update(positions)
        holding.epochs.update(fresh)
        holding.received_at = 0.0
        log.info("partitions taken", extra={"partitions": sorted(fresh), "undone_rows": deleted})

    def _lose(self, error: LeaseLostError) -> None:
        """Whoever took over does the step again; what is left to this worker, it takes anew."""
        log.warning("a lease was lost in the middle of a step", extra={"reason": str(error)[:300]})
        self._leases.lose()
        self._leave(list(self._stepper.holding.epochs))

    def _step_or_wait(self) -> bool:
        """One step, if there are rows; whether there are no more of them for now."""
        if not self.positions:
            return True
        try:
            return self.step_rows() == 0
        except (LogError, OperationalError) as error:
            log.warning("rows are taken later", extra={"error": str(error)[:300]})
            return True

    def _stay_alive(self) -> None:
        """Say that all there is is worked on, while nothing comes that would say it."""
        if monotonic() < self._alive_due or not self.positions:
            return
        self._alive_due = monotonic() + _ALIVE_SECONDS
        try:
            with self._state.write() as session:
                self._stepper.save_places(session, self.positions, self._now())
        except OperationalError as error:
            log.warning("the checkpoints are renewed later", extra={"error": str(error)[:300]})
        except LeaseLostError as error:
            self._lose(error)

    def _say_rules(self) -> None:
        """Let ``correlate`` know which change runs here, and those who watch how the engine is."""
        with self._state.write() as session:
            write_worker_figures(session, self._leases.owner, self._rules.figures(), moment(self._now()))

    def _write_figures(self, now: float) -> None:
        every = self._settings.detect.statistics_seconds
        if not clock.is_due(self._figures_due, now, every):
            return
        self._figures_due = now + every
        self._figures.take(self._rules.engine.statistics())
        try:
            with self._state.write() as session:
                self._figures.write(session, now)
            self._say_rules()
        except OperationalError as error:
            log.warning("figures of rules are written later", extra={"error": str(error)[:300]})
        else:
            self._figures.written()
