"""Counters that wrap and begin anew, uptimes, what is known behind ports, rows that make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from agent.probe.snmp import oids, tables
from agent.probe.snmp.counters import Look, increase, look_at
from agent.probe.snmp.gauges import gauges_of
from agent.probe.snmp.known import Known
from agent.probe.snmp.profiles import Profile, Ratio, profile_named
from agent.probe.snmp.tables import Columns, Entry, Interface
from agent.probe.snmp.traffic import Traffic

DAY = 86_400.0


@pytest.mark.parametrize(
    ("before", "after", "bits", "most", "grown"),
    [
        (100, 250, 64, 1e9, 150),
        (2**32 - 50, 49, 32, 1e9, 99),
        (2**64 - 1, 0, 64, 1e9, 1),
        (1_000_000, 10, 32, 1e9, None),  # it began anew: it was nowhere near its end
        (2**32 - 50, 2**31, 32, 1e6, None),  # a wrap that no line carries
        (10, 10**12, 64, 1e9, None),
    ],
)
def test_a_counter_that_fell_has_wrapped_or_begun_anew(
    before: int, after: int, bits: int, most: float, grown: int | None
) -> None:
    assert increase(before, after, bits, most) == grown


def test_the_wrap_of_an_uptime_after_497_days_is_no_restart_and_a_fall_is_one() -> None:
    turn = 2**32 / 100
    first = look_at(None, 1_000.0, turn - 30)
    wrapped = look_at(first, 1_060.0, 30.0)
    assert (wrapped.restarted, wrapped.began) == (False, first.began)
    later = look_at(wrapped, 1_120.0, 91.0)
    assert (later.restarted, later.began) == (False, first.began)
    restarted = look_at(Look(1_000.0, 5 * DAY, 1_000.0 - 5 * DAY), 1_300.0, 20.0)
    assert (restarted.restarted, restarted.began) == (True, 1_280.0)


def _counted(received: int, *, discontinuity: int = 0, wide: bool = True) -> dict[str, Any]:
    octets = (
        (oids.IF_HC_IN_OCTETS, oids.IF_HC_OUT_OCTETS) if wide else (oids.IF_IN_OCTETS, oids.IF_OUT_OCTETS)
    )
    values = dict.fromkeys(octets, received)
    return {
        f"{column}.1": value for column, value in {**values, oids.IF_DISCONTINUITY: discontinuity}.items()
    }


def test_traffic_is_summed_over_wraps_and_begins_anew_where_the_device_says_so() -> None:
    interface = Interface(1, "Gi1", speed=1_000_000_000, wide=True)
    traffic = Traffic()
    for at, received in ((0.0, 2**64 - 500), (60.0, 500), (120.0, 2_500)):
        traffic.take(at + 1, interface, _counted(received), restarted=False)
    sums = traffic.taken()
    assert (sums.seconds, sums.received, sums.sent) == (120.0, 3_000, 3_000)
    traffic.take(181, interface, _counted(10, discontinuity=77), restarted=False)
    traffic.take(241, interface, _counted(110, discontinuity=77), restarted=False)
    traffic.take(301, interface, _counted(50, discontinuity=77), restarted=True)
    assert traffic.taken().received == 100


def test_a_card_is_news_once_at_each_port_and_never_while_the_probe_learns() -> None:
    known = Known()

    def see(now: float, *there: tuple[str, str]) -> None:
        known.take([(Entry(address, 1, None), interface) for address, interface in there], now, DAY)

    see(1.0, ("a", "p1"))
    see(2 * DAY, ("a", "p1"), ("b", "p1"))
    assert [known.place(each, 2 * DAY).new for each in "ab"] == [False, True]  # type: ignore[union-attr]
    see(3 * DAY, ("a", "p2"))
    place = known.place("a", 3 * DAY)
    assert place is not None
    assert (place.interface, place.new) == ("p2", True)
    # After a fortnight it is told no more, and when it comes back to its port it is no news.
    assert known.place("b", 16 * DAY) is None
    see(16 * DAY, ("b", "p1"))
    assert known.place("b", 16 * DAY).new is False  # type: ignore[union-attr]


def _columns(**given: Any) -> Columns:
    every = (*tables.INTERFACES, *tables.LLDP, *tables.FORWARDING, *tables.NEIGHBOURS, *tables.ENTITIES)
    found: Columns = {column: {} for column in every}
    return {**found, **{getattr(oids, name): value for name, value in given.items()}}


def test_interfaces_of_one_name_stay_apart_and_nonsense_is_passed_over() -> None:
    columns = _columns(
        IF_DESCR={(1,): b"eth", (2,): b"eth", (3, 4): b"x", (5,): b"\x00\x1b[0m"},
        IF_HIGH_SPEED={(1,): -5, (2,): 10},
        IF_PHYS_ADDRESS={(1,): b"\x01\x00\x5e\x00\x00\x01", (2,): b"\x02\x00\x00\x00\x00\x01"},
    )
    found = tables.interfaces_of(columns, 300)
    assert [(each.name, each.speed, each.mac) for each in found.values()] == [
        ("eth", 0, ""),
        ("eth#2", 10_000_000, "02:00:00:00:00:01"),
        ("[0m", 0, ""),
    ]
    assert len(tables.interfaces_of(columns, 1)) == 1


def test_forwarding_tables_with_and_without_vlans_are_one_and_the_devices_own_addresses_are_left_out() -> (
    None
):
    interfaces = {1: Interface(1, "p1"), 2: Interface(2, "p2")}
    columns = _columns(
        BASE_PORT_IF_INDEX={(11,): 1, (12,): 2},
        Q_FDB_PORT={
            (1, 2, 0, 0, 0, 0, 1): 11,
            (1, 2, 0, 0, 0, 0, 2): 12,
            (1, 2, 0, 999, 0, 0, 3): 12,
            (1,): 12,
        },
        Q_FDB_STATUS={(1, 2, 0, 0, 0, 0, 2): 4},
        Q_VLAN_FDB={(0, 30): 1},
        FDB_PORT={
            (2, 0, 0, 0, 0, 1): 12,
            (2, 0, 0, 0, 0, 9): 12,
            (2, 0, 0, 0, 0, 8): 77,
            (2, 0, 0, 0, 0, 7): "x",
        },
    )
    entries, total = tables.forwarding_of(columns, interfaces, 100)
    assert entries == [Entry("02:00:00:00:00:01", 1, 30), Entry("02:00:00:00:00:09", 2, None)]
    assert total == 2


def test_neighbours_by_the_new_table_and_the_old_are_one() -> None:
    card = b"\x02\x00\x00\x00\x00\x01"
    columns = _columns(
        NEIGHBOURS={(1, 1, 4, 10, 0, 0, 1): card, (1, 1, 4, 10, 0): card, (1, 1, 4, 10, 0, 0, 2): b""},
        ARP={(1, 10, 0, 0, 1): card, (1, 10, 0, 0, 3): card, (1, 300, 0, 0, 1): card},
    )
    assert tables.arp_of(columns, 10) == [
        ("10.0.0.1", "02:00:00:00:00:01"),
        ("10.0.0.3", "02:00:00:00:00:01"),
    ]


def test_ratios_that_are_none_and_sensors_that_are_not_fitted_are_not_told() -> None:
    cisco = profile_named("cisco")
    cpu, heat = cisco.gauges[0].column, cisco.gauges[1].column
    memory = cisco.ratio[0]
    told = gauges_of(cisco, {memory.used: 75, memory.free: 25}, {cpu: {(1,): 20, (2,): 40}, heat: {(1,): 0}})
    assert told == {"network.cpu_used_ratio": 0.4, "network.memory_used_ratio": 0.75}
    odd = Profile("", "", (), ratio=(Ratio("network.memory_used_ratio", used="1.3.1", total="1.3.2"),))
    assert gauges_of(odd, {"1.3.1": 9, "1.3.2": 3}, {}) == {}
    assert gauges_of(odd, {"1.3.1": 9, "1.3.2": 0}, {}) == {}
