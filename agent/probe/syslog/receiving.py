"""The process of the part ``syslog``: one thread reads sockets, one makes events, one tells the agent, so that the next
batch is made while the agent writes the last.

Each batch is told with its number in the part's memory, which the agent keeps with it. So what was told and not
answered when the part ended is known not to be told again, and what was not told waits in a file for the next start:
a restart loses nothing and doubles nothing.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections import deque
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.collectors.common.auth import auth_fields
from agent.collectors.registry import Output
from agent.messages import Event, LogSource, Metric, StatusDocument
from agent.probe.contract import PartEndsError
from agent.probe.syslog.inbox import Batch, Inbox, Leftover
from agent.probe.syslog.listening import Listener
from agent.probe.syslog.message import read_message, text_of
from agent.probe.syslog.senders import Senders
from agent.probe.syslog.stamps import Clock

if TYPE_CHECKING:
    from agent.probe.contract import PartContext
    from agent.probe.syslog.inbox import Receipt
    from agent.probe.syslog.senders import Tally
    from agent.probe.syslog.settings import SyslogSettings

SOURCE: Final = "syslog"
#: What devices say is of no product yet: the collector's pipelines tell.
MESSAGE: Final = LogSource(category="syslog")
#: What a Linux machine says of sign-ins is told as an agent there would tell it.
AUTH: Final = LogSource(product="linux", service="auth")
_AUTH_FACILITIES: Final = frozenset({4, 10})
#: What the part listens at: there for as long as it is switched on.
INPUT: Final = "syslog_input"
REPORT: Final = LogSource(product="probe", category="syslog_source")
_PID_DIGITS: Final = 10
_NUMBER: Final = "batch"
_TURN_SECONDS: Final = 0.5
_MADE_AHEAD: Final = 1
_RETRY_SECONDS: Final = 10.0
_REPORTED_AT_ONCE: Final = 1_000

log = logging.getLogger("vonggac.probe.syslog")


def run(context: PartContext[SyslogSettings]) -> None:
    """Returns when told to stop; what was received is told or kept in the part's folder by then."""
    gc.set_threshold(50_000, 20, 100)  # a batch is thousands of objects that live for a moment
    settings = context.settings
    inbox, senders = Inbox(), Senders(settings.senders)
    teller = Teller(context, inbox, senders)
    try:
        teller.begin()
        listener = _opened(context, inbox, senders)
    except PartEndsError:
        return
    if listener is None:
        return
    teller.listener = listener
    threads = [
        threading.Thread(target=each, name=each.__name__) for each in (teller.make_events, teller.tell_events)
    ]
    for thread in threads:
        thread.start()
    try:
        while not context.stopping.is_set() and not teller.ended.is_set():
            listener.turn(_TURN_SECONDS)
    finally:
        try:
            listener.close()
        finally:
            teller.ended.set()
            for thread in threads:
                thread.join()
            teller.keep_rest()


def _opened(context: PartContext[SyslogSettings], inbox: Inbox, senders: Senders) -> Listener | None:
    """Try until all ports are had; ``None`` when told to stop first."""
    while not context.stopping.is_set():
        listener = Listener(context.settings, inbox, senders, context.now)
        try:
            ports = listener.open()
        except OSError as error:
            context.fails(SOURCE, reasons.SYSLOG_NOT_OPENED(detail=error.strerror or str(error)))
            context.stopping.wait(_RETRY_SECONDS)
        else:
            body = {f"{transport}_port": port for transport, port in ports.items()}
            listens = StatusDocument(kind=INPUT, item="", observed_at=context.now(), body=body)
            context.tell(SOURCE, Output(documents=[listens]))
            return listener
    return None


