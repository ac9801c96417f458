"""Traps and informs by net-snmp's own sender, to the real listener."""

from __future__ import annotations

import socket
import subprocess
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from gufo.snmp import Aes128Key, Sha256Key, User
from pysnmp.carrier.asyncio.dgram.udp import UdpTransport

from agent.probe.snmp import traps
from agent.probe.snmp.credentials import read_secret
from agent.probe.snmp.notifications import event_of, value_name
from agent.probe.snmp.senders import Senders
from agent.probe.snmp.settings import Credential, Credentials, Device, Devices, Poll, SnmpSettings, Traps
from tests.support.netns import wait_for
from tests.support.snmp import free_port, snmpd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.collectors.registry import Output
    from agent.probe.snmp.values import Value
    from tests.agent.probe.snmp.conftest import Running, Site

LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
AUTHENTICATION_FAILURE = "1.3.6.1.6.3.1.1.5.5"
V3 = (
    "-v3",
    "-u",
    "giamsat",
    "-l",
    "authPriv",
    "-a",
    "SHA-256",
    "-A",
    "matkhau123",
    "-x",
    "AES",
    "-X",
    "khoamat123",
)
ENGINE = "0x8000000001020304"


def notify(port: int, *arguments: str, program: str = "snmptrap", check: bool = True, wait: int = 1) -> int:
    head = arguments[: arguments.index("--")] if "--" in arguments else arguments
    tail = arguments[len(head) + 1 :]
    done = subprocess.run(
        [program, "-m", "", "-r", "0", "-t", str(wait), *head, f"127.0.0.1:{port}", "", *tail],
        env={"SNMP_PERSISTENT_DIR": "/nonexistent", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done.returncode


def test_traps_and_informs_of_known_senders_are_told_and_others_are_counted(site: Site) -> None:
    site.community("core", "bimat")
    site.user("v3", "giamsat", "matkhau123", "khoamat123")
    site.device("sw-loi", "core", free_port())
    port = free_port()
    with site.running(traps=Traps(enabled=True, address="127.0.0.1", port=port)) as part:
        # The first telling of counts: it listens.
        wait_for(lambda: any(metric.name == "snmp_traps.ignored_count" for metric in part.metrics))
        interface = ("1.3.6.1.2.1.2.2.1.1.3", "i", "3", "1.3.6.1.2.1.31.1.1.1.1.3", "s", "Gi0/3")
        notify(port, "-v2c", "-c", "nham", "--", AUTHENTICATION_FAILURE)
        notify(port, "-v2c", "-c", "bimat", "--", LINK_DOWN, *interface)
        wait_for(lambda: len(part.events) >= 1)
        trap = part.events[0].fields["snmp_trap"]
        assert (trap["name"], trap["oid"], trap["inform"], trap["interface"]) == (
            "linkDown",
            LINK_DOWN,
            False,
            "Gi0/3",
        )
        assert {"name": "ifIndex", "value": "3"} in trap["values"]
        assert part.events[0].fields["observer"] == {"ip": "127.0.0.1", "name": "sw-loi"}
        assert part.events[0].logsource.category == "snmp_trap"

        # An inform is acknowledged, but not before its event is kept.
        kept = threading.Event()
        part.before_events = lambda: (kept.wait(1.0), None)[1]
        result: list[int] = []
        sender = threading.Thread(
            target=lambda: result.append(
                notify(port, *V3, "--", AUTHENTICATION_FAILURE, program="snmpinform", check=False, wait=10)
            )
        )
        sender.start()
        wait_for(lambda: len(part.said) and part.said[-1].found().events and len(part.events) == 1)
        assert result == []
        kept.set()
        sender.join(20)
        assert result == [0]
        trap = part.events[1].fields["snmp_trap"]
        assert (trap["name"], trap["inform"], trap["user"], trap["level"]) == (
            "authenticationFailure",
            True,
            "giamsat",
            "authPriv",
        )
        # The user without his keys is nobody.
        assert notify(
            port,
            *("-v3", "-u", "giamsat", "-l", "noAuthNoPriv", "--", LINK_DOWN),
            program="snmpinform",
            check=False,
        )
        assert len(part.events) == 2


def test_a_sender_that_is_no_device_is_not_believed(site: Site) -> None:
    site.community("core", "bimat")
    port = free_port()
    with site.running(traps=Traps(enabled=True, address="127.0.0.1", port=port)) as part:
        wait_for(lambda: any(metric.name == "snmp_traps.ignored_count" for metric in part.metrics))
        assert notify(port, "-v2c", "-c", "bimat", "--", LINK_DOWN, program="snmpinform", check=False)
        assert part.events == []


def test_datagrams_of_strangers_and_of_a_flood_are_counted_before_they_are_decoded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.community("core", "bimat")
    site.device("sw-loi", "core", free_port())
    decoded: list[bytes] = []
    received = UdpTransport.datagram_received

    def watched(self: Any, datagram: bytes, sender: Any) -> None:
        decoded.append(datagram)
        received(self, datagram, sender)

    # What pysnmp is given it decodes.
    monkeypatch.setattr(UdpTransport, "datagram_received", watched)
    monkeypatch.setattr(traps, "_COUNT_SECONDS", 0.5)
    port = free_port()

    def counted(part: Running) -> dict[str, float]:
        return {
            each.attributes["reason"]: each.value
            for each in list(part.metrics)
            if each.name == "snmp_traps.ignored_count"
        }

    with (
        site.running(traps=Traps(enabled=True, address="127.0.0.1", port=port, per_second=1)) as part,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as known,
    ):
        wait_for(lambda: counted(part), 60)
        stranger.bind(("127.0.0.77", 0))
        known.bind(("127.0.0.1", 0))
        for _ in range(50):
            stranger.sendto(b"\x30\x82\xff\xff", ("127.0.0.1", port))
        wait_for(lambda: counted(part)["unknown_sender"] == 50, 60)
        assert decoded == []
        # Nonsense neither ends the listening nor is it told.
        for _ in range(50):
            known.sendto(b"\x30\x82\xff\xff", ("127.0.0.1", port))
        wait_for(lambda: counted(part)["too_many"] + len(decoded) == 50, 60)
        assert 1 <= len(decoded) < 50
        wait_for(lambda: (notify(port, "-v2c", "-c", "bimat", "--", LINK_DOWN), part.events)[1], 60)


def test_a_community_is_not_taken_of_a_device_that_is_asked_with_version_3() -> None:
    core = Credential("core", "2c", community_file="x")
    user = Credential("user", "3", user="u", auth_file="x", privacy_file="x")
    devices = Devices((Device("a", "10.0.0.1", "core"), Device("b", "10.0.0.2", "user")))

    def strict(*names: str) -> list[bool]:
        settings = SnmpSettings(Poll(), Credentials((core, user)), devices, Traps(credentials=names))
        return [Senders(settings).needs_version_3(each.address) for each in devices.device]

    assert strict() == [False, True]
    assert strict("user") == [False, True]
    # Where the settings name a community's credential for traps, that is meant.
    assert strict("core", "user") == [False, False]


def test_the_rate_is_of_each_sender_and_networks_may_send_too() -> None:
    traps_settings = Traps(networks=("10.1.0.0/16",), per_second=2)
    senders = Senders(SnmpSettings(traps=traps_settings))
    assert [senders.admits("10.1.2.3", 1.0 + at / 10) for at in range(3)] == [True, True, False]
    assert senders.admits("10.1.2.4", 1.3)
    assert senders.admits("10.1.2.3", 2.15)
    assert not senders.admits("10.2.0.1", 3.0)
    assert (senders.unknown, senders.too_many) == (1, 1)


def test_counts_that_the_agent_refuses_and_a_port_that_is_taken_do_not_end_the_listening(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.community("core", "bimat")
    site.device("sw-loi", "core", free_port())
    monkeypatch.setattr(traps, "_COUNT_SECONDS", 0.2)
    monkeypatch.setattr(traps, "_PAUSE_SECONDS", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
        with site.running(traps=Traps(enabled=True, address="127.0.0.1", port=port)) as part:
            wait_for(lambda: part.failures, 60)
            refused: list[Output] = []

            def refuse(found: Output) -> str:
                refused.extend([found] if found.metrics else [])
                return "no" if found.metrics else ""

            part.refuse = refuse
            taken.close()
            wait_for(lambda: len(refused) > 2, 60)
            wait_for(lambda: (notify(port, "-v2c", "-c", "bimat", "--", LINK_DOWN), part.events)[1], 60)


def test_a_device_that_is_another_engine_each_time_is_not_followed_for_ever(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.user("v3", "giamsat", "matkhau123", "khoamat123")
    added: list[bytes] = []
    monkeypatch.setattr(traps, "_add_user", lambda _made, _secret, engine_id: added.append(engine_id))
    settings = SnmpSettings(credentials=Credentials(tuple(site.credentials)))
    context: Any = SimpleNamespace(settings=settings)
    engines = {"b": b"b"}
    receiver = traps._Receiver(context, {"v3": read_secret(site.credentials[0])}, engines)
    for number in range(100):
        engines["a"] = b"%d" % number
        receiver._learn_engines(None)
    assert added == [b"b", b"0", b"1", b"2", b"3"]


def test_two_credentials_of_one_user_ask_for_the_higher_level(site: Site) -> None:
    site.user("v3", "giamsat", "matkhau123", "khoamat123")
    plain = msgspec.structs.replace(site.credentials[0], name="plain", privacy="none", privacy_file="")
    site.credentials.append(plain)
    context: Any = SimpleNamespace(settings=SnmpSettings(credentials=Credentials(tuple(site.credentials))))
    secrets = {each.name: read_secret(each) for each in site.credentials}
    assert traps._Receiver(context, secrets, {})._levels == {"giamsat": 3}


def test_a_version_3_trap_is_of_the_engine_of_a_device_that_is_polled(site: Site, tmp_path: Path) -> None:
    user = User("giamsat", auth_key=Sha256Key(b"matkhau123"), priv_key=Aes128Key(b"khoamat123"))
    site.user("v3", "giamsat", "matkhau123", "khoamat123")
    port = free_port()
    configuration = f"{user.snmpd_create_user}\n{user.snmpd_rouser}\nengineID vonggac-thu"
    with snmpd(tmp_path / "snmpd", configuration) as agent:
        site.device("may-chu", "v3", agent)
        with site.running(traps=Traps(enabled=True, address="127.0.0.1", port=port)) as part:
            wait_for(lambda: ("network_device", "may-chu") in part.documents)
            engine = "0x80001f88" + "04" + b"vonggac-thu".hex()
            wait_for(lambda: _sent(port, engine, part.events), 10)
        assert part.events[0].fields["snmp_trap"]["level"] == "authPriv"


def _sent(port: int, engine: str, events: Sequence[object]) -> bool:
    notify(port, *V3, "-e", engine, "--", LINK_DOWN)
    return bool(events)


def test_what_a_trap_says_becomes_text_of_limited_length() -> None:
    values: list[tuple[str, Value]] = [
        ("1.3.6.1.6.3.1.1.4.1.0", "1.3.6.1.4.1.99999.0.1"),
        ("1.3.6.1.2.1.2.2.1.2.7", b"<b>\x1b[31m" + b"x" * 5000),
        *((f"1.3.6.1.4.1.99999.1.{number}", number) for number in range(100)),
    ]
    event = event_of("10.0.0.1", "", "", "", values, 1.0, inform=False)
    trap = event.fields["snmp_trap"]
    assert trap["name"] == ""
    assert len(trap["values"]) == 32
    assert "\x1b" not in trap["interface"]
    assert len(trap["interface"]) == 64


@pytest.mark.parametrize(
    ("oid", "name"),
    [
        ("1.3.6.1.2.1.2.2.1.1.3", "ifIndex"),
        ("1.3.6.1.4.1.9.2.1.5.0", "authAddr"),
        ("1.3.6.1.9.9", "1.3.6.1.9.9"),
    ],
)
def test_a_value_has_the_name_of_its_column(oid: str, name: str) -> None:
    assert value_name(oid) == name
