from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.common.interfaces import parse_address, parse_speed, read_interfaces
from agent.collectors.common.neighbours import Neighbour, parse_arp, parse_neighbour, read_neighbours
from agent.collectors.common.netlink import Message, parse_attributes, parse_messages
from agent.collectors.neighbours import collect, complete
from tests.agent.collectors.support import context, fixture_bytes, fixture_text, write

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = {1: "lo", 2: "peer0", 3: "enp1s0"}


def known(messages: Iterable[Message]) -> list[Neighbour]:
    found = (parse_neighbour(m.body, NAMES) for m in messages)
    return [n for n in found if n is not None]


def test_a_captured_table_gives_complete_neighbours_only() -> None:
    messages, done = parse_messages(fixture_bytes("netlink/neighbours.bin"))
    assert done
    assert complete(known(messages)) == [
        {"ip": "192.0.2.1", "mac": "00:1b:21:aa:bb:01", "interface": "enp1s0"},
        {"ip": "192.0.2.20", "mac": "00:1b:21:aa:bb:20", "interface": "enp1s0"},
        {"ip": "2001:db8::1", "mac": "00:1b:21:aa:bb:01", "interface": "enp1s0"},
    ]


def test_a_captured_address_table_gives_addresses_that_say_something() -> None:
    messages, _ = parse_messages(fixture_bytes("netlink/addresses.bin"))
    assert [pair for m in messages if (pair := parse_address(m))] == [(3, "192.0.2.10"), (3, "2001:db8::10")]


def test_the_arp_file_is_read_where_netlink_is_not_for_us(tmp_path: Path) -> None:
    write(tmp_path / "proc/net/arp", fixture_text("proc/arp"))
    (document,) = collect(context(tmp_path)).documents
    assert document.body == {
        "entries": [{"ip": "192.0.2.1", "mac": "02:fc:00:00:00:05", "interface": "eth0"}]
    }


def test_an_incomplete_arp_entry_is_nobody() -> None:
    text = fixture_text("proc/arp") + "192.0.2.9  0x1  0x0  00:00:00:00:00:00  *  eth0\n"
    assert [n.ip for n in parse_arp(text)] == ["192.0.2.1", "192.0.2.9"]
    assert [e["ip"] for e in complete(parse_arp(text))] == ["192.0.2.1"]


def test_an_error_of_the_kernel_is_raised() -> None:
    with pytest.raises(OSError, match="refused"):
        parse_messages(
            b"\x24\0\0\0\x02\0\0\0" + bytes(8) + (-1).to_bytes(4, "little", signed=True) + bytes(16)
        )


def test_this_hosts_own_table_can_be_read() -> None:
    assert all(n.ip for n in read_neighbours(Path("/proc")))


def test_this_hosts_interfaces_have_names_and_no_loopback() -> None:
    interfaces = read_interfaces(Path("/sys"))
    assert "lo" not in {i.name for i in interfaces}
    assert all("127.0.0.1" not in i.addresses for i in interfaces)


@pytest.mark.parametrize(
    ("text", "speed"), [("1000\n", 1000), ("-1\n", None), ("4294967295", None), (None, None), ("x", None)]
)
def test_a_link_that_does_not_say_its_speed_has_none(text: str | None, speed: int | None) -> None:
    assert parse_speed(text) == speed


@given(st.binary(max_size=300))
def test_no_packet_breaks_the_readers(data: bytes) -> None:
    parse_attributes(data)
    parse_neighbour(data, NAMES)
    parse_address(Message(kind=20, body=data))
    try:
        messages, _ = parse_messages(data)
    except OSError:
        return
    assert sum(len(m.body) for m in messages) <= len(data)


@given(st.integers(0, 200), st.binary(min_size=1, max_size=4))
def test_a_damaged_table_breaks_nothing(at: int, damage: bytes) -> None:
    data = bytearray(fixture_bytes("netlink/neighbours.bin"))
    data[at : at + len(damage)] = damage
    try:
        found = known(parse_messages(bytes(data))[0])
    except OSError:
        return
    assert len(found) <= len(data)


@given(st.text(max_size=300))
def test_no_text_breaks_the_arp_reader(text: str) -> None:
    assert all(n.mac for n in parse_arp("header\n" + text))
