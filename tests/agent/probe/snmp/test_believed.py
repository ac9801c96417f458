"""What is believed of a device that says anything, and of a host that says it is a network device."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from agent.probe.snmp import oids, running, tables
from agent.probe.snmp.around import Around
from agent.probe.snmp.device import Polled
from agent.probe.snmp.known import Known, Memory, Paths
from agent.probe.snmp.session import DeviceError
from agent.probe.snmp.settings import Device, Poll
from agent.probe.snmp.tables import Entry
from agent.probe.snmp.telling import addresses_document, device_document
from tests.agent.probe.snmp.answering import Answering
from tests.support.netns import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.agent.probe.snmp.conftest import Site

DAY = 86_400.0
START = 1_000_000.0
PC, SWITCH, OTHER = "f0:66:66:00:00:01", "00:11:22:00:00:01", "00:11:22:00:00:02"


def polled(device: Answering, around: Around, memory: Memory | None = None, name: str = "sw") -> Polled:
    session: Any = device
    return Polled(
        Device(name, "10.0.0.2", "c"), Poll(), session, Memory() if memory is None else memory, around
    )


def ask(one: Polled, now: float) -> bool:
    return asyncio.run(one.ask(now))


def rows(one: Polled, now: float) -> dict[str, tuple[str, bool, bool]]:
    body = cast("dict[str, Any]", addresses_document(one, now).body)
    return {row["name"]: (row["interface"], row["uplink"], row["new"]) for row in body["entries"]}


def octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def test_a_host_that_says_by_lldp_that_it_is_a_bridge_hides_nothing_behind_its_port() -> None:
    device, around = Answering(), Around(300)
    device.hears(1, octets(SWITCH), network=True)
    one = polled(device, around)
    ask(one, START)
    assert one.uplinks() == {"p1"}
    later = START + 2 * DAY
    device.hears(3, octets(PC), network=True)
    device.learned(PC, 3)
    ask(one, later)
    assert one.uplinks() == {"p1"}
    assert rows(one, later) == {PC: ("p3", False, True)}
    told = cast("dict[str, Any]", device_document(one, later).body)["neighbours"]
    assert [(each["interface"], each["new"]) for each in told] == [("p1", False), ("p3", True)]
    # Nor does it go unnoticed where a port becomes one by another device's MAC.
    around.own("other", [OTHER])
    device.learned(OTHER, 3)
    ask(one, later + 300)
    ports = cast("dict[str, Any]", device_document(one, later + 300).body)["interfaces"]
    assert [(each["uplink"], each["uplink_new"]) for each in ports] == [
        (True, False),
        (False, False),
        (True, True),
    ]
    # What was there while all counted as known still does, after a restart of the part.
    again = polled(device, around, one.memory)
    ask(again, later + 600)
    assert again.uplinks() == {"p1", "p3"}


def test_a_port_behind_which_another_device_was_learned_leads_there_also_right_after_a_restart() -> None:
    device, around = Answering(), Around(300)
    device.learned(OTHER, 2)
    device.learned(PC, 2)
    around.own("other", [OTHER])
    one = polled(device, around)
    ask(one, START)
    assert rows(one, START)[PC] == ("p2", True, False)
    # The part began anew and has not asked the other device yet: what is behind the port is no news.
    again = polled(device, Around(300), one.memory)
    ask(again, START + 3_600)
    assert rows(again, START + 3_600)[PC] == ("p2", True, False)
    # For days nothing of the other device: it is a port as any.
    del device.rows[oids.FDB_PORT][tuple(octets(OTHER))]
    ask(again, START + 5 * DAY)
    assert again.uplinks() == set()


def test_who_was_behind_a_switch_that_was_replaced_is_no_news() -> None:
    device, around = Answering(), Around(300)
    device.hears(1, octets(SWITCH), network=True)
    device.learned(PC, 1)
    one = polled(device, around)
    ask(one, START)
    later = START + 2 * DAY
    ask(one, later)
    assert rows(one, later) == {PC: ("p1", True, False)}
    device.hears(1, octets(OTHER), network=True)
    ask(one, later + 300)
    assert rows(one, later + 300) == {PC: ("p1", False, False)}
    device.learned("f0:66:66:00:00:02", 1)
    ask(one, later + 600)
    assert rows(one, later + 600)["f0:66:66:00:00:02"] == ("p1", False, True)


def test_macs_that_a_device_names_no_more_are_no_longer_its_own() -> None:
    around = Around(300)
    around.own("a", [SWITCH, PC])
    around.own("b", [PC])
    assert (around.owner(PC), around.owner(SWITCH)) == ("a", "a")
    around.own("a", [SWITCH])
    assert around.owner(PC) == ""
    assert around.changes == 3
    around.own("a", [SWITCH])
    assert around.changes == 3


def test_a_card_that_is_behind_another_device_is_told_no_more_at_the_one_that_it_left() -> None:
    around = Around(300)
    left, entered = Answering(), Answering()
    left.learned(PC, 1)
    one, other = polled(left, around, name="a"), polled(entered, around, name="b")
    ask(one, START)
    left.rows[oids.FDB_PORT].clear()
    entered.learned(PC, 2)
    for passed in (300.0, 600.0, 1_200.0):
        ask(one, START + passed)
        ask(other, START + passed)
        # Right away both may know it: bridges forget late.
        assert (PC in rows(one, START + passed)) == (passed < 1_000)
    assert rows(other, START + 1_200) == {PC: ("p2", False, False)}
    # A machine that is switched off stays where it was.
    entered.rows[oids.FDB_PORT].clear()
    ask(other, START + 2 * DAY)
    assert PC in rows(other, START + 2 * DAY)


def test_a_device_that_renames_its_ports_with_each_poll_does_not_fill_the_memory() -> None:
    known = Known()
    for poll in range(100):
        known.take([(Entry(PC, 1, None), f"p{poll}")], START + poll * 300, DAY)
    assert len(known.at[PC]) == 8
    latest = known.place(PC, START + 100 * 300)
    assert latest is not None
    assert latest.interface == "p99"


@pytest.mark.parametrize("breaks", [TimeoutError(), DeviceError("x")])
def test_a_device_of_which_a_table_cannot_be_read_answers_all_the_same(breaks: Exception) -> None:
    device, one_failure = Answering(), (TimeoutError, DeviceError)
    device.breaks = (oids.ENT_CLASS, breaks)
    one = polled(device, Around(300))
    for at in (0.0, 60.0):
        with pytest.raises(one_failure):
            ask(one, START + at)
        assert not one.failed(DeviceError("no answer"))
    assert ask(one, START + 120) is False
    assert one.reachable
    assert [each.name for each in one.interfaces.values()] == ["p1", "p2", "p3"]
    # The tables are tried again when their time has come.
    device.breaks = None
    assert ask(one, START + 180) is False
    assert ask(one, START + 400) is True


def test_of_a_device_that_is_down_when_the_part_begins_the_rows_stay_as_they_were_told() -> None:
    one = polled(Answering(), Around(300))
    ask(one, START)
    told = cast("dict[str, Any]", device_document(one, START).body)
    again = polled(Answering(), Around(300), one.memory)
    again.told = told
    for _ in range(Poll().unanswered_polls):
        again.failed(DeviceError("no answer"))
    body = cast("dict[str, Any]", device_document(again, START + 600).body)
    assert {**body, "reachable": True, "reason": ""} == told
    assert (body["reachable"], body["reason"]) == (False, "no answer")


def test_what_one_device_makes_fail_ends_nobody_else_and_a_slow_one_is_known_as_slow(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = {"10.0.0.1": _Unreasonable(), "10.0.0.2": Answering(), "10.0.0.3": _Dribbling()}
    monkeypatch.setattr(running, "Session", lambda address, *_, **__: devices[address])
    taken: list[float] = []
    tried = running.Poller._try

    async def watched(self: running.Poller, one: Polled, turn: asyncio.Semaphore) -> float:
        seconds = await tried(self, one, turn)
        if isinstance(one.session, _Dribbling):
            taken.append(seconds)
        return seconds

    monkeypatch.setattr(running.Poller, "_try", watched)
    site.community("c", "c")
    for number in (1, 2, 3):
        site.devices.append(Device(f"sw-{number}", f"10.0.0.{number}", "c"))
    with site.running(interval_seconds=1, timeout_seconds=0.2, unanswered_polls=1) as part:
        wait_for(lambda: len(part.documents) >= 5 and taken, 60)
    told = {item: body for (kind, item), body in part.documents.items() if kind == "network_device" and body}
    assert (told["sw-1"]["reachable"], told["sw-2"]["reachable"], told["sw-3"]["reachable"]) == (
        False,
        True,
        False,
    )
    assert "RuntimeError" in told["sw-1"]["reason"]
    assert taken[0] > 0.5


class _Dribbling(Answering):
    """Begins a table and never comes to its end."""

    async def walk(self, base: str, most: int) -> Any:
        await asyncio.Event().wait()


class _Unreasonable(Answering):
    async def get(self, wanted: Iterable[str]) -> Any:
        raise RuntimeError(str(wanted))


def test_an_uplink_that_was_off_over_a_weekend_is_none_that_showed_late() -> None:
    paths = Paths()
    for day in range(4):
        paths.take([], ["p1"], START + day * DAY, DAY)
    paths.take([], [], START + 6 * DAY, DAY)
    assert not paths.uplinks
    paths.take([], ["p1", "p2"], START + 6 * DAY + 300, DAY)
    assert (set(paths.uplinks), paths.late) == ({"p1", "p2"}, {"p2"})
    paths.take([], [], START + 8 * DAY, DAY)
    paths.take([], ["p2"], START + 8 * DAY + 300, DAY)
    assert paths.late == {"p2"}, "what was late once is no earlier uplink"


def test_a_port_whose_network_neighbour_is_known_turns_uplink_unsuspected() -> None:
    paths = Paths()
    paths.take([("p1", "sw-2")], [], START, DAY)
    paths.take([("p1", "sw-2"), ("p2", "sw-66")], ["p1", "p2"], START + 2 * DAY, DAY)
    assert paths.late == {"p2"}


@pytest.mark.parametrize(
    ("bits", "network"),
    [(0x24, False), (0x04, False), (0x20, True), (0x28, True), (0x10, True), (0x80, False)],
)
def test_a_telephone_with_a_socket_for_a_machine_is_no_network_device(bits: int, network: bool) -> None:
    columns: tables.Columns = {column: {} for column in tables.LLDP}
    columns[oids.LLDP_CHASSIS_REMOTE][0, 7, 1] = b"phone"
    columns[oids.LLDP_ENABLED_REMOTE][0, 7, 1] = bytes((bits, 0))
    assert [each.network for each in tables.neighbours_of(columns, {})] == [network]
