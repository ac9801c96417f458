"""One host on the LAN that makes up frames hides neither the others nor itself."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agent.collectors.registry import StatusDocument
from agent.probe.lan.authorities import Authorities
from agent.probe.lan.claims import CHECK_SECONDS, GATEWAY_SECONDS, MANY_ADDRESSES, Claims
from agent.probe.lan.devices import MOST_CARDS, Devices
from agent.probe.lan.dhcpv6 import Dhcpv6Server
from agent.probe.lan.frames import Router
from agent.probe.lan.settings import Watch
from agent.probe.lan.watch import MOST_EVENTS, LanWatch
from agent.runtime.packing import Content, pack

GATEWAY, ROUTER, INTRUDER = "10.0.0.1", "aa:aa:aa:aa:aa:01", "bb:00:00:00:00:01"
NOW = 1e9


def test_cards_with_many_addresses_push_no_other_out() -> None:
    devices = Devices()
    real = {f"f0:de:f1:00:00:{number:02x}" for number in range(50)}
    for number, mac in enumerate(sorted(real)):
        devices.heard(mac, f"10.0.0.{number + 10}", "arp", 1.0)
    for card in range(256):
        for host in range(16):
            devices.heard(f"00:00:00:01:{card:02x}:00", f"10.9.{card}.{host}", "arp", float(host))
    entries = devices.entries("eth0")
    assert real <= {entry["mac"] for entry in entries}
    assert len(entries) <= MOST_CARDS
    kept = {entry["ip"] for entry in entries if entry["mac"] == "00:00:00:01:00:00"}
    assert "10.9.0.15" in kept
    assert "10.9.0.0" not in kept


def test_long_names_of_many_cards_leave_the_document_its_place_in_a_batch() -> None:
    some = random.Random(1)
    letters = [chr(code) for code in range(0x4E00, 0x9C00)]
    devices = Devices()
    for number in range(MOST_CARDS):
        mac = (
            f"02:00:{some.randrange(256):02x}:{some.randrange(256):02x}:{number >> 8:02x}:{number & 255:02x}"
        )
        name, vendor = "".join(some.choices(letters, k=63)), "".join(some.choices(letters, k=64))
        devices.heard(mac, f"10.0.{number >> 8}.{number & 255}", "dhcp", 1.0, name=name, vendor_class=vendor)
    entries = devices.entries("eth0")
    document = StatusDocument("neighbours", 1.0, {"entries": entries}, item="eth0")
    pieces, oversized = pack(Content(documents=[document]), 1.0, {})
    assert (len(pieces), len(entries)) == (1, MOST_CARDS)
    assert oversized.empty


def watched() -> tuple[Claims, list[tuple[str, dict[str, Any]]]]:
    told: list[tuple[str, dict[str, Any]]] = []
    claims = Claims(
        lambda _ip: None, lambda *each: told.append(each), gateways={GATEWAY}, bound={GATEWAY: ROUTER}
    )
    return claims, told


def moves(told: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [body for action, body in told if action == "address_moved" and body["gateway"]]


def test_a_gateway_is_looked_after_whatever_else_is_being_checked() -> None:
    claims, told = watched()
    for host in range(64):
        claims.claimed(f"10.1.0.{host}", "02:00:00:00:00:01", 100.0, unasked=True)
        claims.claimed(f"10.1.0.{host}", f"02:00:00:00:01:{host:02x}", 100.0, unasked=True)
    claims.claimed(GATEWAY, INTRUDER, 101.0, unasked=True)
    claims.run(101.0 + GATEWAY_SECONDS)
    (body,) = moves(told)
    assert (body["previous_mac"], body["mac"]) == (ROUTER, INTRUDER)


def test_a_gateways_card_is_not_forgotten_for_made_up_addresses() -> None:
    claims, told = watched()
    for number in range(8_200):
        ip = f"10.2.{number >> 8}.{number & 255}"
        claims.claimed(ip, f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}", 100.0, unasked=True)
    claims.claimed(GATEWAY, INTRUDER, 101.0, unasked=True)
    claims.run(101.0 + GATEWAY_SECONDS)
    (body,) = moves(told)
    assert body["previous_mac"] == ROUTER


def test_made_up_answers_hide_no_real_one() -> None:
    claims, told = watched()
    claims.claimed(GATEWAY, INTRUDER, 101.0, unasked=True)
    for number in range(1_000):
        claims.claimed(GATEWAY, f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}", 101.0, unasked=True)
    claims.claimed(GATEWAY, ROUTER, 101.5, unasked=False)
    claims.run(101.0 + GATEWAY_SECONDS)
    (body,) = moves(told)
    assert body["previous_answers"]
    assert body["answering_count"] <= 65


def test_claims_of_made_up_cards_are_bounded_together_and_what_falls_out_is_counted() -> None:
    claims, _told = watched()
    for card in range(80):
        for host in range(512):
            claims.claimed(
                f"10.{card}.{host >> 8}.{host & 255}", f"02:00:00:02:00:{card:02x}", NOW, unasked=True
            )
    assert sum(len(each.claims) for each in claims._cards.values()) == 32_768
    assert claims.unchecked == 80 - 64
    for host in range(600):
        claims.claimed(f"10.0.{host >> 8}.{host & 255}", INTRUDER, NOW + 120, unasked=True)
    assert claims.unchecked == 80 - 64, "claims that no longer count are no loss"


def on_the_lan(**settings: Any) -> LanWatch:
    return LanWatch(
        Watch(**settings),
        {"gateways": {GATEWAY: ROUTER}, "since": 1.0},
        interface="eth0",
        mac="aa:aa:aa:aa:aa:99",
        send=lambda _frame: None,
        gateways={GATEWAY},
        now=NOW,
    )


@pytest.mark.parametrize(
    ("previous", "mac", "virtual"),
    [
        (ROUTER, "00:00:5e:00:01:07", False),
        ("00:00:5e:00:01:07", INTRUDER, False),
        ("00:00:0c:07:ac:01", "00:00:0c:07:ac:02", True),
    ],
)
def test_a_card_is_no_redundant_router_by_its_own_word(previous: str, mac: str, virtual: bool) -> None:
    watch = on_the_lan()
    watch.arp.claimed("10.0.0.2", previous, NOW, unasked=True)
    watch.arp.claimed("10.0.0.2", mac, NOW, unasked=True)
    watch.arp.run(NOW + CHECK_SECONDS)
    (event,) = watch.events
    assert event.fields["arp"]["virtual_router"] is virtual


def test_many_cheap_events_leave_room_for_the_gateways() -> None:
    watch = on_the_lan()
    for card in range(130):
        for host in range(MANY_ADDRESSES):
            watch.arp.claimed(f"10.7.{card}.{host}", f"02:00:00:00:00:{card:02x}", NOW, unasked=True)
    watch.arp.claimed(GATEWAY, INTRUDER, NOW, unasked=True)
    watch.arp.run(NOW + GATEWAY_SECONDS)
    assert [event.fields["arp"]["mac"] for event in watch.events if event.fields["arp"]["gateway"]] == [
        INTRUDER
    ]
    assert (len(watch.events), watch.untold.total()) == (MOST_EVENTS + 1, 130 - MOST_EVENTS)
    watch.tell_limits(frames=1_000, dropped=20)
    watch.tell_limits(frames=5, dropped=0)
    (limit,) = [event for event in watch.events if event.logsource.category == "capture"]
    assert limit.fields["event"]["action"] == "limit_reached"
    assert limit.fields["capture"] == {
        "interface": "eth0",
        "left_out_count": 130 - MOST_EVENTS,
        "left_out": ["arp addresses_claimed"],
        "unlisted_count": 0,
        "unchecked_count": 0,
        "frames_count": 1_000,
        "dropped_count": 20,
        "dropped_ratio": 0.02,
    }


def test_cards_without_room_and_moves_without_a_check_are_told_of() -> None:
    watch = on_the_lan()
    for number in range(MOST_CARDS + 3):
        watch.devices.heard(f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}", "", "arp", NOW)
    for host in range(66):
        watch.arp.claimed(f"10.1.0.{host}", "02:00:00:00:00:01", NOW, unasked=False, counts=False)
        watch.arp.claimed(f"10.1.0.{host}", "02:00:00:00:00:02", NOW, unasked=False, counts=False)
    watch.tell_limits(frames=0, dropped=0)
    (limit,) = watch.events
    assert limit.fields["capture"]["unlisted_count"] == 3
    assert limit.fields["capture"]["unchecked_count"] == 2
    assert "left_out" not in limit.fields["capture"]


def test_made_up_servers_leave_room_for_what_a_known_one_changes() -> None:
    watch = on_the_lan(routers=[ROUTER], learn_seconds=0)
    for number in range(MOST_EVENTS + 1):
        watch._routers.spoke(f"fe80::{number:x}", INTRUDER, {}, NOW, {"ip": "fe80::", "mac": INTRUDER})
    for dns in ("a", "b"):
        watch._routers.spoke("fe80::1", ROUTER, {"dns": [dns]}, NOW, {"ip": "fe80::1", "mac": ROUTER})
    assert watch.events[-1].fields["neighbor_discovery"]["changed"] == ["dns"]


def test_a_server_of_the_settings_is_the_first_card_with_its_address() -> None:
    told: list[dict[str, Any]] = []
    first = Authorities(told.append, allowed=["10.0.0.2"], learnt=(), learn_until=0.0)
    first.spoke("10.0.0.2", ROUTER, {"dns": ["10.0.0.1"]}, NOW)
    first.spoke("10.0.0.2", INTRUDER, {"dns": ["10.0.0.66"]}, NOW)
    again = Authorities(told.append, allowed=["10.0.0.2"], learnt=first.learnt, learn_until=0.0)
    again.spoke("10.0.0.2", INTRUDER, {"dns": ["10.0.0.66"]}, NOW)
    again.spoke("10.0.0.2", ROUTER, {"dns": ["10.0.0.1"]}, NOW)
    assert [each["known"] for each in told] == [True, False, False, True]


def test_a_card_of_the_settings_that_names_another_address_has_not_said_what_the_server_says() -> None:
    told: list[dict[str, Any]] = []
    servers = Authorities(told.append, allowed=[ROUTER], learnt=(), learn_until=0.0)
    servers.spoke("10.0.0.2", ROUTER, {"dns": ["10.0.0.1"]}, NOW)
    servers.spoke("10.0.0.66", ROUTER, {"dns": ["10.0.0.66"]}, NOW)
    assert [(each["known"], each.get("changed")) for each in told] == [(True, None), (True, ["dns"])]


def test_an_address_and_its_card_of_the_settings_leave_no_other_card_known() -> None:
    told: list[dict[str, Any]] = []
    servers = Authorities(told.append, allowed=["10.0.0.2", ROUTER], learnt=(), learn_until=0.0)
    for mac in (ROUTER, INTRUDER):
        servers.spoke("10.0.0.2", mac, {}, NOW)
    assert [each["known"] for each in told] == [True, False]


def test_a_list_of_cards_makes_no_address_known() -> None:
    told: list[dict[str, Any]] = []
    servers = Authorities(told.append, allowed=[ROUTER], learnt=[f"10.0.0.2 {INTRUDER}"], learn_until=0.0)
    servers.spoke("10.0.0.2", INTRUDER, {}, NOW)
    servers.spoke("10.0.0.2", ROUTER, {}, NOW)
    assert [each["known"] for each in told] == [False, True]


def test_a_card_of_the_settings_may_speak_for_two_servers() -> None:
    told: list[dict[str, Any]] = []
    servers = Authorities(told.append, allowed=[ROUTER], learnt=(), learn_until=0.0)
    for number in range(6):
        server = number % 2
        servers.spoke(f"10.0.0.{2 + server}", ROUTER, {"dns": [f"10.0.{server}.1"]}, NOW)
    assert [each.get("changed") for each in told] == [None, ["dns"]]
    servers.spoke("10.0.0.2", ROUTER, {"dns": ["10.0.0.66"]}, NOW)
    assert (told[-1]["changed"], told[-1]["previous"]) == (["dns"], {"dns": ["10.0.0.1"]})


def test_a_relay_of_dhcpv6_may_speak_for_two_servers() -> None:
    watch = on_the_lan(learn_seconds=0)
    for number in range(6):
        duid, dns = f"000{number % 2}", f"2001:db8::{number % 2}"
        watch._take_dhcpv6(Dhcpv6Server(ROUTER, "fe80::1", duid, "reply", 1, "", 0, [dns], ""))
    assert [event.fields["dhcp"].get("changed") for event in watch.events] == [None, ["dns"]]


def advertised(*said: tuple[int, list[str], list[str]]) -> list[list[str] | None]:
    """What changed, by event, when a known router said this (lifetime, prefixes, name servers) one after the other."""
    watch = on_the_lan(routers=[ROUTER])
    for lifetime, prefixes, dns in said:
        watch._take_router(Router(ROUTER, "fe80::1", lifetime, False, False, "medium", prefixes, dns))
    return [event.fields["neighbor_discovery"].get("changed") for event in watch.events]


def test_a_router_may_say_a_part_at_a_time_and_restart() -> None:
    whole = (1800, ["a::/64", "b::/64"], ["a::1", "a::2"])
    parts = [(1800, ["b::/64"], []), (1800, [], ["a::2"]), (0, [], []), (1800, ["a::/64"], ["a::1"])]
    assert advertised(whole, *parts, whole) == [None]


def test_what_a_router_has_not_said_before_is_a_change_even_of_one_that_is_no_gateway() -> None:
    first = (1800, ["a::/64"], ["a::1"])
    assert advertised(first, (1800, ["a::/64"], ["a::66"]), first) == [None, ["dns"]]
    assert advertised(first, (0, [], ["a::66"])) == [None, ["dns"]]
    assert advertised(first, (1800, ["a::/64", "b::/64"], [])) == [None, ["prefixes"]]


def test_what_was_left_out_is_named_in_its_minute_alone() -> None:
    watch = on_the_lan()
    for kind in ("arp address_moved", "dhcp server_answered"):
        watch.untold[kind] += 1
        watch.tell_limits(frames=10, dropped=0)
    assert [event.fields["capture"]["left_out"] for event in watch.events] == [
        ["arp address_moved"],
        ["dhcp server_answered"],
    ]
