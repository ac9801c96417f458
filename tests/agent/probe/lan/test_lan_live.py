"""The part ``lan`` on a LAN of its own: real hosts, real DHCP servers and routers, and packets that scapy forges."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.l2 import ARP, Ether

from tests.support.netns import NETWORK, NETWORK6, Lan, lan, wait_for
from tests.support.part import PartProcess, first, part_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.messages import Event
    from tests.support.netns import Host

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces")
QUIET = {"dhcp_probe_seconds": 0, "learn_seconds": 0}


@pytest.fixture
def net() -> Iterator[Lan]:
    with lan() as made:
        made.gateway = made.host("gw", 1)  # type: ignore[attr-defined]
        made.probe = made.host("probe", 5, gateway=1)  # type: ignore[attr-defined]
        yield made


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"{program} is not on this machine")


@contextmanager
def watching(net: Any, folder: Path, *, watch: dict[str, Any] = QUIET, **more: Any) -> Iterator[PartProcess]:
    """The part on the host ``probe``, its first scan done."""
    # A scan of so few addresses is over at once, and all that these tests are about is among them.
    scan = {"networks": [f"{NETWORK}.0/28"], **more.pop("scan", {})}
    with part_process(net.probe, "lan", {"scan": scan, "watch": watch}, folder, **more) as part:
        wait_for(lambda: part.documents("neighbours"), what="a first scan")
        yield part


def entries(part: PartProcess) -> list[dict[str, Any]]:
    """Of the newest table."""
    body = part.documents("neighbours")[-1].body
    assert body is not None
    found: list[dict[str, Any]] = body["entries"]
    return found


def macs(part: PartProcess) -> set[str]:
    return {entry["mac"] for entry in entries(part)}


def send(host: Host, *packets: Any) -> None:
    import socket

    with host.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for packet in packets:
            raw.send(bytes(packet))


@contextmanager
def insisting(host: Host, packet: Any, every: float = 0.5) -> Iterator[None]:
    """``host`` sends the packet again and again."""
    stop = threading.Event()

    def go() -> None:
        while not stop.is_set():
            send(host, packet)
            stop.wait(every)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def announcement(host: Host, ip: str) -> Any:
    """An answer to all that nobody asked for."""
    frame = Ether(src=host.mac, dst="ff:ff:ff:ff:ff:ff")
    return frame / ARP(op=2, hwsrc=host.mac, psrc=ip, hwdst="ff:ff:ff:ff:ff:ff", pdst=ip)


def test_a_whole_network_is_found_within_seconds_and_a_new_device_at_once(net: Any, tmp_path: Path) -> None:
    hosts = [net.host(f"h{number}", number) for number in (20, 77, 254)]
    began = time.monotonic()
    with watching(net, tmp_path, scan={"networks": []}) as part:
        took = time.monotonic() - began
        assert {host.mac for host in [*hosts, net.gateway]} <= macs(part)
        assert net.probe.mac not in macs(part)
        entry = next(e for e in entries(part) if e["ip"] == f"{NETWORK}.77")
        assert (entry["mac"], entry["interface"]) == (hosts[1].mac, "eth0")
        assert "arp" in entry["seen"]
        assert took >= 253 / 100, "more than a hundred packets a second"
        late = net.host("late")
        send(late, Ether(src=late.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=late.mac, psrc="0.0.0.0"))
        wait_for(lambda: late.mac in macs(part), what="the new device")
        assert part.failures() == []
        assert part.stop() == 0


def test_another_card_at_the_gateways_address_is_told_even_if_it_came_while_the_probe_was_away(
    net: Any, tmp_path: Path
) -> None:
    evil = net.host("evil", 6)
    memories = {"lan_watch": {"since": 1.0, "gateways": {net.gateway.ip: "52:54:00:77:77:77"}}}
    with watching(net, tmp_path, memories=memories) as part:
        told = wait_for(first(lambda: part.events("arp", "address_moved"))).fields["arp"]
        assert (told["mac"], told["previous_mac"]) == (net.gateway.mac, "52:54:00:77:77:77")
        assert told["previous_answers"] is False
        wait_for(lambda: part.memories["lan_watch"]["gateways"] == {net.gateway.ip: net.gateway.mac})

        send(evil, announcement(evil, net.gateway.ip))
        event = wait_for(first(lambda: part.events("arp", "address_moved")[1:]))
        told = event.fields["arp"]
        assert (told["ip"], told["mac"], told["previous_mac"]) == (net.gateway.ip, evil.mac, net.gateway.mac)
        assert told["gateway"] is True
        assert told["previous_answers"] is True
        assert told["answering_count"] == 2
        assert event.fields["probe"] == {"part": "lan", "interface": "eth0"}


def test_who_insists_on_anothers_address_is_told_apart_from_a_duplicate(net: Any, tmp_path: Path) -> None:
    victim, evil = net.host("pc", 7), net.host("evil", 8)
    printer, copy = net.host("prn", 9), net.host("copy", 10)
    with watching(net, tmp_path) as part:
        copy.run("ip", "addr", "add", f"{printer.ip}/24", "dev", "eth0")
        send(copy, announcement(copy, printer.ip))
        with insisting(evil, announcement(evil, victim.ip)):
            wait_for(lambda: len(part.events("arp", "address_moved")) == 2)
        told = {event.fields["arp"]["ip"]: event.fields["arp"] for event in part.events("arp")}
    assert (told[victim.ip]["mac"], told[victim.ip]["gateway"]) == (evil.mac, False)
    assert told[victim.ip]["previous_answers"] is True
    assert told[victim.ip]["unasked_count"] >= 3
    assert sorted(told[printer.ip]["answering"]) == sorted([printer.mac, copy.mac])
    assert told[printer.ip]["unasked_count"] < 3


def test_a_card_that_claims_everybody_is_told_once(net: Any, tmp_path: Path) -> None:
    evil = net.host("evil", 8)
    with watching(net, tmp_path) as part:
        send(evil, *(announcement(evil, f"{NETWORK}.{number}") for number in range(100, 112)))
        event = wait_for(first(lambda: part.events("arp", "addresses_claimed")))
        assert event.fields["arp"]["mac"] == evil.mac
        assert event.fields["arp"]["addresses_count"] >= 8
        assert event.fields["arp"]["gateway_card"] is False


def dnsmasq(host: Host, *options: str) -> None:
    host.start(
        "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces",
        f"--dhcp-range={NETWORK}.100,{NETWORK}.120,1h", "--dhcp-leasefile=/dev/null", "--user=root", "--no-ping",
        *options,
    )  # fmt: skip


def test_a_dhcp_server_that_is_not_known_is_told_and_the_known_one_is_not(net: Any, tmp_path: Path) -> None:
    needs("dnsmasq")
    rogue = net.host("rogue", 6)
    dnsmasq(net.gateway)
    watch = {"dhcp_servers": [net.gateway.ip], "dhcp_probe_seconds": 5}
    with watching(net, tmp_path, watch=watch) as part:

        def answers() -> dict[str, Event]:
            return {event.fields["dhcp"]["server"]["ip"]: event for event in part.events("dhcp")}

        wait_for(lambda: net.gateway.ip in answers(), 60, what="the known server")
        dnsmasq(rogue, f"--dhcp-option=3,{rogue.ip}", "--dhcp-option=6,192.0.2.53")
        wait_for(lambda: rogue.ip in answers(), 60, what="the rogue server")
        known, unknown = (answers()[ip].fields["dhcp"] for ip in (net.gateway.ip, rogue.ip))
        assert (known["known"], unknown["known"]) == (True, False)
        assert unknown["server"] == {"ip": rogue.ip, "mac": rogue.mac}
        assert (unknown["routers"], unknown["dns"]) == ([rogue.ip], ["192.0.2.53"])
        assert (unknown["message"], unknown["others_count"]) == ("offer", 1)
        assert known["asked"] or unknown["asked"]


def test_a_dhcpv6_server_that_is_not_known_is_told_and_the_known_one_is_not(net: Any, tmp_path: Path) -> None:
    needs("dnsmasq")
    rogue = net.host("rogue", 6)

    def serve(host: Host, dns: str) -> None:
        host.start(
            "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces",
            f"--dhcp-range={NETWORK6}1000,{NETWORK6}10ff,64,1h", "--dhcp-leasefile=/dev/null", "--user=root",
            f"--dhcp-option=option6:dns-server,[{dns}]", "--dhcp-option=option6:domain-search,so.lan,xa.lan",
        )  # fmt: skip

    serve(net.gateway, "2001:db8::53")
    watch = {"dhcpv6_servers": [net.gateway.mac], "dhcp_probe_seconds": 5, "learn_seconds": 0}
    with watching(net, tmp_path, watch=watch) as part:

        def answers() -> dict[str, Event]:
            found = [event for event in part.events("dhcp") if event.fields["network"]["type"] == "ipv6"]
            return {event.fields["dhcp"]["server"]["mac"]: event for event in found}

        wait_for(lambda: net.gateway.mac in answers(), 60, what="the known server")
        serve(rogue, "2001:db8:66::53")
        wait_for(lambda: rogue.mac in answers(), 60, what="the rogue server")
        known, unknown = (answers()[mac].fields["dhcp"] for mac in (net.gateway.mac, rogue.mac))
        assert (known["known"], unknown["known"]) == (True, False)
        assert known["dns"] == ["2001:db8::53"]
        assert (unknown["dns"], unknown["domain"]) == (["2001:db8:66::53"], "so.lan xa.lan")
        assert known["asked"] or unknown["asked"]
        assert (unknown["baseline"], unknown["server"]["ip"][:5]) == (False, "fe80:")
        # Both questions are answered; a server that came in between has heard the second one alone.
        lease = (unknown["message"], unknown["lease_seconds"], unknown["offered_ip"].startswith(NETWORK6))
        assert lease in (("advertise", 3600, True), ("reply", 0, False))
        assert unknown["server"]["duid"]
        assert "changed" not in known


def test_a_router_that_came_after_the_network_was_learnt_is_told(net: Any, tmp_path: Path) -> None:
    needs("radvd")
    rogue = net.host("rogue", 6)
    config = tmp_path / "radvd.conf"
    config.write_text(
        "interface eth0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;"
        " prefix 2001:db8:66::/64 {}; RDNSS 2001:db8:66::53 {}; };"
    )
    rogue.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    radvd = ("radvd", "-n", "-C", str(config), "-p", str(tmp_path / "radvd.pid"), "-m", "stderr")
    with watching(net, tmp_path) as part:
        rogue.start(*radvd)
        event = wait_for(first(lambda: part.events("neighbor_discovery", "router_advertised")))
        told = event.fields["neighbor_discovery"]
        assert event.fields["source"]["mac"] == rogue.mac
        assert (told["known"], told["baseline"]) == (False, False)
        assert (told["prefixes"], told["dns"]) == (["2001:db8:66::/64"], ["2001:db8:66::53"])


def test_an_interface_that_is_not_there_is_said_and_looked_for(net: Any, tmp_path: Path) -> None:
    settings = {"scan": {"interface": "eth7"}}
    with part_process(net.probe, "lan", settings, tmp_path) as part:
        wait_for(lambda: any("eth7" in failure for failure in part.failures()))
        assert part.stop() == 0
