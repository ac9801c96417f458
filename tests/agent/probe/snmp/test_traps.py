"""Traps and informs by net-snmp's own sender, to the real listener."""

from __future__ import annotations

import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from gufo.snmp import Aes128Key, Sha256Key, User

from agent.probe.snmp.notifications import event_of, value_name
from agent.probe.snmp.settings import Traps
from tests.support.netns import wait_for
from tests.support.snmp import free_port, snmpd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.probe.snmp.values import Value
    from tests.agent.probe.snmp.conftest import Site

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
