"""The running agent: collectors in their lanes, the outbox, the spool, the sender, and who watches over them.

Threads: the main one flushes the outbox when it is due, leaves overdue runs behind, and writes the status;
each lane one; the sender one. SIGTERM and SIGINT end it cleanly: what was found is in the spool when it
exits.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import agent
from agent import reasons
from agent.collectors.registry import CollectorError
from agent.messages import CollectorHealth
from agent.runtime.contexts import make_context
from agent.runtime.errors import (
    SpoolError,
    TransportError,
    UnusableSettingsError,
)
from agent.runtime.evidence import host_facts
from agent.runtime.identity import load_identity, own_context
from agent.runtime.keeping import ANOTHER_ENDPOINT, Keeper, KeyPlace
from agent.runtime.lanes import Lane, Outcome, execute
from agent.runtime.managed.manager import Managed
from agent.runtime.outbox import Outbox
from agent.runtime.proxy import proxy_of
from agent.runtime.routes import Routes
from agent.runtime.sender import Sender
from agent.runtime.spool import Spool
from agent.runtime.status import CollectorState, Status, write_status
from agent.runtime.steering import AGENT, NEVER, Follower, Steering
from agent.runtime.surroundings import first_wait, uptime_seconds
from agent.runtime.transport import Address, Connection
from agent.runtime.upkeep import Upkeep
from agent.runtime.wake import Wake
from agent.update.following import Updates
from agent.update.place import own_installation

if TYPE_CHECKING:
    from agent.collectors.registry import Collector
    from agent.probe.host import ProbeHost
    from agent.runtime.log import Log
    from agent.runtime.proxy import Proxy
    from agent.settings import Settings, StateDirectory

_WATCH_SECONDS: Final = 5.0
_STATUS_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0
_STEERING_RETRY_SECONDS: Final = 60.0


class Runner:
    """Assembles the agent. Needs the lock (:func:`agent.runtime.locking.hold_state`) and an identity. ``stated``: which
    of ``settings`` the machine's own file says (:func:`agent.settings.stated`), so that the collector's do not hold.
    ``restarted``: why the process before this one started itself anew, where it did."""

    def __init__(
        self,
        settings: Settings,
        state: StateDirectory,
        collectors: list[Collector],
        log: Log,
        *,
        stated: frozenset[str] = frozenset(),
        restarted: str = "",
    ) -> None:
        self._state = state
        self._log = log
        # First: where the key cannot be had now, it can be tried again.
        self.identity = load_identity(state)
        self._context, self._rerouted = own_context(state), True
        self._managed = Managed(state, self.identity.endpoint_id, settings, stated, collectors, log)
        settings = self._settings = self._managed.settings
        urls = (settings.collector.url or self.identity.collector_url, *settings.collector.standby)
        self._addresses = list(dict.fromkeys(map(Address.of, urls)))
        self._proxy = _usable_proxy(settings)
        self.status = Status(
            version=agent.__version__,
            pid=os.getpid(),
            started_at=time.time(),
            endpoint_id=self.identity.endpoint_id,
            collector_url=self._addresses[0].url,
            certificate_not_after=self.identity.not_after,
        )
        self.status.link.since = time.time()
        self.spool = Spool(
            state.spool,
            state.cursors,
            settings.agent.spool_bytes,
            limit_seconds=settings.agent.spool_hours * 3600,
            endpoint_id=self.identity.endpoint_id,
            notice=lambda event, detail: log.say(event, detail=detail),
        )
        self.outbox = Outbox(
            self.spool,
            time=time.time,
            monotonic=time.monotonic,
            metrics_seconds=settings.agent.metrics_seconds,
            judged=self._judged,
        )
        self._routes = self._ways()
        self.sender = Sender(
            self.spool,
            self._routes,
            self.status.link,
            log,
            time=time.time,
            monotonic=time.monotonic,
            random=random.random,
            heartbeat_seconds=settings.agent.heartbeat_seconds,
            first_wait_seconds=first_wait(
                uptime_seconds(Path(settings.host.proc)),
                time.time() - self.identity.enrolled_at,
                settings.agent.start_spread_seconds,
                random.random,
            ),
        )
        self._known = collectors
        self._lanes = {
            fast: Lane(
                "fast" if fast else "slow",
                [],
                run=self.execute,
                deliver=self.deliver,
                monotonic=time.monotonic,
                random=random.random,
            )
            for fast in (True, False)
        }
        self._upkeep = Upkeep(
            settings, self.spool, self.outbox, self._lanes, monotonic=time.monotonic, restarted=restarted
        )
        self._probe = self._probe_host()
        self._place = own_installation()
        self.use(settings)
        self._steering = Steering(self._followers())
        self._wake = Wake()
        self._send_now = threading.Condition()
        self._unsent = False
        self._keeper = Keeper(
            state,
            self.identity,
            host_facts(Path(settings.host.root)),
            log,
            root=str(settings.host.root),
            tpm=settings.agent.tpm,
            unproven=lambda: self._place is not None and self._place.is_unproven(time.time()),
            time=time.time,
            random=random.random,
        )
        self._sleeping_until = 0.0

    def _probe_host(self) -> ProbeHost | None:
        if not self._settings.probe.parts:
            return None
        # Only a probe carries what this brings along.
        from agent.probe.host import ProbeHost
        from agent.probe.parts import chosen_parts

        host, way = self._settings.host, self._addresses[0]
        return ProbeHost(
            chosen_parts(self._settings),
            self._state.probe,
            self.outbox,
            self._log,
            flush=self.flush,
            note=self._note_part,
            where={
                "proc": host.proc,
                "sys": host.sys,
                "collector_host": way.host,
                "collector_port": way.port,
            },
        )

    def _ways(self) -> Routes:
        ways = {
            address.url: Connection(
                address,
                self._context,
                proxy=self._proxy,
                connect_timeout_seconds=self._settings.collector.connect_timeout_seconds,
                answer_timeout_seconds=self._settings.collector.answer_timeout_seconds,
            )
            for address in self._addresses
        }
        return Routes(ways, monotonic=time.monotonic, random=random.random)

    def use(self, settings: Settings) -> None:
        """Go on with these. Of ``[agent]`` and ``[collectors]`` only what :class:`agent.steered.Steered` has may differ
        from the ones before."""
        self._settings = settings
        self.sender.heartbeat_seconds = settings.agent.heartbeat_seconds
        self._upkeep.suit(settings)
        self.spool.limit_bytes = settings.agent.spool_bytes
        self.spool.limit_seconds = settings.agent.spool_hours * 3600
        self.collectors = [c for c in self._known if c.name not in settings.collectors.disabled]
        for fast, lane in self._lanes.items():
            lane.plan(
                [
                    (c, settings.collectors.intervals.get(c.name, c.interval_seconds))
                    for c in self.collectors
                    if c.fast is fast
                ]
            )
        self._retire()

    def _retire(self) -> None:
        names = {c.name for c in self.collectors}
        if self._probe is not None:
            names |= self._probe.sources
        self.outbox.retire({AGENT} | names)
        for gone in self.status.collectors.keys() - names:
            del self.status.collectors[gone]

    def _followers(self) -> list[Follower]:
        update = self._settings.update
        return [
            KeyPlace(self._state, lambda: self.identity),
            self._managed,
            Updates(
                self._state.root,
                self._place,
                Path(update.key),
                self._log,
                bytes_per_second=update.bytes_per_second,
            ),
        ]

    # -- collecting ------------------------------------------------------------------------------------------

    def execute(self, collector: Collector) -> Outcome:
        memory = self.outbox.memory(collector.name)
        link = self.status.link
        context = make_context(
            self._settings,
            memory,
            self._proxy or self._addresses[0],
            link.last_contact if link.code == "ok" else 0.0,
        )
        return execute(collector, context, memory, time.monotonic)

    def deliver(self, outcome: Outcome) -> None:
        """Take what a run found, in the lane's own thread: an event is on disk before the next poll."""
        try:
            self._take(outcome)
        except Exception as error:
            # The last resort: a lane that ended would leave all of its collectors silent, and the agent well.
            self._log.lost("deliver", f"{type(error).__name__}: {error}")
        else:
            self._log.found("deliver")

    def _take(self, outcome: Outcome) -> None:
        name, failure = outcome.collector.name, outcome.failure
        if outcome.output is not None:
            try:
                self.outbox.take(name, outcome.output, outcome.memory)
            except (CollectorError, SpoolError) as error:
                failure = str(error)[:255]
        state = self._note(name, outcome.duration_seconds, failure, outcome.nothing)
        state.cpu_seconds = round(state.cpu_seconds + outcome.cpu_seconds, 4)
        if outcome.collector not in self.collectors:  # not wanted any more since it began
            self._retire()
        if self.outbox.due() <= time.monotonic():
            self.flush()
        elif self.outbox.due() < self._sleeping_until:
            self._wake.wake()

    def _note(self, name: str, duration: float, failure: str, nothing: str = "") -> CollectorState:
        state = self.status.collectors.setdefault(name, CollectorState())
        state.last_run, state.duration_seconds = time.time(), round(duration, 4)
        state.runs += 1
        state.failures += bool(failure)
        self._judged(
            self.outbox.report(
                CollectorHealth(
                    name=name,
                    ok=not failure,
                    duration_seconds=state.duration_seconds,
                    reason=failure or nothing,
                )
            )
        )
        return state

    def _judged(self, health: CollectorHealth) -> None:
        state = self.status.collectors.setdefault(health.name, CollectorState())
        state.ok, state.reason = health.ok, health.reason
        if health.ok:
            self._log.found(f"collector:{health.name}")
        else:
            self._log.lost(f"collector:{health.name}", health.reason)

    def _note_part(self, source: str, *, failure: str, nothing: str, seconds: float) -> None:
        state = self._note(source, 0.0, failure, nothing)
        state.cpu_seconds = round(state.cpu_seconds + seconds, 4)

    def flush(self) -> bool:
        """Spool what waits; return whether the disk took it."""
        try:
            flushed = self.outbox.flush()
        except SpoolError as error:
            self.status.spool_error = str(error)
            self._log.lost("spool", str(error))
            return False
        self.status.spool_error = ""
        self._log.found("spool")
        if flushed:
            with self._send_now:
                self._unsent = True
                self._send_now.notify_all()
        return True

    # -- sending ---------------------------------------------------------------------------------------------

    def _send_loop(self) -> None:
        while not self._wake.stopping:
            link = self.status.link.code
            try:
                wait = self._keep()
                if self._keeper.speaks:
                    wait = min(wait, self.sender.step())
                    self.outbox.offline = self.sender.offline
                    self.status.collector_url = self._routes.url
                    wait = min(wait, self._follow())
            except Exception as error:
                # The last resort: the link must outlive whatever one batch or one answer may do to it.
                self._log.lost("sender", f"{type(error).__name__}: {error}")
                wait = 60.0
            else:
                self._log.found("sender")
            if self.status.link.code != link:
                self._wake.wake()
            with self._send_now:
                if wait > 0 and not self._unsent and not self._wake.stopping:
                    self._send_now.wait(wait)
                self._unsent = False

    def _follow(self) -> float:
        """Do a piece of what the collector wants, and tell how it stands. Return in how many seconds to call again."""
        now = time.monotonic()
        due = NEVER
        if not self.sender.offline:
            try:
                due = self._steering.step(
                    self.sender.wanted, self._routes, now, sparing=self._upkeep.around.metered
                )
            except TransportError as error:
                self._log.lost("steering", error.detail)
                due = now + _STEERING_RETRY_SECONDS
            else:
                self._log.found("steering")
        due = min(due - now, self._managed.watch())
        self.tell_of_itself()
        return due

    def tell_of_itself(self) -> None:
        """Put the agent's own document into the outbox, where it is news."""
        news = self._steering.news(time.time())
        if news is None:
            return
        self.outbox.take(AGENT, news, {})
        if self.outbox.due() < self._sleeping_until:
            self._wake.wake()

    def _keep(self) -> float:
        """Renew or change the key where that is due. Return in how many seconds to call again."""
        renewed, wait = self._keeper.step(self._routes.url, self._proxy, self.sender.wanted)
        self.status.renewal_error = self._keeper.failure
        if not renewed and self._rerouted:
            return wait
        self.identity = self._keeper.identity
        self.status.certificate_not_after = self.identity.not_after
        if self._keeper.endpoint_changed:
            self._wake.wake()  # nothing is to be said any more under the old name
            return NEVER
        self._rerouted = False
        self._context = own_context(
            self._state
        )  # where the TPM does not give the key now, with the next step
        self._rerouted = True
        self._routes = self._ways()
        self.sender.use(self._routes)
        return 0.0

    # -- the whole -------------------------------------------------------------------------------------------

    def run(self) -> str:
        """Return after SIGTERM or SIGINT, or with the reason why the agent should start anew."""
        self._wake.on_signals(signal.SIGTERM, signal.SIGINT)
        self._log.say(
            "started",
            version=agent.__version__,
            endpoint_id=self.identity.endpoint_id,
            collector=self._addresses[0].url,
            collectors=[c.name for c in self.collectors],
        )
        self._managed.begin(self.sender, self.use)
        for lane in self._lanes.values():
            lane.start()
        if self._probe is not None:
            self._probe.start()
        sending = threading.Thread(target=self._send_loop, name="sender", daemon=True)
        sending.start()
        status_due, told = 0.0, ""
        excess = ""
        while not self._wake.stopping and not excess:
            now = time.monotonic()
            if self.outbox.due() <= now:
                self.flush()
            self._watch()
            excess = ANOTHER_ENDPOINT if self._keeper.endpoint_changed else self._upkeep.step()
            if now >= status_due or self._news() != told:
                told = self._news()
                status_due = now + _STATUS_SECONDS
                self.write_status()
            self._sleeping_until = min(now + _WATCH_SECONDS, self.outbox.due())
            self._wake.sleep(self._sleeping_until - time.monotonic())
        if excess:
            self._log.say("restarting", reason=excess)
        self._wake.stop()
        self._stop(sending)
        if excess in ("", ANOTHER_ENDPOINT):  # what the watchdog ends counts against settings on trial
            self._managed.stopped()
        return excess

    def stop(self) -> None:
        """End :meth:`run`, as SIGTERM does; from any thread, also before it begins."""
        self._wake.stop()

    def _news(self) -> str:
        """Changes when ``status`` has something new to say; counts and times may wait for their minute."""
        # Lanes and parts put theirs in meanwhile.
        failing = sorted(name for name, one in tuple(self.status.collectors.items()) if not one.ok)
        waiting = self.spool.backlog().files > 0
        settings = self._managed.standing()
        errors = f"{self.status.spool_error} {self.status.renewal_error}"
        return f"{self.status.link.code} {waiting} {errors} {failing} {settings}"

    def _watch(self) -> None:
        for lane in self._lanes.values():
            overdue = lane.overdue()
            if overdue is not None:
                late = reasons.OVERRAN(seconds=f"{overdue.timeout_seconds:g}")
                self._note(overdue.name, overdue.timeout_seconds, late)
        if self._probe is not None:
            self._probe.watch()
        if self.spool.documents_lost and not self.sender.offline:
            self.spool.documents_lost = False
            for lane in self._lanes.values():
                lane.hurry()

    def _stop(self, sending: threading.Thread) -> None:
        if self._probe is not None:
            self._probe.stop()
        for lane in self._lanes.values():
            lane.stop(_STOP_SECONDS)
        self.flush()
        with self._send_now:
            self._send_now.notify_all()
        self._keeper.end()
        sending.join(_STOP_SECONDS)
        try:
            self.outbox.checkpoint()
        except SpoolError as error:
            self._log.say("stopped_unsaved", reason=str(error))
        self.status.link.code = "stopped"
        self.write_status()
        self._log.say("stopped", backlog=self.status.backlog_batches)

    def write_status(self) -> None:
        backlog = self.spool.backlog()
        self.status.backlog_batches, self.status.backlog_bytes = backlog.files, backlog.bytes
        self.status.dropped = dict(self.spool.saved.dropped)
        self.status.refused = self.spool.saved.refused
        self.status.settings = self._managed.standing()
        self.status.written_at = time.time()
        try:
            write_status(self._state.status, self.status)
        except OSError as error:
            self._log.lost("status", f"{self._state.status}: {error.strerror}")
        else:
            self._log.found("status")


def _usable_proxy(settings: Settings) -> Proxy | None:
    try:
        return proxy_of(settings.collector)
    except ValueError as error:
        raise UnusableSettingsError(str(error)) from error
