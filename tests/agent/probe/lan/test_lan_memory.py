"""What the part remembers of claims, servers and cards, and its bounds."""

from __future__ import annotations

from typing import Any

import pytest

from agent.probe.lan.authorities import REPEAT_SECONDS, Authorities
from agent.probe.lan.claims import CHECK_SECONDS, MANY_ADDRESSES, SETTLED_SECONDS, WINDOW_SECONDS, Claims
from agent.probe.lan.claims import REPEAT_SECONDS as CLAIM_REPEAT_SECONDS
from agent.probe.lan.devices import MOST_CARDS, Devices
from agent.probe.lan.run import BURST_SECONDS, ENTRIES_PER_SECOND, TELL_SECONDS, Pace
from agent.probe.lan.scan import ScanError, Turns, networks_of, targets
from agent.probe.lan.settings import Scan, Watch
from agent.probe.lan.watch import MOST_EVENTS, LanWatch

A, B, C = (f"52:54:00:00:00:0{number}" for number in (1, 2, 3))


class Heard:
    """A :class:`Claims` that keeps what it asks and tells."""

    def __init__(self, *gateways: str) -> None:
        self.asked: list[str] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.claims = Claims(
            self.asked.append, lambda *told: self.told.append(told), gateways=gateways, bound={}
        )


def test_an_address_that_a_lease_gave_away_is_told_with_one_answer() -> None:
    heard = Heard()
    heard.claims.claimed("10.0.0.9", A, 0.0, unasked=True)
    heard.claims.claimed("10.0.0.9", B, 500.0, unasked=True)
    heard.claims.run(501.0)
    assert heard.told == []
    heard.claims.run(500.0 + CHECK_SECONDS)
    ((action, told),) = heard.told
    assert (action, told["previous_mac"], told["mac"]) == ("address_moved", A, B)
    assert (told["answering_count"], told["previous_answers"]) == (1, False)
    assert heard.asked == ["10.0.0.9"]


