"""The part's process: reads the rings, looks at fewer frames where there are too many, and tells what was counted."""

from __future__ import annotations

import select
import threading
import time
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Final

from agent import reasons
from agent.collectors.common.interfaces import read_addresses
from agent.collectors.common.routes import parse_ipv6_route, parse_route
from agent.collectors.registry import Output
from agent.messages import Event, Metric
from agent.probe.contract import PartEndsError
from agent.probe.wire.events import capture_event
from agent.probe.wire.filter import filter_program
from agent.probe.wire.ring import Ring, check_running
from agent.probe.wire.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from agent.probe.contract import PartContext
    from agent.probe.wire.settings import WireSettings

SOURCE: Final = "wire"
_POLL_MILLISECONDS: Final = 250
_METRICS_SECONDS: Final = 60.0
_REOPEN_SECONDS: Final = 5.0
_MOST_ONE_IN: Final = 256
#: So long it must have been calm before more frames are looked at again.
_CALM_SECONDS: Final = 10
_CALM_SHARE: Final = 0.3
#: Events that wait for the disk; more are counted as untold.
_WAITING: Final = 1000
_ETHERNET: Final = "1"


def run(context: PartContext[WireSettings]) -> None:
    """Until the part is to stop."""
    try:
        capture = Capture(context)
    except ValueError as error:  # an address that is none; the settings' pattern lets some pass
        context.fails(SOURCE, reasons.NOT_A_NETWORK(detail=str(error)[:100]))
        context.stopping.wait()
        return
    capture.run()


def interfaces_of(proc: Path, sys: Path) -> list[str]:
    """The default route's interface; without such a route, all Ethernet interfaces that are up."""
    for name, parse in (("route", parse_route), ("ipv6_route", parse_ipv6_route)):
        try:
            found = parse((proc / "net" / name).read_text("ascii", "replace"))
        except OSError:
            continue
        if found:
            return [found[0].interface]
    up = []
    for path in sorted((sys / "class/net").glob("*")):
        try:
            kind, state = (path / "type").read_text().strip(), (path / "operstate").read_text().strip()
        except OSError:
            continue
        if kind == _ETHERNET and state in ("up", "unknown"):
            up.append(path.name)
    return up


def own_cards(sys: Path) -> set[str]:
    """The MACs of all of this machine's interfaces."""
    found = set()
    for path in (sys / "class/net").glob("*/address"):
        with suppress(OSError):  # gone again
            found.add(path.read_text("ascii", "replace").strip().lower())
    return found


