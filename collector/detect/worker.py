"""The detect worker: log → events → rules → stores, with an exactly-once effect.

A step writes events and metrics to the event store first, then everything else and the checkpoint to the state
store in one transaction. After a crash between the two the event store holds rows that no checkpoint covers:
``rewind`` deletes them and the step is done again, from the same rows, with the same ids.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import OperationalError

from collector.alerts.models import Outcome
from collector.detect import clock
from collector.detect.commit import WORKER, commit_step, load_checkpoint
from collector.detect.context import load_contexts
from collector.detect.decode import Refusal
from collector.detect.insertion import Insertion
from collector.detect.logsources import pipelines
from collector.detect.memory import Memory
from collector.detect.rows import decode_rows, take_row
from collector.detect.step import Letter, Record, Step
from collector.detect.streams import TooManyStreamsError
from collector.detect.upkeep import Upkeep
from collector.detect.values import moment
from collector.log.errors import LogDamagedError
from collector.partitions import all_from
from collector.rulebook.statistics import Figures, write_worker_figures
from collector.store.errors import QueryError, StoreError
from rules.logsources import LogSources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from collector.detect.context import EndpointContext
    from collector.detect.decode import Decoded
    from collector.detect.ports import EventStore, Pause
    from collector.detect.rulebook import LiveRules
    from collector.log.interface import LogReader, LogRow
    from collector.rulebook.statistics import Turn
    from collector.settings import Settings
    from collector.state.database import StateStore
    from rules.engine import Event
    from rules.engine.routing import Sources

T = TypeVar("T")

log = logging.getLogger("vonggac.detect")

#: After the collector itself was away for longer than this, agents get `_GRACE_SECONDS` to come back before
#: anybody is called silent.
_OUTAGE_SECONDS = 120.0
_GRACE_SECONDS = 900.0
#: Behind by less than this, the worker counts as up to date.
_CLOSE_SECONDS = 30.0
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


class StoppedError(Exception):
    """The worker was told to stop while it waited for a store; the step it was at will be done again."""


@dataclass
class WorkerCounts:
    """Since the worker started; said in the log when it ends."""

    rows: int = 0
    repeated: int = 0
    orphaned: int = 0
    events: int = 0
    findings: int = 0
    dead_letters: int = 0
    rule_errors: int = 0
    store_retries: int = 0
    step_seconds: float = 0.0


class Worker:
    """One worker over one log. Call :meth:`start`, then :meth:`run` (or the two steps by hand, as tests do)."""

    def __init__(
        self,
        *,
        state: StateStore,
        reader: LogReader,
        store: EventStore,
        rules: LiveRules,
        memory: Path,
        settings: Settings,
        now: Callable[[], float],
        stop: Pause,
    ) -> None:
        self._state = state
        self._reader = reader
        self._store = store
        self._rules = rules
        self._engine = rules.engine
        self._log_sources = LogSources(pipelines(settings.detect.pipelines))
        self._memory = Memory(rules.engine, memory, settings.detect.snapshot_seconds, self._log_sources)
        self._figures = Figures(settings.detect)
        self._figures_due = 0.0
        self._settings = settings
        self._now = now
        self._stop = stop
        self._ages = clock.AgeIndex()
        self._upkeep = Upkeep(state, reader, store, settings)
        self._silence_from = 0.0
        self._behind_seconds = 0.0
        self._failing = False
        self._matched: dict[str, Outcome] = {}
        self.checkpoint = 0
        self.counts = WorkerCounts()

    def start(self) -> None:
        """Go on from the checkpoint: undo what lies beyond it in the event store, and warm the rules up.

        Waits for the event store as long as it takes.

        Raises:
            StoppedError: told to stop meanwhile.
            LogDamagedError: the log is not the one that the checkpoint is of.
        """
        now = self._now()
        with self._state.read() as session:
            saved = load_checkpoint(session)
            self._ages.load(session)
        self.checkpoint = 0 if saved is None else saved.log_offset
        given = self._reader.last_offset()
        if given < self.checkpoint:
            raise LogDamagedError(
                f"the log ends at offset {given}, but {self.checkpoint} were read already: it was lost or replaced;"
                " stop `vonggac serve` and start it again, which repairs this"
            )
        if saved is not None and now - saved.updated_at.timestamp() > _OUTAGE_SECONDS:
            self._silence_from = now + _GRACE_SECONDS
        deleted = self._persist(lambda: self._store.rewind(self.checkpoint))
        committed_at = now if saved is None else saved.updated_at.timestamp()
        shown, restored = 0, False
        try:
            shown, restored = self._persist(
                lambda: self._memory.recall(self._store, self.checkpoint, committed_at, now)
            )
        except QueryError as error:
            log.error("correlations start without memory", extra={"error": str(error)[:300]})  # noqa: TRY400
        self._persist(lambda: self._rules.begin(now))
        with self._state.read() as session:
            self._figures.begin(session, self._engine.statistics())
        log.info(
            "detect started",
            extra={
                "checkpoint": self.checkpoint,
                "undone_rows": deleted,
                "memory_restored": restored,
                "events_shown_again": shown,
            },
        )

    def run(self) -> None:
        """Work until told to stop; returns after a whole step."""
        next_clock = 0.0
        caught_up = False
        changed = True
        try:
            while not self._stop.is_set():
                self.look_at_rules()
                changed = self._reader.changed() or changed
                if changed or not caught_up:
                    changed = False
                    caught_up = self.step_rows() == 0
                # Silence is only known of what has been read: not while far behind, but also under steady load.
                if (caught_up or self._behind_seconds < _CLOSE_SECONDS) and monotonic() >= next_clock:
                    next_clock = monotonic() + self._settings.detect.clock_seconds
                    self.step_clock()
                    self._upkeep.run(self._now(), self.checkpoint)
                self._memory.save()
                if caught_up:
                    self._stop.wait(self._settings.detect.poll_seconds)
            self._memory.save(at_once=True)
        except StoppedError:
            log.info("detect stopped while a store was away", extra={"checkpoint": self.checkpoint})

    def look_at_rules(self) -> bool:
        """Take changes of the rules, if there are any; whether there were."""
        try:
            changed = self._rules.look(self._now())
        except OperationalError as error:
            log.warning("rules are looked at later", extra={"error": str(error)[:300]})
            return False
        if changed:
            self._memory.save(
                at_once=True
            )  # an older one would give changed correlations what they never saw
        return changed

    def step_rows(self) -> int:
        """Take the next rows of the log, if any; return how many."""
        started = monotonic()
        rows = self._reader.read(all_from(self.checkpoint), self._settings.detect.batch_rows)
        if not rows:
            return 0
        taken = decode_rows(rows)
        try:
            self._work_on(taken)
        except StoppedError:
            raise
        except Exception:
            # A bug of ours must not stop the pipeline: find the row by taking them one at a time.
            log.exception(
                "a step failed; its rows are taken one by one", extra={"checkpoint": self.checkpoint}
            )
            self._one_by_one(taken)
        finally:
            self._matched.clear()
        self._behind_seconds = self._now() - taken[-1][0].received_at
        self.counts.rows += len(taken)
        self.counts.step_seconds = monotonic() - started
        return len(taken)

    def _work_on(self, taken: Sequence[tuple[LogRow, Decoded | None]]) -> None:
        with self._state.read() as session:
            contexts = load_contexts(session, (row.endpoint_id for row, _ in taken))
            step = Step(session, self._settings, contexts, self._log_sources)
            for row, decoded in taken:
                self._take(step, contexts.get(row.endpoint_id), row, decoded)
        self._finish(step, taken[-1][0].offset, received_at=taken[-1][0].received_at)

    def _one_by_one(self, taken: Sequence[tuple[LogRow, Decoded | None]]) -> None:
        for row, decoded in taken:
            self._persist(lambda: self._store.rewind(self.checkpoint))
            try:
                self._work_on([(row, decoded)])
            except StoppedError:
                raise
            except Exception as error:
                log.exception("a row cannot be worked on", extra={"log_offset": row.offset})
                self._persist(lambda: self._store.rewind(self.checkpoint))
                with self._state.read() as session:
                    step = Step(session, self._settings, load_contexts(session, [row.endpoint_id]))
                if row.kind == "batch":
                    with suppress(TooManyStreamsError):
                        step.streams.of(row.endpoint_id, row.stream).take(row.seq)  # it did come
                step.letters.append(_internal_error(row, error))
                self._finish(step, row.offset, received_at=row.received_at)

    def step_clock(self) -> int:
        """Make the events that time alone makes; return how many."""
        now = self._now()
        turns = self._take_figures(now)
        with self._state.read() as session:
            marks = self._settings.detect.silence_marks_seconds
            silent = clock.newly_silent(session, marks, now) if now >= self._silence_from else []
            due = self._ages.due(now, self._settings.coverage)
            if not silent and not due and not turns:
                self._write_figures(now)
                return 0
            step = Step(session, self._settings, load_contexts(session, silent))
            clock.tell_silence(step, self._settings, now, self.checkpoint)
            clock.tell_rules(step, turns, now, self.checkpoint)
            aged = Step(session, self._settings, load_contexts(session, (each.endpoint_id for each in due)))
            clock.tell_ages(aged, due, now, self.checkpoint)
            self._ages.forget({each.endpoint_id for each in due} - aged.contexts.keys())
        for each in (step, aged):
            if each.events:
                self._finish(each, self.checkpoint, received_at=None)
        self._matched.clear()
        self._write_figures(now)
        return len(step.events) + len(aged.events)

    def _take_figures(self, now: float) -> list[Turn]:
        if now < self._figures_due and self._figures_due - now <= self._settings.detect.statistics_seconds:
            return []
        return self._figures.take(self._engine.statistics(), self._rules.book, now)

    def _write_figures(self, now: float) -> None:
        """After the events that they led to: a crash between the two tells a turn twice rather than never."""
        if now < self._figures_due and self._figures_due - now <= self._settings.detect.statistics_seconds:
            return
        self._figures_due = now + self._settings.detect.statistics_seconds
        try:
            with self._state.write() as session:
                self._figures.write(session, self._rules.refused, now)
                write_worker_figures(session, WORKER, self._rules.figures(), moment(now))
        except OperationalError as error:
            log.warning("figures of rules are written later", extra={"error": str(error)[:300]})
        else:
            self._figures.written()

    def _take(
        self, step: Step, context: EndpointContext | None, row: LogRow, decoded: Decoded | None
    ) -> None:
        if context is None:
            self.counts.orphaned += 1  # an endpoint that was removed while its batch waited
            return
        try:
            if not take_row(step, context, row, decoded):
                self.counts.repeated += 1
        except Exception as error:
            # One row must never stop all others: what it set off so far stays, the rest is a dead letter.
            log.exception(
                "a row could not be taken", extra={"log_offset": row.offset, "endpoint": context.id}
            )
            step.letters = [letter for letter in step.letters if letter.log_offset != row.offset]
            step.letters.append(_internal_error(row, error))

    def _finish(self, step: Step, checkpoint: int, *, received_at: float | None) -> None:
        """``received_at``: of the last row, None where the step only looked at the clock."""
        outcomes = [self._match(record) for record in step.events]
        rows = [
            record.row([finding.rule_id for finding in outcome.findings])
            for record, outcome in zip(step.events, outcomes, strict=True)
        ]
        if rows or step.metrics:
            insertion = Insertion(
                self._store,
                rows,
                step.metrics,
                checkpoint=self.checkpoint,
                fresh_rows=received_at is not None,
                now=self._now(),
            )
            self._persist(insertion)
            step.letters.extend(insertion.letters)
        self._persist(lambda: self._commit(step, outcomes, checkpoint))
        self.checkpoint = checkpoint
        self._ages.follow(step)
        self._memory.follow(step.events, checkpoint, received_at)
        self.counts.events += len(rows)
        self.counts.dead_letters += len(step.letters)
        self.counts.findings += sum(len(outcome.findings) for outcome in outcomes)

    def _match(self, record: Record) -> Outcome:
        """What the rules say. A step that is done again asks them once: correlations count what they are shown."""
        event = record.event
        if event.id not in self._matched:
            self._matched[event.id] = self._ask_rules(event, record.sources)
        return self._matched[event.id]

    def _ask_rules(self, event: Event, sources: Sources | None) -> Outcome:
        try:
            findings = tuple(self._engine.process(event, sources))
            # Only what the collector says of states can say that a state has passed.
            offered = tuple(self._engine.route(event)) if event.product == "vonggac" else ()
        except Exception:
            self.counts.rule_errors += 1
            log.exception("rules failed on an event", extra={"event_id": event.id})
            return Outcome(event)
        return Outcome(event, findings, offered)

    def _commit(self, step: Step, outcomes: Sequence[Outcome], checkpoint: int) -> None:
        with self._state.write() as session:
            applied = commit_step(
                session, step, outcomes, self._rules.catalogue, checkpoint, moment(self._now())
            )
        if applied.opened or applied.cleared:
            log.info(
                "alerts changed",
                extra={"opened": list(applied.opened[:50]), "cleared": list(applied.cleared[:50])},
            )

    def _persist(self, write: Callable[[], T]) -> T:
        attempt = 0
        while True:
            try:
                result = write()
            except QueryError:
                raise  # asking again would not help
            except (StoreError, OperationalError) as error:
                if not self._failing:
                    log.warning(
                        "a store does not take the step; trying again", extra={"error": str(error)[:300]}
                    )
                    self._failing = True
                self.counts.store_retries += 1
            else:
                if self._failing:
                    log.info("the stores take steps again")
                    self._failing = False
                return result
            delay = _RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]
            attempt += 1
            if self._stop.wait(delay):
                raise StoppedError


def _internal_error(row: LogRow, error: Exception) -> Letter:
    reason = f"internal error: {type(error).__name__}: {error}"[:500]
    return Letter(row.endpoint_id, row.offset, row.received_at, Refusal("", reason, row.body))
