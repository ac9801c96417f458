"""Real agents are asked: net-snmp's with v3, and snmpsim with three switches; one that is silent delays nobody."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from gufo.snmp import Aes128Key, Sha256Key, User

from agent.probe.snmp.profiles import profile_named, profile_names, profile_of
from tests.support.netns import wait_for
from tests.support.snmp import free_port, mac, simulator, snmpd, three_switches

if TYPE_CHECKING:
    from pathlib import Path

    from tests.agent.probe.snmp.conftest import Site


def rows(body: dict[str, Any] | None, table: str, *keys: str) -> list[tuple[Any, ...]]:
    assert body is not None
    return [tuple(row[key] for key in keys) for row in body[table]]


def test_three_switches_tell_who_they_are_what_joins_them_and_who_is_behind_their_ports(
    site: Site, tmp_path: Path
) -> None:
    devices = dict(zip(("loi", "tang1", "tang2"), three_switches(), strict=True))
    with (
        simulator(tmp_path / "sim", devices) as port,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
    ):
        silent.bind(("127.0.0.1", 0))
        site.community("silent", "x")
        # Those that do not answer come first, and one device is asked at once.
        for number in range(5):
            site.device(f"silent-{number}", "silent", silent.getsockname()[1])
        for community, device in devices.items():
            site.community(community, community)
            site.device(device.name, community, port)
        with site.running(concurrency=1, unanswered_polls=1, timeout_seconds=5.0) as part:
            began = time.monotonic()
            kinds = ("network_device", "network_addresses", "network_arp")
            wait_for(
                lambda: all(
                    (kind, each.name) in part.documents for each in devices.values() for kind in kinds
                ),
                25,
            )
            # Ten seconds is the interval over which they begin; forty silent ones alone would take twenty at once.
            assert time.monotonic() - began < 18
            wait_for(lambda: ("network_device", "silent-0") in part.documents, 25)
            # The way to a switch that speaks no LLDP shows when its own MACs are known.
            wait_for(
                lambda: (
                    ("Gi1/0/2", True)
                    in rows(part.documents["network_device", "sw-loi"], "interfaces", "name", "uplink")
                )
            )
    core = part.documents["network_device", "sw-loi"]
    assert core is not None
    assert (core["vendor"], core["model"], core["serial_number"], core["firmware"], core["kind"]) == (
        "Cisco",
        "WS-C3750X-24",
        "FDO1628K0Q1",
        "15.2(4)E8",
        "switch",
    )
    assert rows(core, "interfaces", "name", "status", "uplink")[:3] == [
        ("Gi1/0/1", "up", True),
        ("Gi1/0/2", "up", True),
        ("Gi1/0/3", "up", False),
    ]
    assert rows(core, "neighbours", "interface", "chassis", "port", "network") == [
        ("Gi1/0/1", mac(0x200), "Gi0/1", True)
    ]
    first = part.documents["network_addresses", "sw-tang-1"]
    assert rows(first, "entries", "name", "interface", "uplink", "new")[:3] == [
        (mac(11), "Gi0/2", False, False),
        (mac(12), "Gi0/3", False, False),
        (mac(13), "Gi0/3", False, False),
    ]
    assert rows(part.documents["network_arp", "sw-loi"], "entries", "ip", "mac") == [
        ("10.77.1.11", mac(11)),
        ("10.77.1.21", mac(21)),
    ]
    silent_one = part.documents["network_device", "silent-0"]
    assert silent_one is not None
    assert (silent_one["reachable"], silent_one["reason"]) == (False, "it does not answer SNMP")


def test_net_snmp_is_asked_with_version_3_and_a_wrong_key_is_said_to_be_refused(
    site: Site, tmp_path: Path
) -> None:
    user = User("giamsat", auth_key=Sha256Key(b"matkhau123"), priv_key=Aes128Key(b"khoamat123"))
    with snmpd(
        tmp_path / "snmpd", f"{user.snmpd_create_user}\n{user.snmpd_rouser}\nsysLocation Tang 1"
    ) as port:
        site.user("right", "giamsat", "matkhau123", "khoamat123")
        site.user("wrong", "giamsat", "matkhau124", "khoamat123")
        site.device("may-chu", "right", port)
        site.device("sai-khoa", "wrong", port)
        with site.running(unanswered_polls=1) as part:
            wait_for(lambda: len({item for _, item in part.documents}) == 2)
    right, wrong = part.documents["network_device", "may-chu"], part.documents["network_device", "sai-khoa"]
    assert right is not None
    assert wrong is not None
    assert (right["reachable"], right["location"], right["product"]) == (True, "Tang 1", "Net-SNMP")
    assert right["interfaces"]
    assert (wrong["reachable"], "interfaces" in wrong and wrong["interfaces"]) == (False, [])
    assert "refuses" in wrong["reason"] or "does not answer" in wrong["reason"]
    everything = str([(said.source, bytes(said.output), said.failure) for said in part.said])
    assert "matkhau" not in everything
    assert "khoamat" not in everything


def test_a_secret_that_others_may_read_is_not_used_and_said(site: Site) -> None:
    site.community("open", "bimat")
    (site.folder / "secret-open").chmod(0o644)
    site.device("sw", "open", free_port())
    with site.running() as part:
        wait_for(lambda: part.failures)
    assert "others may read it" in part.failures[0]
    assert "bimat" not in part.failures[0]


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_can_be_read_and_is_found_by_its_own_beginnings(name: str) -> None:
    profile = profile_named(name)
    assert all(profile_of(f"{each}.7") == name for each in profile.match)


def test_what_nobody_knows_is_asked_as_any_device() -> None:
    assert profile_of("1.3.6.1.4.1.99999.1") == "generic"
    assert profile_of("1.3.6.1.4.1.9.10") == "generic"
    assert profile_of("") == "generic"