class Capture:
    """One process's rings and tables. The thread of :meth:`run` counts, another tells."""

    def __init__(self, context: PartContext[WireSettings]) -> None:
        self._context = context
        self._settings = context.settings.capture
        self._watch = Watch(context.settings)
        self._rings: dict[int, Ring] = {}
        self._poll = select.poll()
        self._one_in = 1
        self._calm = 0
        self._failure = ""
        self._totals: dict[str, list[int]] = {}
        self._queue: Queue[Event] = Queue(_WAITING)
        self._untold = 0
        self._untracked = 0
        self._metrics: list[Metric] = []

    def run(self) -> None:
        teller = threading.Thread(target=self._tell, name="wire-tell", daemon=True)
        teller.start()
        opened = judged = counted = float("-inf")
        spent = time.process_time()
        while not self._context.stopping.is_set():
            moment = time.monotonic()
            if moment - opened >= _REOPEN_SECONDS:
                opened = moment
                self._open()
            for descriptor, event in self._poll.poll(_POLL_MILLISECONDS):
                if event & select.POLLIN:
                    self._rings[descriptor].read(self._watch.take)
                if event & (select.POLLERR | select.POLLNVAL | select.POLLHUP):
                    self._close(descriptor)
            self._watch.tick(int(self._context.now()))
            for told in self._watch.collect():
                self._put(told)
            moment = time.monotonic()
            if moment - judged >= 1.0:
                now_spent = time.process_time()
                self._adapt((now_spent - spent) / max(moment - judged, 1.0))
                judged, spent = moment, now_spent
            if moment - counted >= _METRICS_SECONDS:
                if counted > 0:
                    self._count()
                counted = moment
        for ring in self._rings.values():
            ring.close()
        teller.join(2.0)

    # -- rings -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._watch.knows_own(
            (each for some in read_addresses().values() for each in some), own_cards(self._context.sys)
        )
        wanted = self._settings.interfaces or interfaces_of(self._context.proc, self._context.sys)
        there = {ring.interface for ring in self._rings.values()}
        failure = "" if wanted else reasons.NO_INTERFACE()
        for name in wanted:
            try:
                check_running(name)
                if name in there:
                    continue
                ring = Ring(
                    name,
                    self._program(),
                    ring_bytes=self._settings.ring_bytes,
                    promiscuous=self._settings.promiscuous,
                )
            except OSError as error:
                failure = reasons.INTERFACE_NOT_OPENED(
                    interface=name[:64], detail=error.strerror or str(error)
                )
                continue
            self._rings[ring.fileno()] = ring
            self._poll.register(ring.fileno(), select.POLLIN | select.POLLERR)
        if failure != self._failure:
            self._failure = failure
            if failure:
                self._context.fails(SOURCE, failure)
            else:
                self._context.tell(SOURCE, Output(), partial=True)

    def _close(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self._rings.pop(descriptor).close()

    def _program(self) -> bytes:
        return filter_program(one_in=self._one_in, bulk_one_in=self._settings.bulk_one_in)

    def _adapt(self, busy: float) -> None:
        """Look at fewer frames where some were dropped or it takes too much of a core, at more when it is calm."""
        dropped = 0
        for ring in self._rings.values():
            counted = ring.count()
            total = self._totals.setdefault(ring.interface, [0, 0])
            total[0] += counted.passed
            total[1] += counted.dropped
            dropped += counted.dropped
        one_in = self._one_in
        if dropped or busy > self._settings.busy_ratio:
            self._calm = 0
            one_in = min(_MOST_ONE_IN, one_in * 2)
        else:
            self._calm = self._calm + 1 if busy < self._settings.busy_ratio * _CALM_SHARE else 0
            if self._calm >= _CALM_SECONDS:
                self._calm = 0
                one_in = max(1, one_in // 2)
        if one_in != self._one_in:
            fewer = one_in > self._one_in
            self._one_in = self._watch.weight = one_in
            for ring in self._rings.values():
                ring.set_filter(self._program())
            if fewer:
                self._limits()

    # -- telling ---------------------------------------------------------------------------------------------

    def _limits(self) -> None:
        """Tell that not everything is seen."""
        untracked = self._watch.untracked - self._untracked
        for interface, (passed, dropped) in self._totals.items():
            self._put(
                capture_event(
                    self._context.now(), interface, passed=passed, dropped=dropped, one_in=self._one_in,
                    untracked=untracked, untold=self._untold,
                )
            )  # fmt: skip

    def _count(self) -> None:
        now, metrics = self._context.now(), []
        lost = self._untold or self._watch.untracked > self._untracked
        if lost or self._one_in > 1 or any(dropped for _, dropped in self._totals.values()):
            self._limits()
        self._untracked = self._watch.untracked
        for interface, total in self._totals.items():
            on = {"interface": interface}
            metrics += [
                Metric(name="wire.frames_count", time=now, value=total[0], unit="count", attributes=on),
                Metric(name="wire.dropped_count", time=now, value=total[1], unit="count", attributes=on),
            ]
            total[:] = [0, 0]
        metrics += [
            Metric(name="wire.seen_ratio", time=now, value=1 / self._one_in, unit="ratio"),
            Metric(name="wire.sources_count", time=now, value=self._watch.sources, unit="count"),
        ]
        if self._untold:
            metrics.append(Metric(name="wire.untold_count", time=now, value=self._untold, unit="count"))
            self._untold = 0
        self._metrics = metrics

    def _put(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except Full:
            self._untold += 1

    def _tell(self) -> None:
        """Events as they come, metrics when they are due; what waits while the disk is slow goes together."""
        while not self._context.stopping.is_set():
            events = []
            try:
                events.append(self._queue.get(timeout=0.5))
                while len(events) < _WAITING:
                    events.append(self._queue.get_nowait())
            except Empty:
                pass
            metrics, self._metrics = self._metrics, []
            if events or metrics:
                try:
                    self._context.tell(SOURCE, Output(events=events, metrics=metrics), partial=True)
                except PartEndsError:
                    return
