"""Spool, log and workers as a state machine: whatever is lost, killed, paused or late, and in whatever order, every
event that was acknowledged is in the store once, and counts once in alerts and correlations."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule
from sqlalchemy import select

from collector.detect.checkpoints import load_places
from collector.leases import DEAD_SECONDS, RENEW_SECONDS
from collector.settings import Detect, Settings
from collector.state.tables import Alert, Handover, Stream
from tests.collector.detect.test_worker import BAD_PROCESS, BURST
from tests.collector.pipeline import T0, KilledError, Pipeline, add_endpoint, event, frame
from tests.support import state as states

if TYPE_CHECKING:
    from collector.detect.worker import Worker

ENDPOINTS = ("ep-1", "ep-2", "ep-3")
endpoints = st.sampled_from(ENDPOINTS)
#: Where a process dies.
deaths = st.sampled_from(("before the insert", "after the insert", "before the commit", "after the commit"))


class Spool:
    """An agent's: batches stay until they are acknowledged, under the numbers they were made with."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, bytes]] = []
        self.made = 0

    def add(self, images: list[str]) -> None:
        self.made += 1
        failed = {**event(T0, "auth"), "fields": {"event.action": "ssh_login_failed"}}
        events = [event(T0, Image=image, number=self.made) for image in images] + [failed]
        self.waiting.append((self.made, frame({"schema": 1, "created_at": T0, "events": events})))


