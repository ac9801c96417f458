"""The part's own process: one thread that listens, asks and tells."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any, Final

from agent.collectors.registry import Metric, Output, StatusDocument
from agent.probe.lan.link import Link, LinkError, default_interface, gateways, own_addresses
from agent.probe.lan.part import DEVICES, WATCH
from agent.probe.lan.scan import ANSWER_SECONDS, ScanError, Turns, networks_of, targets
from agent.probe.lan.watch import LanWatch

if TYPE_CHECKING:
    from agent.probe.contract import PartContext
    from agent.probe.lan.settings import LanSettings

#: After a change, the devices are told at once, and then not again within this.
TELL_SECONDS: Final = 5.0
#: They are told as a whole each time, which in a large LAN costs all who take it in: over time no more entries a second
#: than this are told, at once what that comes to in so many seconds.
ENTRIES_PER_SECOND: Final = 20
BURST_SECONDS: Final = 60.0
#: What could not be told, listed or heard is told this often.
_LIMITS_SECONDS: Final = 60.0
_METRICS_SECONDS: Final = 300.0
#: A device is forgotten when it was silent over so many scans, and for at least so long.
_FORGET_SCANS: Final = 3
_FORGET_SECONDS: Final = 900.0
#: How often an interface that is not there is looked for.
_RETRY_SECONDS: Final = 15.0
#: So many frames are taken before the clock is looked at again.
_BURST: Final = 256
#: Not even after a halt is more than 100 packets a second sent.
_SHORTEST_PAUSE: Final = 0.01


def run(context: PartContext[LanSettings]) -> None:
    """Returns when the part is told to stop."""
    while not context.stopping.is_set():
        try:
            interface = context.settings.scan.interface or default_interface(context.proc)
            link = Link(interface, context.sys)
        except LinkError as error:
            context.fails(DEVICES, str(error))
            context.fails(WATCH, str(error))
            context.stopping.wait(_RETRY_SECONDS)
            continue
        try:
            _Loop(context, link).run()
        except (LinkError, ScanError) as error:
            context.fails(DEVICES, str(error))
            context.fails(WATCH, str(error))
            context.stopping.wait(_RETRY_SECONDS)
        finally:
            link.close()


class _Loop:
    def __init__(self, context: PartContext[LanSettings], link: Link) -> None:
        self._context = context
        self._link = link
        self._settings = context.settings
        self._pause = 1 / self._settings.scan.packets_per_second
        self._memory: dict[str, Any] | None = None
        self._watch = LanWatch(
            self._settings.watch,
            context.memory(WATCH),
            interface=link.interface,
            mac=link.mac,
            send=link.send,
            gateways=gateways(link.interface, context.proc),
            now=context.now(),
        )
        now = time.monotonic()
        self._turns: Turns | None = None
        self._began = 0.0
        self._scanned = False
        self._addresses = 0
        self._next_scan, self._next_send, self._answers_until = now, now, 0.0
        self._next_dhcp = now + 2.0
        self._next_second, self._next_metrics = now, now + _METRICS_SECONDS
        self._pace = Pace(now)
        self._next_limits = now + _LIMITS_SECONDS
        self._told_switch: dict[str, Any] | None = None
        self._frames = self._dropped = 0

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._link.socket, select.POLLIN)
        stopping = self._context.stopping
        while not stopping.is_set():
            now = time.monotonic()
            self._do_due(now)
            wait = min(self._next_due(), now + 1.0) - time.monotonic()
            if poll.poll(max(0.0, wait) * 1000):
                self._receive()

    def _receive(self) -> None:
        now = self._context.now()
        for _ in range(_BURST):
            data = self._link.receive()
            if data is None:
                return
            self._watch.take(data, now)

    def _next_due(self) -> float:
        return self._next_send if self._turns is not None else min(self._next_second, self._next_scan)

    def _do_due(self, now: float) -> None:
        if self._turns is None and now >= self._next_scan:
            self._begin_scan(now)
        if self._turns is not None and now >= self._next_send:
            self._step_scan(now)
        if now >= self._next_second:
            self._next_second = now + 1.0
            self._watch.run(self._context.now())
            if self._settings.watch.dhcp_probe_seconds and now >= self._next_dhcp:
                self._next_dhcp = now + self._settings.watch.dhcp_probe_seconds
                self._watch.ask_dhcp(ipv6=self._settings.scan.ipv6)
            if now >= self._next_limits:
                self._next_limits = now + _LIMITS_SECONDS
                self._tell_limits()
        self._tell(now)

    # -- scanning --------------------------------------------------------------------------------------------

    def _begin_scan(self, now: float) -> None:
        own = own_addresses(self._link.interface)
        self._watch.addressed(own)
        plain = {each.partition("/")[0] for each in own}
        networks = networks_of(self._settings.scan, [each for each in own if ":" not in each])
        asked = targets(networks, self._settings.scan.exclude, plain)
        self._addresses = len(asked)
        self._turns, self._began, self._answers_until = Turns(asked), now, 0.0
        self._next_scan = now + self._settings.scan.interval_seconds
        if self._settings.scan.ipv6:
            self._watch.ask_all_ipv6()
            self._next_send = now + 2 * self._pause
        self._watch.look_after(gateways(self._link.interface, self._context.proc))

    def _step_scan(self, now: float) -> None:
        if self._turns is None:
            return
        if self._answers_until:
            if now >= self._answers_until:
                self._end_scan()
            return
        began = self._context.now() - (now - self._began)
        target = self._turns.next(lambda: self._expected(began))
        if target is None:
            self._answers_until = self._next_send = now + ANSWER_SECONDS
            return
        self._watch.ask(target)
        # Never much faster to catch up: the rate is a promise.
        self._next_send = max(self._next_send + self._pause, now + max(0.9 * self._pause, _SHORTEST_PAUSE))

    def _expected(self, began: float) -> list[str]:
        silent = self._watch.devices.addresses(silent_since=began)
        return [each for each in silent if self._settings.scan.ipv6 or ":" not in each]

    def _end_scan(self) -> None:
        self._turns, self._scanned = None, True
        after = max(_FORGET_SCANS * self._settings.scan.interval_seconds, _FORGET_SECONDS)
        self._watch.devices.forget(self._context.now() - after)

    # -- telling ---------------------------------------------------------------------------------------------

    def _tell(self, now: float) -> None:
        """The devices only after the first whole scan: what comes then is news, what was there before is not."""
        watch = self._watch
        if watch.events:
            events, watch.events = watch.events, []
            self._remember(events)
        if self._scanned and now >= self._pace.due and (watch.devices.changed or self._switch_changed()):
            watch.devices.changed = False
            entries = watch.devices.entries(self._link.interface)
            self._pace.told(len(entries), now)
            self._remember([])
            self._context.tell(DEVICES, Output(documents=self._documents(entries)))
        if now >= self._next_metrics:
            self._next_metrics = now + _METRICS_SECONDS
            self._context.tell(DEVICES, Output(metrics=self._metrics()), partial=True)

    def _remember(self, events: list[Any]) -> None:
        memory = self._watch.memory()
        if events or memory != self._memory:
            self._memory = memory
            self._context.tell(WATCH, Output(events=events), memory=memory)

    def _switch_changed(self) -> bool:
        return self._watch.switch != self._told_switch

    def _documents(self, entries: list[dict[str, Any]]) -> list[StatusDocument]:
        at, interface = self._context.now(), self._link.interface
        found = [StatusDocument("neighbours", at, {"entries": entries}, item=interface)]
        self._told_switch = self._watch.switch
        if self._told_switch is not None:
            found.append(StatusDocument("switch_port", at, self._told_switch, item=interface))
        return found

    def _tell_limits(self) -> None:
        frames, dropped = self._link.statistics()
        self._frames += frames
        self._dropped += dropped
        self._watch.tell_limits(frames=frames, dropped=dropped)

    def _metrics(self) -> list[Metric]:
        attributes = {"interface": self._link.interface}
        at = self._context.now()
        values = {
            "probe.lan_hosts_count": len(self._watch.devices),
            "probe.lan_asked_count": self._addresses,
            "probe.lan_frames_count": self._frames,
            "probe.lan_frames_dropped_count": self._dropped,
            "probe.lan_events_untold_count": self._watch.untold.total(),
            "probe.lan_hosts_untold_count": self._watch.devices.untold,
        }
        return [Metric(name, at, float(value), "count", attributes) for name, value in values.items()]


class Pace:
    """When the devices may be told again. Times are of one monotonic clock."""

    def __init__(self, now: float) -> None:
        self.due = now
        self._paid_until = now

    def told(self, entries: int, now: float) -> None:
        """So many were told now."""
        self._paid_until = max(self._paid_until, now) + entries / ENTRIES_PER_SECOND
        self.due = max(now + TELL_SECONDS, self._paid_until - BURST_SECONDS)
