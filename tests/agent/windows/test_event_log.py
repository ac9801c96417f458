"""Each event once: over restarts, gaps, cleared logs and outputs that were not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from agent.windows.event_channels import CHANNELS, Channel, query
from agent.windows.event_log import (
    AGAIN_SECONDS,
    CHANNEL_EVENTS,
    ChannelError,
    Extent,
    Follower,
    bookmark,
    event_log,
    place,
)

if TYPE_CHECKING:
    from agent.messages import Event

SECURITY, SYSMON = Channel("Security"), Channel("Microsoft-Windows-Sysmon/Operational")


def rendered(channel: str, record: int) -> str:
    return (
        "<Event><System><Provider Name='P'/><EventID>4688</EventID>"
        f"<TimeCreated SystemTime='2026-07-22T08:00:00Z'/><EventRecordID>{record}</EventRecordID>"
        f"<Channel>{channel}</Channel></System></Event>"
    )


class FakeLog:
    """An event log with the records of each channel by number."""

    def __init__(self, **channels: list[int]) -> None:
        self.channels = channels
        self.opened: list[tuple[str, int]] = []
        self.closed = 0
        self.broken: set[str] = set()

    def extent(self, channel: str) -> Extent:
        if channel not in self.channels:
            raise ChannelError(f"{channel}: The specified channel could not be found (15007)")
        records = self.channels[channel]
        return Extent(records[0], len(records)) if records else Extent(0, 0)

    def subscribe(self, channel: str, wanted: str, after: int) -> FakeSubscription:
        assert channel in wanted
        self.opened.append((channel, after))
        return FakeSubscription(self, channel, after)


class FakeSubscription:
    def __init__(self, log: FakeLog, channel: str, after: int) -> None:
        self._log, self._channel, self._after = log, channel, after

    def next(self, limit: int) -> list[str]:
        if self._channel in self._log.broken:
            raise ChannelError(f"{self._channel}: The RPC server is unavailable (1722)")
        new = [record for record in self._log.channels[self._channel] if record > self._after][:limit]
        self._after = max([self._after, *new])
        return [rendered(self._channel, record) for record in new]

    def close(self) -> None:
        self._log.closed += 1


def records(events: list[Event]) -> list[int]:
    return [int(event.fields["EventRecordID"]) for event in events]


def test_at_first_only_what_comes_is_read() -> None:
    log, state = FakeLog(Security=[7, 8, 9]), dict[str, Any]()
    follower = Follower(log, [SECURITY])
    assert follower.read(state, 0.0) == []
    assert state == {"records": {"Security": 9}}
    log.channels["Security"] += [10, 11]
    assert records(follower.read(state, 2.0)) == [10, 11]
    assert follower.read(state, 4.0) == []
    assert state == {"records": {"Security": 11}}
    assert len(log.opened) == 1


def test_after_a_restart_nothing_is_missed_and_nothing_comes_twice() -> None:
    log, state = FakeLog(Security=[1]), dict[str, Any]()
    first = Follower(log, [SECURITY])
    first.read(state, 0.0)
    log.channels["Security"] += [2, 3]
    assert records(first.read(state, 2.0)) == [2, 3]
    log.channels["Security"] += [4, 5]
    assert records(Follower(log, [SECURITY]).read(state, 60.0)) == [4, 5]


def test_output_that_was_not_kept_is_read_again() -> None:
    log, state = FakeLog(Security=[1]), dict[str, Any]()
    follower = Follower(log, [SECURITY])
    follower.read(state, 0.0)
    log.channels["Security"] += [2, 3]
    lost = dict(state)
    assert records(follower.read(lost, 2.0)) == [2, 3]
    assert records(follower.read(state, 4.0)) == [2, 3]
    assert log.closed == 1


def test_a_flood_is_read_in_pieces_and_one_channel_does_not_starve_another() -> None:
    log = FakeLog(**{"Security": [1], SYSMON.name: [1]})
    follower, state = Follower(log, [SECURITY, SYSMON]), dict[str, Any]()
    follower.read(state, 0.0)
    log.channels["Security"] += range(2, 3 * CHANNEL_EVENTS)
    log.channels[SYSMON.name] += [2]
    first = follower.read(state, 2.0)
    assert len(first) == CHANNEL_EVENTS + 1
    rest = records(follower.read(state, 4.0)) + records(follower.read(state, 6.0))
    assert records(first)[:-1] + rest == list(range(2, 3 * CHANNEL_EVENTS))


def test_a_log_that_ran_over_while_nobody_read_is_said() -> None:
    log, state = FakeLog(Security=[500, 501]), {"records": {"Security": 100}}
    lost, *events = Follower(log, [SECURITY]).read(state, 5.0)
    assert lost.fields == {"event.action": "events_lost", "Channel": "Security", "Count": 399}
    assert records(events) == [500, 501]


@pytest.mark.parametrize(
    ("known", "extent", "expected"),
    [
        (None, Extent(10, 5), (14, 0)),
        (None, Extent(0, 0), (0, 0)),
        (14, Extent(10, 5), (14, 0)),
        (12, Extent(10, 5), (12, 0)),
        (9, Extent(10, 5), (9, 0)),
        (4, Extent(10, 5), (9, 5)),
        (900, Extent(1, 3), (0, 0)),
        (900, Extent(0, 0), (0, 0)),
        (900, Extent(901, 0), (900, 0)),
    ],
)
def test_where_reading_begins(known: int | None, extent: Extent, expected: tuple[int, int]) -> None:
    assert place(known, extent) == expected


def test_a_channel_that_is_not_there_is_looked_for_again_later() -> None:
    log, state = FakeLog(Security=[1]), dict[str, Any]()
    follower = Follower(log, [SECURITY, SYSMON])
    follower.read(state, 0.0)
    assert "15007" in follower.troubles[SYSMON.name]
    assert not follower.reads_nothing
    log.channels[SYSMON.name] = [1]
    follower.read(state, 2.0)
    assert SYSMON.name in follower.troubles
    follower.read(state, AGAIN_SECONDS)
    assert follower.troubles == {}
    log.channels[SYSMON.name] += [2]
    assert records(follower.read(state, AGAIN_SECONDS + 2)) == [2]


def test_a_subscription_that_ended_goes_on_where_it_was() -> None:
    log, state = FakeLog(Security=[1]), dict[str, Any]()
    follower = Follower(log, [SECURITY])
    follower.read(state, 0.0)
    log.broken.add("Security")
    log.channels["Security"] += [2]
    assert follower.read(state, 2.0) == []
    assert follower.reads_nothing
    log.broken.clear()
    assert records(follower.read(state, 4.0)) == [2]
    assert not follower.reads_nothing


def test_queries_are_what_windows_takes() -> None:
    for channel in CHANNELS:
        root = ET.fromstring(query(channel))
        parts = root.findall("Query/*")
        assert {part.get("Path") for part in parts} == {channel.name}
        assert root.findall("Query/Select")
        for part in parts:  # Windows refuses an expression with more than 20 or so comparisons
            assert (part.text or "").count("=") <= 20
    assert len({channel.name for channel in CHANNELS}) == len(CHANNELS)


def test_a_bookmark_names_channel_and_record() -> None:
    mark = ET.fromstring(bookmark("A & 'B'", 41))[0]
    assert mark.attrib == {"Channel": "A & 'B'", "RecordId": "41", "IsCurrent": "true"}


def test_elsewhere_than_on_windows_there_is_none() -> None:
    with pytest.raises(OSError, match="not Windows"):
        event_log()
