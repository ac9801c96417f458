"""Real sockets of this machine, and tables as the kernel writes them."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import reasons
from agent.collectors import listening
from agent.collectors.common.sockets import (
    Owner,
    Socket,
    ask_sockets,
    find_owners,
    parse_answer,
    parse_sockets,
)
from agent.collectors.listening import EPHEMERAL_SECONDS, GONE_SECONDS, parse_range, rows_of
from tests.agent.collectors.support import FakeClock, context, write

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
SSH = "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4101 1 0 100\n"
DATABASE = "   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   109        0 4102 1 0 100\n"
OPEN = "   2: 0100007F:1538 0100007F:A0DE 01 00000000:00000000 00:00000000 00000000   109        0 4103 1 0 20 4 30\n"
SSH6 = (
    "   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 "
    "00:00000000 00000000     0        0 4104 1 0 100 0 0 10 0\n"
)
NTP = (
    "  351: 00000000:007B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4105 2 0 0\n"
)
ASKING = (
    "  352: 00000000:BC0F 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4106 2 0 0\n"
)


class Host:
    def __init__(self, root: Path) -> None:
        self.root, self.clock, self.state = root, FakeClock(), dict[str, Any]()
        self.body: dict[str, Any] = {}
        self.tables({"tcp": SSH + DATABASE + OPEN, "tcp6": SSH6, "udp": NTP})

    def tables(self, tables: dict[str, str]) -> None:
        for name in ("tcp", "tcp6", "udp", "udp6"):
            write(self.root / "proc/net" / name, HEAD + tables.get(name, ""))

    def ports(self, after: float = 60.0) -> dict[str, dict[str, Any]]:
        self.clock.now += after
        (document,) = listening.collect(context(self.root, state=self.state, now=self.clock)).documents
        assert document.body is not None
        self.body = document.body
        return {row["name"]: row for row in document.body["ports"]}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    yield Host(tmp_path)
    listening._known = listening._Known()


def test_ports_are_told_once_each_with_their_reach(host: Host) -> None:
    write(host.root / "proc/900/comm", "sshd\n")
    (host.root / "proc/900/fd").mkdir()
    (host.root / "proc/900/fd/3").symlink_to("socket:[4101]")
    (host.root / "proc/900/exe").symlink_to("/usr/sbin/sshd")
    ports = host.ports()
    assert list(ports) == ["tcp/22", "udp/123", "tcp/5432"]
    assert ports["tcp/22"] == {
        "name": "tcp/22",
        "protocol": "tcp",
        "port": 22,
        "addresses": ["0.0.0.0", "::"],
        "scope": "network",
        "process": "sshd",
        "path": "/usr/sbin/sshd",
        "user": "root",
    }
    assert (ports["tcp/5432"]["scope"], ports["tcp/5432"]["process"]) == ("loopback", None)


def test_a_service_that_restarts_is_no_change_and_one_that_stays_away_is_gone(host: Host) -> None:
    host.ports()
    host.tables({"tcp": SSH})
    assert "tcp/5432" in host.ports()
    host.tables({"tcp": SSH + DATABASE})
    assert "tcp/5432" in host.ports()
    host.tables({"tcp": SSH})
    assert "tcp/5432" in host.ports()
    assert list(host.ports(after=GONE_SECONDS + 60)) == ["tcp/22"]


def test_after_a_night_off_services_have_time_to_come_back(host: Host) -> None:
    before = host.ports()
    listening._known = listening._Known()
    host.tables({})
    assert host.ports(after=50_000.0) == before
    host.tables({"tcp": SSH + DATABASE, "tcp6": SSH6, "udp": NTP})
    assert host.ports() == before


def test_a_program_that_talks_to_itself_is_no_service_until_it_stays(host: Host) -> None:
    host.tables({"tcp": DATABASE.replace(":1538 00000000:0000", ":BC0F 00000000:0000")})
    assert host.ports() == {}
    assert list(host.ports(after=EPHEMERAL_SECONDS)) == ["tcp/48143"]


def test_a_question_by_udp_is_no_service_until_it_stays(host: Host) -> None:
    host.tables({"udp": ASKING})
    assert host.ports() == {}
    host.tables({})
    assert host.ports(after=EPHEMERAL_SECONDS) == {}
    host.tables({"udp": ASKING})
    assert host.ports(after=EPHEMERAL_SECONDS) == {}
    assert list(host.ports(after=EPHEMERAL_SECONDS)) == ["udp/48143"]
    write(host.root / "proc/sys/net/ipv4/ip_local_port_range", "50000\t60999\n")
    host.state.clear()
    assert list(host.ports()) == ["udp/48143"]


def test_a_port_of_the_kernels_own_names_it() -> None:
    (row,) = rows_of([Socket("udp", "0.0.0.0", 51820, 0, 0)], {})
    assert row["process"] == "kernel"


def test_of_several_on_a_port_the_one_that_others_reach_is_named() -> None:
    owners = {1: Owner(5, "local", ""), 2: Owner(6, "open", "/opt/open")}
    (row,) = rows_of([Socket("tcp", "127.0.0.1", 80, 0, 1), Socket("tcp", "0.0.0.0", 80, 0, 2)], owners)
    assert (row["process"], row["scope"]) == ("open", "network")


def listeners(ports: range, uid: int) -> str:
    return "".join(
        f"  {port}: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000  {uid}"
        f"        0 {100_000 + port} 1 0 100\n"
        for port in ports
    )


def test_a_user_with_a_thousand_ports_pushes_nothing_of_the_system_out(host: Host) -> None:
    host.ports()
    many = listeners(range(1024, 1024 + 2 * listening.MAX_SOCKETS), 1000)
    host.tables({"tcp": many + DATABASE, "tcp6": SSH6, "udp": NTP + NTP.replace(":007B", ":0043")})
    host.clock.now += GONE_SECONDS
    ports = host.ports()
    assert {"tcp/22", "tcp/5432", "udp/123", "udp/67"} < ports.keys()
    assert len(ports) == listening.MAX_PORTS
    assert (host.body["state"], host.body["count"]) == ("partial", listening.MAX_SOCKETS)
    assert host.body["reason"] == reasons.TABLE_CUT(number=listening.MAX_PORTS)
    host.tables({"tcp": SSH + DATABASE + many + listeners(range(900, 901), 0), "udp": NTP})
    later = host.ports()
    assert {"tcp/22", "tcp/900", "tcp/5432", "udp/123", "udp/67"} < later.keys()
    assert later.keys() - ports.keys() == {"tcp/900"}  # of the user's ports the same are told again
    host.tables({"tcp": SSH})
    host.ports()
    assert list(host.ports(after=GONE_SECONDS + 60)) == ["tcp/22"]
    assert (host.body["state"], host.body["reason"]) == ("ok", "")


def test_a_process_that_was_not_found_is_looked_for_again_but_not_for_ever(host: Host) -> None:
    def appears(number: int, inode: int) -> None:
        write(host.root / f"proc/{number}/comm", "sshd\n")
        (host.root / f"proc/{number}/fd").mkdir()
        (host.root / f"proc/{number}/fd/3").symlink_to(f"socket:[{inode}]")

    assert host.ports()["tcp/22"]["process"] is None
    appears(900, 4101)
    assert host.ports()["tcp/22"]["process"] == "sshd"
    for _ in range(listening._ASKED):
        host.ports()
    appears(901, 4105)
    assert host.ports()["udp/123"]["process"] is None


def test_this_machines_own_sockets_are_found_with_their_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 0))
        found = {(each.protocol, each.port): each for each in ask_sockets().found}
        mine = found["tcp", server.getsockname()[1]]
        assert mine.address == "127.0.0.1"
        assert mine.loopback
        assert not found["udp", other.getsockname()[1]].loopback
        by_file = {each.port: each.inode for each in parse_sockets("tcp", Path("/proc/net/tcp").read_bytes())}
        assert by_file[mine.port] == mine.inode
        owner = find_owners(Path("/proc"), {mine.inode})[mine.inode]
    assert (owner.pid, owner.path) == (os.getpid(), str(Path(sys.executable).resolve()))
    with socket.socket() as client:  # connected, not listening
        client.bind(("127.0.0.1", 0))
        assert ("tcp", client.getsockname()[1]) not in {(e.protocol, e.port) for e in ask_sockets().found}


@given(st.binary(max_size=200))
def test_no_table_answer_or_range_breaks_the_readers(raw: bytes) -> None:
    parse_sockets("udp", raw)
    parse_sockets("tcp", SSH6.encode().replace(b"0016", raw[:4]))
    parse_answer("tcp", raw)
    first, last = parse_range(raw.decode("latin-1"))
    assert first >= 0
    assert last >= 0