class Teller:
    """Makes events of what was received and tells them, and now and then who sent how much."""

    def __init__(self, context: PartContext[SyslogSettings], inbox: Inbox, senders: Senders) -> None:
        zone = context.settings.messages.zone
        self._context = context
        self._inbox = inbox
        self._senders = senders
        self._clock = Clock(_zone(zone) if zone else None)
        self._leftover = Leftover(context.folder)
        self._number = int(context.memory(SOURCE).get(_NUMBER, 0))
        #: Taken from the inbox and not told yet, in order; the events of the next ones are made.
        self._untold: deque[Batch] = deque()
        self._made: Queue[tuple[Batch, list[Event]]] = Queue(_MADE_AHEAD)
        self._told_lost = self._told_away = 0
        self._reported_at = context.now()
        self.listener: Listener | None = None
        #: Nothing more is told from here on.
        self.ended = threading.Event()

    def begin(self) -> None:
        """Tell what was left by the last run. Raises :class:`PartEndsError`, with the file left as it is."""
        try:
            left = self._leftover.read()
        except ValueError as error:
            log.error("%s", error)  # noqa: TRY400 - the file, not this program, is at fault
            left = []
        for batch in left:
            if batch.number > self._number:
                self._tell(batch, self._events_of(batch))
        self._leftover.remove()

    def make_events(self) -> None:
        """Make events of what the inbox holds, until :attr:`ended`."""
        try:
            number = self._number
            while not self.ended.is_set():
                receipts = self._inbox.take(_TURN_SECONDS)
                if not receipts:
                    continue
                number += 1
                batch = Batch(number, receipts)
                self._untold.append(batch)
                made = batch, self._events_of(batch)
                while not self.ended.is_set():
                    with suppress(Full):
                        self._made.put(made, timeout=_TURN_SECONDS)
                        break
        finally:
            self.ended.set()

    def tell_events(self) -> None:
        """Tell what was made, and who sent how much, until :attr:`ended`, or the agent is gone, which sets it."""
        try:
            while not self.ended.is_set():
                try:
                    batch, events = self._made.get(timeout=_TURN_SECONDS)
                except Empty:
                    pass
                else:
                    self._tell(batch, events)
                    self._untold.popleft()
                if self._context.now() - self._reported_at >= self._context.settings.messages.report_seconds:
                    self._report()
        except PartEndsError:
            pass
        finally:
            self.ended.set()

    def keep_rest(self) -> None:
        """Write down what was not told, after everybody else has ended."""
        batches = list(self._untold)
        number = batches[-1].number if batches else self._number
        for at, receipts in enumerate(self._inbox.rest(), number + 1):
            batches.append(Batch(at, receipts))
        self._leftover.write(batches)

    def _tell(self, batch: Batch, events: list[Event]) -> None:
        self._tell_events(events, {_NUMBER: batch.number})
        self._number = batch.number

    def _tell_events(self, events: list[Event], memory: dict[str, Any]) -> None:
        """In halves where it is more than can be told at once; a single event that cannot be told is dropped, for what
        is kept would stop each start. ``memory`` goes with the last."""
        try:
            self._context.tell(SOURCE, Output(events=events), partial=True, memory=memory)
        except ValueError as error:
            if not events:
                raise
            if len(events) == 1:
                log.error("a message cannot be told: %s", error)  # noqa: TRY400 - the message is at fault
                self._tell_events([], memory)
                return
            half = len(events) // 2
            self._tell_events(events[:half], {_NUMBER: self._number})
            self._tell_events(events[half:], memory)

    def _events_of(self, batch: Batch) -> list[Event]:
        return [event for receipt in batch.receipts for event in self._events(receipt)]

    def _events(self, receipt: Receipt) -> list[Event]:
        common: dict[str, Any] = {"observer.ip": receipt.address, "log.syslog.transport": receipt.transport}
        if receipt.name:
            common["tls.client.x509.subject.common_name"] = receipt.name
        received_at, clock = receipt.received_at, self._clock
        events = []
        fields: dict[str, Any] = {}
        for message in receipt.messages:
            seconds, fields = read_message(text_of(message), received_at, clock)
            fields.update(common)
            if fields.get("log.syslog.facility.code") in _AUTH_FACILITIES and (signs := _sign_ins(fields)):
                events += [Event(time=seconds, logsource=AUTH, fields=each) for each in signs]
            else:
                events.append(Event(time=seconds, logsource=MESSAGE, fields=fields))
        tally = self._senders.tally(receipt.address)
        tally.hostname = fields.get("log.syslog.hostname", tally.hostname)
        tally.appname = fields.get("log.syslog.appname", tally.appname)
        return events

    def _report(self) -> None:
        now = self._context.now()
        window, self._reported_at = now - self._reported_at, now
        tallies, strangers = self._senders.take()
        listener = self.listener
        lost, away = (0, 0) if listener is None else (listener.lost, listener.connections.turned_away)
        events = [_report_of(address, tally, window, now) for address, tally in tallies.items()]
        missed = {
            "lost_count": lost - self._told_lost,
            "strangers_count": strangers,
            "turned_away_count": away - self._told_away,
        }
        if any(missed.values()):
            events.append(_missed(missed, window, now))
        metrics = [
            _metric("syslog.received_count", now, sum(each.messages for each in tallies.values())),
            _metric("syslog.lost_count", now, missed["lost_count"]),
            _metric("syslog.refused_count", now, sum(each.refused for each in tallies.values())),
        ]
        for at in range(0, max(1, len(events)), _REPORTED_AT_ONCE):
            output = Output(events=events[at : at + _REPORTED_AT_ONCE], metrics=metrics if not at else [])
            self._context.tell(SOURCE, output, partial=True, memory={_NUMBER: self._number})
        self._told_lost, self._told_away = lost, away


def _sign_ins(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """What a message of a Linux machine's authentication log says; empty where it is none that is known."""
    process = fields.get("log.syslog.procid", "")
    number = int(process) if process.isdecimal() and len(process) < _PID_DIGITS else 0
    head = {name: value for name, value in fields.items() if name != "message"}
    found = auth_fields(fields.get("log.syslog.appname", ""), number, fields["message"])
    return [{**head, **each} for each in found]


def _report_of(address: str, tally: Tally, window: float, now: float) -> Event:
    """Of one sender: what came since the last report."""
    source: dict[str, Any] = {
        "messages": tally.messages,
        "bytes": tally.bytes,
        "seconds": round(window, 3),
        "refused": tally.refused,
        "broken": tally.broken,
        "cut": tally.cut,
        "transport": tally.transport,
    }
    if tally.last_at:
        source["last_at"] = round(tally.last_at, 3)
    fields: dict[str, Any] = {"probe.part": SOURCE, "syslog_source": source}
    if address:
        fields["observer.ip"] = address
    if tally.hostname:
        fields["log.syslog.hostname"] = tally.hostname
    if tally.appname:
        fields["log.syslog.appname"] = tally.appname
    if tally.certificate:
        fields["tls.client.x509.subject.common_name"] = tally.certificate
    return Event(time=now, logsource=REPORT, fields=fields)


def _missed(missed: dict[str, int], window: float, now: float) -> Event:
    """What did not come in, of nobody in particular."""
    body = {**missed, "seconds": round(window, 3)}
    return Event(time=now, logsource=REPORT, fields={"probe.part": SOURCE, "syslog_source": body})


def _metric(name: str, now: float, value: float) -> Metric:
    return Metric(name=name, time=now, value=float(value), unit="count")


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)
