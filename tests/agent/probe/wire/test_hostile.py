"""Attackers who know how the part counts: each shape that went past it, and is told now."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from agent.probe.contract import Hello, PartContext
from agent.probe.wire.capture import Capture
from agent.probe.wire.settings import TrafficSettings, WireSettings
from agent.probe.wire.watch import Watch
from tests.agent.probe.wire.frames import (
    ACK,
    BEGIN,
    ETHERNET,
    FIN,
    PSH,
    RST,
    SYN,
    URG,
    Judge,
    Timed,
    replayed,
    tcp,
    udp,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BAD, VICTIM, SCANNER, PROBE = "10.0.0.66", "10.0.0.2", "10.0.0.9", "10.0.0.5"
SETTINGS = WireSettings(traffic=TrafficSettings(expected=[SCANNER]))


def many_ports(flags: int) -> Iterator[Timed]:
    for port in range(1, 41):
        yield port / 20, tcp(BAD, 40_000, VICTIM, port, flags)


def syn_with_push() -> Iterator[Timed]:
    """``nmap --scanflags SYNPSH``: systems take it for a SYN."""
    return many_ports(SYN | PSH)


def syn_with_urgent() -> Iterator[Timed]:
    return many_ports(SYN | URG)


def push_alone() -> Iterator[Timed]:
    return many_ports(PSH)


def urgent_and_push() -> Iterator[Timed]:
    return many_ports(PSH | URG)


def syn_and_fin() -> Iterator[Timed]:
    return many_ports(SYN | FIN)


def tiny(source: str, to: str, port: int) -> bytes:
    """The first fragment of ``nmap -f``: eight bytes of TCP, its flags in the next."""
    whole = tcp(source, 40_000, to, port, SYN)
    head = bytearray(whole[ETHERNET : ETHERNET + 28])
    head[2:4], head[6:8] = struct.pack("!H", 28), b"\x20\x00"
    return whole[:ETHERNET] + bytes(head) + bytes(18)


def tiny_fragments() -> Iterator[Timed]:
    for port in range(1, 41):
        yield port / 20, tiny(BAD, VICTIM, port)


def slow_null() -> Iterator[Timed]:
    """Two in each fast window."""
    for port in range(1, 20):
        yield port * 5.0, tcp(BAD, 40_000, VICTIM, port, 0)


def flood_with_push() -> Iterator[Timed]:
    for number in range(4_000):
        source = f"100.64.{number >> 8}.{number & 255}"
        yield number / 1000, tcp(source, 1000 + number, VICTIM, 80, SYN | PSH)


def flood_that_says_goodbye() -> Iterator[Timed]:
    """Every spoofed SYN is answered, and followed by a FIN of the same spoofed source."""
    for number in range(4_000):
        source, port = f"100.64.{number >> 8}.{number & 255}", 1000 + number
        yield number / 1000, tcp(source, port, VICTIM, 80, SYN)
        yield number / 1000, tcp(VICTIM, 80, source, port, SYN | ACK)
        yield number / 1000, tcp(source, port, VICTIM, 80, FIN | ACK)
        yield number / 1000, tcp(VICTIM, 80, source, port, RST)


def flood_of(source: str) -> Iterator[Timed]:
    for number in range(4_000):
        yield number / 1000, tcp(source, 1000 + number, VICTIM, 80, SYN)


def flood_in_the_scanners_name() -> Iterator[Timed]:
    return flood_of(SCANNER)


def flood_in_the_probes_name() -> Iterator[Timed]:
    return flood_of(PROBE)


def datagrams_to_syslog_at_times() -> Iterator[Timed]:
    """One datagram of each second, the last, goes to a port where such streams may be."""
    for number in range(16_000):
        yield number / 2000, udp(BAD, 40_000, VICTIM, 514 if number % 2000 == 1999 else 9)


def datagrams_to_syslog() -> Iterator[Timed]:
    for number in range(80_000):
        yield number / 20_000, udp(BAD, 40_000, VICTIM, 514)


def behind_decoys() -> Iterator[Timed]:
    """All that is told of one window is spent on what no rule asks for; then file sharing of many."""
    for number in range(64):
        for port in range(16):
            yield number / 100, tcp(BAD, 40_000, f"10.1.0.{number}", 1000 + 16 * number + port, SYN)
    for number in range(60):
        yield 1 + number / 20, tcp(BAD, 40_000, f"10.2.0.{number}", 445, SYN)


def slow_of_a_busy_one() -> Iterator[Timed]:
    """Nine web servers in each window, which answer; and six ports of the victim."""
    for window in range(12):
        begin = window * 11.0
        for number in range(9):
            host = f"10.1.0.{number}"
            yield begin + number / 10, tcp(BAD, 41_000, host, 443, SYN)
            yield begin + number / 10, tcp(host, 443, BAD, 41_000, SYN | ACK)
        for number in range(6):
            yield begin + 2 + number, tcp(BAD, 40_000, VICTIM, 1 + 6 * window + number, SYN)


def datagrams_of_port_53() -> Iterator[Timed]:
    """``nmap -sU -g 53``."""
    for port in range(100, 150):
        yield port / 25, udp(BAD, 53, VICTIM, port)


def guessing_in_noise() -> Iterator[Timed]:
    """Twenty tries in forty seconds, and spoofed SYNs to the same port of others."""
    noise = 0
    for number in range(20):
        port, at = 40_000 + number, number * 2.0
        yield at, tcp(BAD, port, VICTIM, 22, SYN, number=7)
        yield at, tcp(VICTIM, 22, BAD, port, SYN | ACK, number=100)
        yield at + 1, tcp(BAD, port, VICTIM, 22, FIN | ACK, reached=3_000)
        for _ in range(2_100):
            noise += 1
            host = f"10.{noise >> 16}.{noise >> 8 & 255}.{noise & 255}"
            yield at + 1, tcp(f"100.64.{noise >> 8 & 255}.{noise & 255}", 9, host, 22, SYN)


def in_full_tables() -> Iterator[Timed]:
    """Many sources that each stay below every floor."""
    for number in range(60_000):
        source, target = number // 12, number % 12
        yield (
            number / 12_000,
            tcp(f"100.64.{source >> 8}.{source & 255}", 9, f"10.3.{target}.{target}", 1 + number, SYN),
        )


def on_a_busy_portal() -> Iterator[Timed]:
    """Ten minutes of what is told and no attack; then twenty times as much for five seconds."""
    for second in range(600):
        for number in range(110):
            source, port = f"100.64.{number}.{second & 255}", 1000 + second
            yield second, tcp(source, port, VICTIM, 80, SYN)
            yield second, tcp(VICTIM, 80, source, port, SYN | ACK)
            yield second, tcp(source, port, VICTIM, 80, FIN | ACK)
            yield second, tcp(VICTIM, 80, source, port, FIN | ACK)
    for number in range(11_000):
        yield 600 + number / 2200, tcp(f"100.65.{number >> 8}.{number & 255}", 9, VICTIM, 80, SYN)


@pytest.mark.parametrize(
    ("attack", "rule"),
    [
        (syn_with_push, "discovery_port_scan"),
        (syn_with_urgent, "discovery_port_scan"),
        (push_alone, "discovery_stealth_scan"),
        (urgent_and_push, "discovery_stealth_scan"),
        (syn_and_fin, "discovery_stealth_scan"),
        (tiny_fragments, "discovery_stealth_scan"),
        (slow_null, "discovery_stealth_scan"),
        (flood_with_push, "impact_syn_flood"),
        (flood_that_says_goodbye, "impact_syn_flood"),
        (flood_in_the_scanners_name, "impact_syn_flood"),
        (flood_in_the_probes_name, "impact_syn_flood"),
        (on_a_busy_portal, "impact_syn_flood"),
        (datagrams_to_syslog_at_times, "impact_udp_flood"),
        (datagrams_to_syslog, "impact_udp_flood"),
        (behind_decoys, "lateral_movement_smb_spread"),
        (slow_of_a_busy_one, "discovery_slow_scan"),
        (datagrams_of_port_53, "discovery_port_scan"),
        (guessing_in_noise, "credential_access_sign_in_series"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_way_past_the_counting_is_told(attack: Callable[[], Iterator[Timed]], rule: str) -> None:
    _, told = replayed(SETTINGS, attack(), own=[PROBE])
    assert rule in Judge().see(told)


def test_a_portals_rush_hour_is_no_flood_where_the_client_or_the_server_ends_first() -> None:
    frames: list[Timed] = []
    for number in range(2_000):
        source, port, at = f"100.64.{number >> 8}.{number & 255}", 1000 + number, number / 400
        frames += [
            (at, tcp(source, port, VICTIM, 443, SYN)),
            (at, tcp(VICTIM, 443, source, port, SYN | ACK)),
            (at, tcp(source, port, VICTIM, 443, FIN | ACK)),
            (at, tcp(VICTIM, 443, source, port, FIN | ACK)),
        ]
    _, told = replayed(SETTINGS, frames)
    assert told
    assert Judge().see(told) == {}


def test_a_clock_that_is_set_back_makes_no_hour_of_a_window() -> None:
    """One new host every twenty seconds: never many in a window."""
    watch = Watch(SETTINGS)
    for number in range(100):
        second = BEGIN + (0 if number < 3 else -7200) + number * 20
        frame = tcp(BAD, 40_000, f"10.1.0.{number}", 445, SYN)
        watch.take(frame, 0, 0, ETHERNET, len(frame), len(frame), second)
        answer = tcp(f"10.1.0.{number}", 445, BAD, 40_000, SYN | ACK)
        watch.take(answer, 0, 0, ETHERNET, len(answer), len(answer), second)
    watch.tick(BEGIN - 7200 + 2100)
    assert watch.collect() == []


def test_a_flood_that_finds_no_room_among_others_is_counted() -> None:
    frames = [
        (second + host / 1000, tcp("100.64.0.1", 9, f"10.3.{host >> 8}.{host & 255}", 80, SYN))
        for second in range(4)
        for host in range(300)
        for _ in range(101)
    ]
    watch, told = replayed(SETTINGS, frames)
    assert (
        len({each.fields["destination.ip"] for each in told if each.fields["traffic"]["kind"] == "syn"})
        == 256
    )
    assert watch.untracked >= 44 * 101


def test_what_finds_no_room_is_told_once() -> None:
    hello = Hello("wire", {}, "/nonexistent")
    capture = Capture(PartContext(SETTINGS, hello, say=lambda _: "", now=lambda: float(BEGIN)))
    capture._totals["eth0"] = [60_000, 0]
    for at, frame in in_full_tables():
        capture._watch.take(frame, 0, 0, ETHERNET, len(frame), len(frame), BEGIN + int(at))
    capture._count()
    capture._count()
    told = capture._queue.get_nowait()
    assert told.fields["capture"]["untracked_count"] >= 1000
    assert "availability_wire_not_seen" in Judge().see([told])
    assert capture._queue.empty()