def test_the_same_two_cards_are_told_of_once_in_a_while() -> None:
    heard = Heard("10.0.0.1")
    for now in range(0, int(CLAIM_REPEAT_SECONDS) - 10, 2):
        heard.claims.claimed("10.0.0.1", (A, B)[now // 2 % 2], float(now), unasked=False)
        heard.claims.run(float(now))
    assert len([told for told in heard.told if told[0] == "address_moved"]) == 1
    heard.claims.claimed("10.0.0.1", C, 1e4, unasked=False)
    heard.claims.run(1e4 + CHECK_SECONDS)
    assert heard.told[-1][1]["mac"] == C


def test_somebody_elses_question_is_a_sign_of_life_and_no_claim() -> None:
    heard = Heard()
    for number in range(20):
        heard.claims.claimed(f"10.0.0.{number}", A, 0.0, unasked=False, counts=False)
    assert heard.told == []


def claims_many(heard: Heard, mac: str, now: float, count: int) -> list[dict[str, Any]]:
    """What is told of a card that claims so many addresses within a second."""
    before = len(heard.told)
    for number in range(count):
        heard.claims.claimed(f"10.9.0.{number}", mac, now, unasked=True)
    return [body for action, body in heard.told[before:] if action == "addresses_claimed"]


def test_as_many_addresses_as_a_rule_asks_for_are_told_and_only_those_of_the_window_count() -> None:
    heard = Heard()
    assert claims_many(heard, A, 0.0, MANY_ADDRESSES - 1) == []
    assert claims_many(heard, A, WINDOW_SECONDS + 1, MANY_ADDRESSES - 1) == []
    (body,) = claims_many(heard, B, 0.0, MANY_ADDRESSES)
    assert (body["addresses_count"], body["unasked_count"]) == (MANY_ADDRESSES, MANY_ADDRESSES)
    (body,) = claims_many(heard, B, 1.0, 3 * MANY_ADDRESSES)
    assert body["addresses_count"] == 2 * MANY_ADDRESSES
    for _ in range(5_000):
        heard.claims.claimed("10.9.0.1", B, 2.0, unasked=True)
    card = heard.claims._cards[B]
    assert len(card.claims) == card.addresses.total() <= 1_024
    assert set(card.addresses) == {"10.9.0.1"}


def test_who_has_just_taken_the_gateways_address_is_not_the_gateway() -> None:
    heard = Heard("10.0.0.1")
    heard.claims.claimed("10.0.0.1", A, 0.0, unasked=True)
    heard.claims.claimed("10.0.0.1", B, 1.0, unasked=True)
    told = [claims_many(heard, mac, 2.0, 10)[0]["gateway_card"] for mac in (A, B)]
    assert told == [True, False]
    later = 3.0 + SETTLED_SECONDS
    heard.claims.claimed("10.0.0.1", B, later, unasked=True)
    assert claims_many(heard, B, later, 10)[0]["gateway_card"], "a router that was replaced"
    heard.claims.claimed("10.0.0.2", C, later, unasked=True)
    heard.claims.look_after({"10.0.0.2"})
    assert claims_many(heard, C, later, 10)[0]["gateway_card"]


@pytest.mark.parametrize("entries", [5, 250, 4_096])
def test_a_stranger_in_a_quiet_lan_is_told_at_once_and_a_flood_of_them_slowly(entries: int) -> None:
    pace = Pace(0.0)
    now, told = 1_000.0, []
    assert pace.due <= now
    while now < 4_600.0:
        pace.told(entries, now)
        told.append(now)
        assert pace.due - now >= TELL_SECONDS
        now = pace.due
    assert len(told) * entries <= (3_600 + BURST_SECONDS) * ENTRIES_PER_SECOND + entries
    # At rest for as long as what was told costs, the next one goes at once again.
    assert pace.due - told[-1] <= max(TELL_SECONDS, entries / ENTRIES_PER_SECOND + TELL_SECONDS)
    if entries <= 250:
        assert told[1] - told[0] == TELL_SECONDS


def spoken(**settings: Any) -> tuple[Authorities, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    values: dict[str, Any] = {"allowed": (), "learnt": (), "learn_until": 0.0, **settings}
    return Authorities(told.append, **values), told


def test_what_speaks_while_it_learns_is_known_from_then_on() -> None:
    servers, told = spoken(learn_until=100.0)
    servers.spoke("10.0.0.1", A, {"dns": []}, 50.0)
    servers.spoke("10.0.0.2", B, {"dns": []}, 150.0)
    assert [(each["known"], each["baseline"]) for each in told] == [(True, True), (False, False)]
    later, told = spoken(learnt=servers.learnt)
    later.spoke("10.0.0.1", A, {"dns": []}, 1e6)
    later.spoke("10.0.0.1", B, {"dns": []}, 1e6)
    assert [(each["known"], each["baseline"]) for each in told] == [(True, False), (False, False)]


def test_a_list_of_the_settings_is_all_that_is_known() -> None:
    servers, told = spoken(allowed=["10.0.0.1", C.upper()], learn_until=1e9)
    for ip, mac in (("10.0.0.1", A), ("10.0.0.9", C), ("10.0.0.9", B)):
        servers.spoke(ip, mac, {}, 0.0)
    assert [each["known"] for each in told] == [True, True, False]


def test_a_known_one_is_told_when_it_says_something_else_and_an_unknown_one_again() -> None:
    servers, told = spoken(allowed=["10.0.0.1"])
    for now, dns in ((0.0, "a"), (1.0, "a"), (2.0, "b")):
        servers.spoke("10.0.0.1", A, {"dns": [dns], "routers": []}, now)
    assert len(told) == 2
    assert (told[1]["changed"], told[1]["previous"]) == (["dns"], {"dns": ["a"]})
    for now in (3.0, 4.0, 3.0 + REPEAT_SECONDS):
        servers.spoke("10.0.0.6", B, {}, now)
    assert [each["known"] for each in told[2:]] == [False, False]


def test_who_says_nothing_of_it_has_changed_nothing() -> None:
    servers, told = spoken(allowed=["10.0.0.1"])
    for says in ({}, {"dns": ["a"]}, {}, {"dns": ["a"]}, {"dns": ["b"]}):
        servers.spoke("10.0.0.1", A, says, 0.0)
    assert [each.get("changed") for each in told] == [None, ["dns"]]


def test_made_up_servers_keep_no_other_from_being_told_and_push_no_known_one_out() -> None:
    servers, told = spoken(learn_until=100.0)
    servers.spoke("10.0.0.1", A, {"dns": ["a"]}, 1.0)
    for number in range(500):
        servers.spoke(f"10.8.{number >> 8}.{number & 255}", B, {}, 200.0)
    servers.spoke("10.0.0.66", C, {}, 201.0)
    assert (told[-1]["known"], len(told)) == (False, 502)
    servers.spoke("10.0.0.1", A, {"dns": ["b"]}, 202.0)
    assert (told[-1]["known"], told[-1]["changed"]) == (True, ["dns"])
    assert told[-1]["others_count"] < 64
    learning, _ = spoken(learn_until=100.0)
    for number in range(500):
        learning.spoke(f"10.8.{number >> 8}.{number & 255}", B, {}, 1.0)
    assert len(learning.learnt) <= 64


def test_made_up_cards_find_no_more_room() -> None:
    devices = Devices()
    for number in range(MOST_CARDS + 5):
        devices.heard(f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}", "", "arp", 0.0)
    assert (len(devices), devices.untold) == (MOST_CARDS, 5)
    assert len(devices.entries("eth0")) == MOST_CARDS
    devices.forget(1.0)
    assert len(devices) == 0


def test_a_device_is_told_with_its_names_and_only_news_is_a_change() -> None:
    devices = Devices()
    devices.heard(A, "10.0.0.9", "arp", 0.0)
    devices.heard(A, "", "dhcp", 1.0, name="may-01", vendor_class="MSFT 5.0")
    devices.heard(A, "fe80::9", "nd", 2.0)
    first, second = devices.entries("eth0")
    assert first == {
        "ip": "10.0.0.9",
        "mac": A,
        "interface": "eth0",
        "seen": ["arp", "dhcp", "nd"],
        "names": ["may-01"],
        "vendor_class": "MSFT 5.0",
    }
    assert second == {"ip": "fe80::9", "mac": A, "interface": "eth0"}
    devices.changed = False
    devices.heard(A, "10.0.0.9", "arp", 3.0)
    assert devices.changed is False
    assert devices.addresses(silent_since=2.5) == ["fe80::9"]


def test_scans_stay_within_bounds() -> None:
    assert [str(each) for each in networks_of(Scan(), ["10.1.2.3/8"])] == ["10.1.0.0/22"]
    asked = targets(
        networks_of(Scan(networks=["10.0.0.0/29"]), []), ["10.0.0.2", "10.0.0.4/31"], {"10.0.0.1"}
    )
    assert asked == ["10.0.0.3", "10.0.0.6"]
    with pytest.raises(ScanError, match=r"addresses"):
        networks_of(Scan(networks=["10.0.0.0/8"]), [])
    with pytest.raises(ScanError, match=r"nonsense"):
        networks_of(Scan(networks=["nonsense"]), [])


def test_a_scan_asks_everybody_once_and_the_silent_ones_again() -> None:
    turns = Turns(["a", "b", "c"])
    asked: list[str] = []

    def silent() -> list[str]:
        asked.append("once")
        return ["b"]

    assert sorted(str(turns.next(silent)) for _ in range(3)) == ["a", "b", "c"]
    assert not asked, "who is silent is known when all were asked, and costs nothing before"
    assert [turns.next(silent), turns.next(silent)] == ["b", None]
    assert asked == ["once"]


def test_a_flood_of_claims_is_told_in_part_and_counted() -> None:
    watch = LanWatch(Watch(), {}, interface="eth0", mac=C, send=lambda _frame: None, gateways=[], now=0.0)
    for number in range(MOST_EVENTS + 7):
        mac = f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
        for host in range(MANY_ADDRESSES):
            watch.arp.claimed(f"10.0.{number}.{host}", mac, 1.0, unasked=True)
    assert (len(watch.events), watch.untold) == (MOST_EVENTS, {"arp addresses_claimed": 7})
