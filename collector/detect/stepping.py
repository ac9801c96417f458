"""The steps of a worker: what rules say of a run of rows, and both stores made to hold it."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from collector.alerts.models import Outcome
from collector.detect.checkpoints import name_of, save_places
from collector.detect.commit import commit_step
from collector.detect.context import load_contexts
from collector.detect.decode import Refusal
from collector.detect.handover import Fired, Match
from collector.detect.insertion import AbsentOfClock, Insertion
from collector.detect.logsources import pipelines
from collector.detect.patience import StoppedError
from collector.detect.rows import documented, take_row
from collector.detect.step import Letter, Record, WorkStep
from collector.detect.streams import TooManyStreamsError, digest_of
from collector.detect.values import moment
from collector.leases import LeaseLostError
from collector.log.interface import moved
from rules.engine.routing import sources_of
from rules.logsources import LogSources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.orm import Session

    from collector.detect.clock import AgeIndex
    from collector.detect.context import EndpointContext
    from collector.detect.decode import Decoded
    from collector.detect.patience import Patience
    from collector.detect.placing import PlacingIndex
    from collector.detect.ports import EventStore, Export
    from collector.detect.rulebook import LiveRules
    from collector.leases import Leases
    from collector.log.interface import LogRow
    from collector.metrics import DetectMetrics
    from collector.settings import Settings
    from collector.state.database import StateStore
    from collector.store.rows import EventRow

log = logging.getLogger("vonggac.detect")

Taken = tuple["LogRow", "Decoded | None"]


@dataclass
class Holding:
    """The partitions that a worker holds: the last offset of each that is worked on, and the epoch of its lease.
    Everything of them that was received until ``received_at`` is in the stores."""

    positions: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    received_at: float = 0.0


class Stepper:
    """One a worker. A step either holds in both stores, or raises and can be done again."""

    def __init__(
        self,
        *,
        state: StateStore,
        store: EventStore,
        rules: LiveRules,
        leases: Leases,
        ages: AgeIndex,
        placing: PlacingIndex,
        settings: Settings,
        metrics: DetectMetrics,
        now: Callable[[], float],
        persist: Patience,
        export: Export | None = None,
    ) -> None:
        self._state = state
        self._store = store
        self._rules = rules
        self._engine = rules.engine
        self._leases = leases
        self._ages = ages
        self._placing = placing
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._persist = persist
        self._export = export
        self._log_sources = LogSources(pipelines(settings.detect.pipelines))
        self._matched: dict[str, tuple[Outcome, list[Match]]] = {}
        self.holding = Holding()

    def rows(self, taken: Sequence[Taken]) -> None:
        """Work on these rows of the log, which are the next ones of the partitions held.

        Raises:
            LeaseLostError: some of it is another worker's now.
            OperationalError: the state store could not be read; nothing was done.
            StoppedError: told to stop while a store was away.
        """
        try:
            self._work_on(taken)
        except (StoppedError, LeaseLostError, OperationalError):
            raise
        except Exception:
            # A bug of ours must not stop the pipeline: find the row by taking them one at a time.
            log.exception(
                "a step failed; its rows are taken one by one", extra={"log_offset": taken[0][0].offset}
            )
            self._one_by_one(taken)
        finally:
            self._matched.clear()

    def derived(self, step: WorkStep) -> None:
        """Finish a step that is no row's: of the clock. Raises as :meth:`rows`."""
        try:
            self._finish(step, ())
        finally:
            self._matched.clear()

    def new_step(self, session: Session, ids: Sequence[str], documents_of: Sequence[str] = ()) -> WorkStep:
        return WorkStep(session, self._settings, load_contexts(session, ids), self._log_sources, documents_of)

    def save_places(self, session: Session, positions: Mapping[int, int], now: float) -> None:
        """The checkpoints of the partitions held, fenced by their leases.

        Raises:
            LeaseLostError: one is another worker's now; roll back.
        """
        self._leases.check(session, map(name_of, positions))
        save_places(session, positions, moment(self.holding.received_at), moment(now))

    def _work_on(self, taken: Sequence[Taken]) -> None:
        with self._state.read() as session:
            step = self.new_step(session, [row.endpoint_id for row, _ in taken], documented(taken))
            for row, decoded in taken:
                self._take(step, step.contexts.get(row.endpoint_id), row, decoded)
        self._finish(step, [row for row, _ in taken])

    def _one_by_one(self, taken: Sequence[Taken]) -> None:
        for row, decoded in taken:
            self._rewind()
            try:
                self._work_on([(row, decoded)])
            except (StoppedError, LeaseLostError, OperationalError):
                raise
            except Exception as error:
                log.exception("a row cannot be worked on", extra={"log_offset": row.offset})
                self._rewind()
                with self._state.read() as session:
                    step = self.new_step(session, [row.endpoint_id])
                if row.kind == "batch":
                    with suppress(TooManyStreamsError):
                        stream = step.streams.of(row.endpoint_id, row.stream)
                        stream.take(row.seq, digest_of(row.body))  # it did come
                step.letters.append(_internal_error(row, error))
                self._finish(step, [row])

    def _rewind(self) -> None:
        holding = self.holding
        self._persist(lambda: self._store.rewind(holding.positions, holding.epochs))

    def _take(
        self, step: WorkStep, context: EndpointContext | None, row: LogRow, decoded: Decoded | None
    ) -> None:
        if context is None:
            self._metrics.orphaned.inc()  # an endpoint that was removed while its batch waited
            return
        try:
            if not take_row(step, context, row, decoded):
                self._metrics.repeated.inc()
        except Exception as error:
            # One row must never stop all others: what it set off so far stays, the rest is a dead letter.
            log.exception(
                "a row could not be taken", extra={"log_offset": row.offset, "endpoint": context.id}
            )
            step.letters = [letter for letter in step.letters if letter.log_offset != row.offset]
            step.letters.append(_internal_error(row, error))

    def _finish(self, step: WorkStep, rows: Sequence[LogRow]) -> None:
        """``rows``: the ones that the step worked on; none where it only looked at the clock."""
        holding = self.holding
        outcomes: list[Outcome] = []
        stored: list[EventRow] = []
        for record in step.events:
            body = record.body()
            outcome = self._match(step, record, body)
            if outcome is None:
                stored.append(record.row([], body))
            else:
                outcomes.append(outcome)
                stored.append(record.row([finding.rule_id for finding in outcome.findings], body))
        if stored or step.metrics:
            insertion = Insertion(
                self._store,
                stored,
                step.metrics,
                positions=holding.positions,
                epochs=holding.epochs,
                absent=None if rows else AbsentOfClock(self._store, holding.positions),
                now=self._now(),
            )
            self._persist(insertion)
            step.letters.extend(insertion.letters)
        if self._export is not None:
            lost = self._export.lost
            self._export.put(step.metrics, holding.epochs)
            self._metrics.unexported.inc(self._export.lost - lost)
        positions = moved(holding.positions, rows)
        if rows:
            holding.received_at = rows[-1].received_at
        self._persist(lambda: self._commit(step, outcomes, positions))
        holding.positions = positions
        self._ages.follow(step)
        self._placing.follow(step)
        self._metrics.rows.inc(len(rows))
        self._metrics.events.inc(len(stored))
        self._metrics.points.inc(len(step.metrics))
        self._metrics.dead_letters.inc(len(step.letters))
        self._metrics.findings.inc(sum(len(outcome.findings) for outcome in outcomes))

    def _match(self, step: WorkStep, record: Record, body: bytes) -> Outcome | None:
        """What the rules say, None where they say nothing; and what ``correlate`` is to see of it. A step that is done
        again asks the rules that spoke only once: they count what they are shown."""
        event = record.event
        known = self._matched.get(event.id)
        if known is None:
            known = self._ask_rules(record, body)
            if known is None:
                return None
            self._matched[event.id] = known
        outcome, shared = known
        if shared:
            step.hand_over(record.endpoint_id, record.log_offset, Fired.of(event, shared))
        return outcome

    def _ask_rules(self, record: Record, body: bytes) -> tuple[Outcome, list[Match]] | None:
        event = record.event
        sources = record.sources or sources_of(event.product, event.category, event.service)
        try:
            matched = self._engine.match(event.fields, sources, body)  # type: ignore[arg-type] # a dict, as steps make it
            # Only what the collector says of states can say that a state has passed.
            offered = self._engine.route(event) if event.product == "vonggac" else ()
            if not matched:
                return (Outcome(event, (), offered), []) if offered else None
            findings = tuple(self._engine.report(event, matched))
            shared = [Match(each.key, dict(each.renames)) for each in self._engine.shared(matched)]
        except Exception:
            self._metrics.rule_errors.inc()
            log.exception("rules failed on an event", extra={"event_id": event.id})
            return Outcome(event), []
        return Outcome(event, findings, offered), shared

    def _commit(self, step: WorkStep, outcomes: Sequence[Outcome], positions: Mapping[int, int]) -> None:
        now = self._now()
        with self._state.write() as session:
            self.save_places(session, positions, now)
            applied = commit_step(session, step, outcomes, self._rules.catalogue, moment(now))
        applied.tell(log)


def _internal_error(row: LogRow, error: Exception) -> Letter:
    reason = f"internal error: {type(error).__name__}: {error}"[:500]
    return Letter(row.endpoint_id, row.offset, row.received_at, Refusal("", reason, row.body))
