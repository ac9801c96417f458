"""Following Windows' event log so that each event comes once, over restarts of the agent and of Windows.

What is kept is the number of the last record of each channel that was handed on. A channel's numbers grow by one; where
the next is no longer there, the log ran over (or was cleared) while nobody looked, and that is said.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Protocol
from xml.sax.saxutils import quoteattr

from msgspec import Struct

from agent.messages import Event
from agent.windows.event_channels import CHANNELS, Channel, query
from agent.windows.event_xml import WINDOWS, EventXmlError, parse_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping

#: The most events of one run, and of one channel in it; the rest waits in Windows' log.
RUN_EVENTS: Final = 2_000
CHANNEL_EVENTS: Final = 1_000
#: A channel that is not there (Sysmon is not installed) is looked for again after this time.
AGAIN_SECONDS: Final = 300.0


class ChannelError(OSError):
    """The channel is not there, is not read by us, or its subscription ended; ``str()`` says what Windows said."""


class Extent(Struct, frozen=True):
    """What a channel holds: the number of its oldest record, and how many there are."""

    oldest: int
    count: int

    @property
    def newest(self) -> int:
        """The number of the newest record; one before the oldest to come where there is none."""
        return self.oldest + self.count - 1 if self.count else max(self.oldest - 1, 0)


class Subscription(Protocol):
    """Events of a channel from a place on, in their order."""

    def next(self, limit: int) -> list[str]:
        """At most ``limit`` renderings that are there now; none where there is nothing new.

        Raises:
            ChannelError: it ended; open another.
        """

    def close(self) -> None: ...


class EventLog(Protocol):
    """One machine's event log."""

    def extent(self, channel: str) -> Extent:
        """Raise :class:`ChannelError` where there is no such channel, or it may not be read."""

    def subscribe(self, channel: str, wanted: str, after: int) -> Subscription:
        """Events of the query ``wanted`` whose numbers are greater than ``after``; raises :class:`ChannelError`."""


def bookmark(channel: str, record: int) -> str:
    """A bookmark behind ``record``, in the form that ``EvtRender`` gives bookmarks."""
    return f"<BookmarkList><Bookmark Channel={quoteattr(channel)} RecordId='{record}' IsCurrent='true'/></BookmarkList>"


def place(known: int | None, extent: Extent) -> tuple[int, int]:
    """``(record after which to begin, records that are gone)``.

    A channel that was never read begins with what comes. One whose newest record is older than the last that was read
    has begun to count anew: everything in it is new.
    """
    if known is None:
        return extent.newest, 0
    if known > extent.newest:
        return max(extent.oldest - 1, 0), 0
    if extent.count and known + 1 < extent.oldest:
        return extent.oldest - 1, extent.oldest - 1 - known
    return known, 0


class Follower:
    """Keeps the subscriptions open between runs. What was read is in ``state``; where that is not what this process
    read last (its output was not kept), subscriptions are opened anew behind what was."""

    def __init__(self, log: EventLog, channels: Iterable[Channel] = CHANNELS) -> None:
        self._log = log
        self._channels = tuple(channels)
        self._open: dict[str, Subscription] = {}
        self._records: dict[str, int] = {}
        self._again: dict[str, float] = {}
        #: Why channels are not read, by name.
        self.troubles: dict[str, str] = {}

    def read(self, state: MutableMapping[str, Any], now: float) -> list[Event]:
        """What is new, channel by channel; ``state`` is brought up to it."""
        kept = {str(name): int(record) for name, record in (state.get("records") or {}).items()}
        events: list[Event] = []
        records = dict(kept)
        for channel in self._channels:
            if len(events) >= RUN_EVENTS:
                break
            name = channel.name
            if name in self._open and kept.get(name) != self._records.get(name):
                self._close(name)
            begun = name in self._open
            try:
                if not begun:
                    if now < self._again.get(name, 0.0):
                        continue
                    events += self._begin(channel, records, now)
                room = min(CHANNEL_EVENTS, RUN_EVENTS - len(events))
                events += self._take(name, records, room)
            except ChannelError as error:
                self._close(name)
                self.troubles[name] = str(error)
                if not begun:  # one that worked is opened anew with the next run
                    self._again[name] = now + AGAIN_SECONDS
        self._records = {name: records[name] for name in self._open if name in records}
        if records != kept:
            state["records"] = records
        return events

    def close(self) -> None:
        """End every subscription."""
        for name in list(self._open):
            self._close(name)

    @property
    def reads_nothing(self) -> bool:
        return not self._open

    def _begin(self, channel: Channel, records: dict[str, int], now: float) -> list[Event]:
        extent = self._log.extent(channel.name)
        after, gone = place(records.get(channel.name), extent)
        self._open[channel.name] = self._log.subscribe(channel.name, query(channel), after)
        records[channel.name] = after
        self.troubles.pop(channel.name, None)
        self._again.pop(channel.name, None)
        return [lost_events(channel.name, gone, now)] if gone else []

    def _take(self, name: str, records: dict[str, int], room: int) -> list[Event]:
        events = []
        for xml in self._open[name].next(room):
            try:
                event = parse_event(xml)
            except EventXmlError:
                continue
            events.append(event)
            records[name] = max(records[name], record_of(event.fields))
        return events

    def _close(self, name: str) -> None:
        subscription = self._open.pop(name, None)
        if subscription is not None:
            subscription.close()


def record_of(fields: Mapping[str, Any]) -> int:
    """The number of an event's record; 0 where it has none."""
    number = str(fields.get("EventRecordID", ""))
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else 0


def lost_events(channel: str, count: int, now: float) -> Event:
    """That records of ``channel`` were overwritten or removed before they were read."""
    fields = {"event.action": "events_lost", "Channel": channel, "Count": count}
    return Event(time=now, logsource=WINDOWS, fields=fields)


def event_log() -> EventLog:
    """This machine's event log.

    Raises:
        OSError: this is not Windows.
    """
    if sys.platform == "win32":
        from agent.windows.event_api import WindowsEventLog

        return WindowsEventLog()
    raise OSError("there is no Windows event log here: this is not Windows")
