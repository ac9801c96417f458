"""The network as Windows sees it."""

from __future__ import annotations

import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent import reasons
from agent.collectors.common.neighbours import INCOMPLETE, PERMANENT, STALE, Neighbour
from agent.collectors.common.probes import Ping, ProbeNotPermittedError
from agent.collectors.common.routes import Gateway
from agent.collectors.lan import gateway_facts
from agent.collectors.neighbours import complete
from agent.windows.network import (
    best_gateway,
    find_neighbour,
    interface_names,
    name_servers,
    parse_arp_table,
)
from agent.windows.system import parse_adapters
from tests.agent.windows.test_system import ETHERNET, SETTING, UNPLUGGED


def table(*rows: tuple[int, str, str, int]) -> bytes:
    """MIB_IPNETTABLE, as GetIpNetTable fills it in."""
    made = len(rows).to_bytes(4, "little")
    for index, mac, ip, kind in rows:
        raw = bytes.fromhex(mac.replace(":", ""))
        made += index.to_bytes(4, "little") + len(raw).to_bytes(4, "little") + raw.ljust(8, b"\0")
        made += socket.inet_aton(ip) + kind.to_bytes(4, "little")
    return made


RAW = table(
    (12, "02:fc:00:00:00:05", "192.168.10.1", 3),
    (12, "", "192.168.10.77", 2),
    (12, "01:00:5e:00:00:16", "224.0.0.22", 4),
    (9, "3c:52:82:11:22:33", "10.0.0.9", 4),
)


def test_neighbours_are_told_as_on_linux() -> None:
    found = parse_arp_table(RAW, {12: "Ethernet"})
    assert found == [
        Neighbour("192.168.10.1", "02:fc:00:00:00:05", "Ethernet", STALE),
        Neighbour("192.168.10.77", "", "Ethernet", INCOMPLETE),
        Neighbour("224.0.0.22", "01:00:5e:00:00:16", "Ethernet", PERMANENT),
        Neighbour("10.0.0.9", "3c:52:82:11:22:33", "9", PERMANENT),
    ]
    assert [each["ip"] for each in complete(found)] == ["10.0.0.9", "192.168.10.1"]


def adapter(**more: Any) -> dict[str, Any]:
    known = {
        "name": "Ethernet",
        "up": True,
        "gateways": [],
        "servers": [],
        "metric": 25,
        "interface_index": 12,
    }
    return {**known, **more}


def test_the_connected_adapter_with_the_least_metric_leads_out() -> None:
    wired = adapter(gateways=["fe80::1", "192.168.10.1"])
    wireless = adapter(name="Wi-Fi", gateways=["192.168.20.1"], metric=50)
    unplugged = adapter(name="LTE", gateways=["10.0.0.1"], metric=1, up=False)
    found = best_gateway([wireless, unplugged, wired])
    assert found is not None
    assert (found.ip, found.interface) == ("192.168.10.1", "Ethernet")
    only = best_gateway([adapter(gateways=["fe80::1"])])
    assert only is not None
    assert only.ip == "fe80::1"
    assert best_gateway([unplugged]) is None


def test_name_servers_come_once_in_the_order_of_metrics() -> None:
    wired = adapter(servers=["192.168.10.1", "203.113.131.1"])
    wireless = adapter(servers=["203.113.131.1", "8.8.8.8"], metric=None)
    assert name_servers([wireless, wired]) == ["192.168.10.1", "203.113.131.1", "8.8.8.8"]


def test_adapters_of_wmi_have_what_is_needed() -> None:
    adapters = parse_adapters([{**ETHERNET, "InterfaceIndex": 12}, UNPLUGGED], [SETTING])
    assert interface_names(adapters) == {12: "Ethernet"}
    gateway = best_gateway(adapters)
    assert gateway is not None
    assert gateway.ip == "192.168.10.1"
    assert name_servers(adapters) == ["192.168.10.1", "203.113.131.1"]


def test_a_gateway_of_ipv6_alone_is_not_known_to_be_there_or_gone() -> None:
    def refuse(_: Gateway) -> Ping:
        raise ProbeNotPermittedError(reasons.ONLY_IPV4_ASKED())

    state: dict[str, Any] = {}
    for _ in range(3):
        facts, metrics = gateway_facts(
            Gateway("fe80::1", "Ethernet", 25), refuse, lambda way: find_neighbour(way, []), state, 1.0
        )
        assert facts["reachable"] is None
        assert facts["reason"] == "on Windows only an IPv4 gateway is asked"
        assert metrics == []


def test_a_gateway_that_went_silent_is_unreachable_after_two_looks() -> None:
    answers = iter([Ping(3, 3, 0.002), Ping(3, 0, None), Ping(3, 0, None)])
    state: dict[str, Any] = {}
    neighbours = parse_arp_table(RAW, {})
    found = [
        gateway_facts(
            Gateway("192.168.10.1", "Ethernet", 25),
            lambda _: next(answers),
            lambda way: find_neighbour(way, neighbours),
            state,
            1.0,
        )[0]
        for _ in range(3)
    ]
    assert [each["reachable"] for each in found] == [True, True, False]
    assert {each["mac"] for each in found} == {"02:fc:00:00:00:05"}


@given(st.binary(max_size=300))
def test_any_bytes_are_neighbours_or_none(raw: bytes) -> None:
    for each in parse_arp_table(raw, {}):
        assert socket.inet_aton(each.ip)