class Protocol(RuleBasedStateMachine):
    workers = Bundle("workers")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        detect = Detect(batch_rows=3)
        self.pipeline = Pipeline(
            Path(self._folder.name), BAD_PROCESS, BURST, settings=Settings(detect=detect), workers=1
        )
        for name in ENDPOINTS[1:]:
            add_endpoint(self.pipeline.state, name, self.pipeline.agency_id)
        self.spools = {name: Spool() for name in ENDPOINTS}
        self.known: set[tuple[str, int]] = set()
        self.paused: list[Worker] = []
        self.names = 1
        self.bad: Counter[str] = Counter()

    @initialize()
    def begin(self) -> None:
        self.make("ep-1", ["/tmp/evil"])

    # -- agents and the log --------------------------------------------------------------------------------------

    @rule(endpoint=endpoints, images=st.lists(st.sampled_from(["/tmp/evil", "/bin/ls"]), max_size=3))
    def make(self, endpoint: str, images: list[str]) -> None:
        self.spools[endpoint].add(images)
        self.bad[endpoint] += images.count("/tmp/evil")

    @rule(endpoint=endpoints, answered=st.booleans(), times=st.integers(1, 3))
    def send(self, endpoint: str, answered: bool, times: int) -> None:
        """The log knows a repeated batch; it stays in the spool where the answer is lost."""
        spool = self.spools[endpoint]
        for _ in range(min(times, len(spool.waiting))):
            number, body = spool.waiting[0]
            if (endpoint, number) not in self.known:
                self.known.add((endpoint, number))
                self.pipeline.raw(body, endpoint_id=endpoint, seq=number)
            if not answered:
                return
            spool.waiting.pop(0)

    @rule(endpoint=endpoints)
    def forget_that_it_came(self, endpoint: str) -> None:
        """A log that remembers for a while only takes a repeated batch again; the worker knows it by its number."""
        spool = self.spools[endpoint]
        if spool.waiting and (endpoint, spool.waiting[0][0]) in self.known:
            number, body = spool.waiting[0]
            self.pipeline.raw(body, endpoint_id=endpoint, seq=number)

    @rule()
    def trim(self) -> None:
        with self.pipeline.state.read() as session:
            worked = {each: place.log_offset for each, place in load_places(session).items()}
        self.pipeline.log.trim(worked, float("inf"))

    # -- workers -------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 9))
    def step(self, which: int) -> None:
        self._one(which).step_rows()

    @rule(which=st.integers(0, 9), where=deaths)
    def die(self, which: int, where: str) -> None:
        """Killed in a step, and started again by its supervisor."""
        worker = self._one(which)
        self._kill(worker, where)
        place = self.pipeline.workers.index(worker)
        self.pipeline.workers[place] = self.pipeline.new_worker(worker._leases.owner)
        self.pipeline.workers[place].hold()

    @precondition(lambda self: len(self.pipeline.workers) > 1)
    @rule(which=st.integers(0, 9), where=deaths)
    def die_for_good(self, which: int, where: str) -> None:
        worker = self._one(which)
        self._kill(worker, where)
        self.pipeline.workers.remove(worker)

    @precondition(lambda self: len(self.pipeline.workers) + len(self.paused) < 4)
    @rule()
    def join(self) -> None:
        self.names += 1
        self.pipeline.workers.append(self.pipeline.new_worker(f"detect-{self.names}"))

    @precondition(lambda self: len(self.pipeline.workers) > 1)
    @rule(which=st.integers(0, 9))
    def pause(self, which: int) -> None:
        worker = self._one(which)
        self.pipeline.workers.remove(worker)
        self.paused.append(worker)

    @precondition(lambda self: self.paused)
    @rule(in_a_step=st.booleans())
    def wake(self, in_a_step: bool) -> None:
        """It goes on with what it believes to hold, before it looks at its leases."""
        worker = self.paused.pop(0)
        if in_a_step:
            worker.step_rows()
        worker.hold()
        self.pipeline.workers.append(worker)

    @rule(seconds=st.sampled_from((RENEW_SECONDS, DEAD_SECONDS / 2)))
    def pass_time(self, seconds: float) -> None:
        self.pipeline.monotonic.seconds += seconds
        for worker in self.pipeline.workers:
            worker.hold()
        self.pipeline.correlator.hold()

    # -- stores and correlate ------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 2), answer_lost=st.booleans())
    def fail_store(self, count: int, answer_lost: bool) -> None:
        if answer_lost:
            self.pipeline.store.fail_after_insert = count
        else:
            self.pipeline.store.fail = count

    @rule(snapshot=st.booleans())
    def correlate(self, snapshot: bool) -> None:
        if self.pipeline.correlator.hold():
            self.pipeline.correlator.step_rows()
            if snapshot:
                self.pipeline.correlator.memory.save(at_once=True)

    @rule(after=st.booleans(), snapshot_lost=st.booleans())
    def correlate_dies(self, after: bool, snapshot_lost: bool) -> None:
        correlator = self.pipeline.correlator
        commit = correlator._commit

        def crash(*given: Any) -> None:
            if after:
                commit(*given)
            raise KilledError

        correlator._commit = crash  # type: ignore[assignment,method-assign] # it dies
        try:
            if correlator.hold():
                correlator.step_rows()
        except KilledError:
            pass
        if snapshot_lost:
            self.pipeline.memory.unlink(missing_ok=True)
        self.pipeline.correlator = self.pipeline.new_correlator()
        self.pipeline.correlator.hold()

    # -- what must hold ------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            self._let_it_all_finish()
            self._check()
        finally:
            states.close_all()
            self._folder.cleanup()

    def _let_it_all_finish(self) -> None:
        while self.paused:
            self.wake(in_a_step=True)
        for name in ENDPOINTS:
            self.send(name, True, len(self.spools[name].waiting))
        for _ in range(20):
            self.pass_time(RENEW_SECONDS)
        self.pipeline.work()

    def _check(self) -> None:
        pipeline = self.pipeline
        stored = Counter(row.event_id for row in pipeline.store.events if row.product == "linux")
        assert set(stored.values()) <= {1}
        images = Counter(
            (fields["host"]["id"], fields["number"]) for fields in pipeline.store.of("process_creation")
        )
        batches = Counter(fields["host"]["id"] for fields in pipeline.store.of("auth"))
        with pipeline.state.read() as session:
            alerts = {(row.rule_id[-1], row.subject): row.count for row in session.scalars(select(Alert))}
            streams = {
                row.endpoint_id: (row.last_seq, row.missing) for row in session.scalars(select(Stream))
            }
            assert not session.scalars(select(Handover.id).where(Handover.taken == 0)).all()
        for name, spool in self.spools.items():
            assert batches[name] == spool.made
            assert sum(count for (host, _), count in images.items() if host == name) >= self.bad[name]
            assert alerts.get(("1", f"host-{name}"), 0) == self.bad[name]
            # The third failure in the window, and each after it.
            assert alerts.get(("4", f"host-{name}"), 0) == max(0, spool.made - 2)
            if spool.made:
                assert streams[name] == (spool.made, 0)

    def _one(self, which: int) -> Worker:
        return self.pipeline.workers[which % len(self.pipeline.workers)]

    def _kill(self, worker: Worker, where: str) -> None:
        store, stepper = self.pipeline.store, worker._stepper
        insert, commit = store.insert_events, stepper._commit

        def dying(call: Any, *given: Any) -> None:
            if where.startswith("after"):
                call(*given)
            raise KilledError

        if where.endswith("insert"):
            store.insert_events = lambda *given: dying(insert, *given)  # type: ignore[method-assign] # it dies
        else:
            stepper._commit = lambda *given: dying(commit, *given)  # type: ignore[method-assign] # the same
        try:
            worker.step_rows()
        except KilledError:
            pass
        finally:
            store.insert_events = insert  # type: ignore[method-assign] # others do not


Protocol.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestProtocol = Protocol.TestCase
