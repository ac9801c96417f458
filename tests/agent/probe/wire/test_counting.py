"""What is counted, frame by frame, and that nobody fills the tables."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from agent.probe.wire.filter import SNAP_BYTES, filter_program
from agent.probe.wire.ring import Ring
from agent.probe.wire.settings import CaptureSettings, TrafficSettings, WireSettings
from agent.probe.wire.spread import ANSWERED, SpreadTable
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
    Timed,
    echo,
    refused,
    replayed,
    tcp,
    udp,
)
from tests.support.netns import lan, wait_for

#: Who the frames of the filter's test are for.
MARK = b"\x52\x54\0\0\0\x99"
ATTACKER, VICTIM = "10.0.0.66", "10.0.0.2"


def checked(frame: bytes) -> bytes:
    """With the header's checksum (RFC 791), without which a bridge may drop an IPv4 packet."""
    if frame[12:14] == b"\x81\x00":
        return frame[:12] + frame[12:16] + checked(frame[:12] + frame[16:])[12:]
    if frame[12:14] != b"\x08\x00":
        return frame
    total = sum(struct.unpack("!10H", frame[ETHERNET : ETHERNET + 20]))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return frame[:24] + struct.pack("!H", ~total & 0xFFFF) + frame[26:]


def content(packets: list[bytes]) -> list[bytes]:
    """Those of IPv4 and UDP to the ports that the filter's test calls content."""
    return [each for each in packets if each[9] == 17 and each[22:24] in (b"\x01\xbb", b"\xc3\x50")]


def told(frames: list[Timed], **traffic: Any) -> list[dict[str, Any]]:
    _, events = replayed(WireSettings(traffic=TrafficSettings(**traffic)), frames)
    return [event.fields for event in events]


def test_a_scan_counts_what_was_answered_and_refused() -> None:
    frames: list[Timed] = []
    for port in range(1, 41):
        at = port / 50
        frames.append((at, tcp(ATTACKER, 50_000, VICTIM, port, SYN)))
        if port % 4 == 0:
            frames.append((at + 0.01, tcp(VICTIM, port, ATTACKER, 50_000, SYN | ACK)))
        elif port % 4 == 1:
            frames.append((at + 0.01, tcp(VICTIM, port, ATTACKER, 50_000, RST | ACK)))
    (found,) = told(frames)
    assert (found["source.ip"], found["destination.ip"]) == (ATTACKER, VICTIM)
    assert found["traffic"] == {
        "kind": "ports",
        "window": "short",
        "window_seconds": 10,
        "seconds": 2,
        "distinct_ports": 40,
        "answered_ratio": 0.25,
        "refused_ratio": 0.25,
    }


def test_what_goes_on_is_told_again_at_each_doubling() -> None:
    frames = [(port / 16, tcp(ATTACKER, 50_000, VICTIM, port, SYN)) for port in range(1, 130)]
    assert [each["traffic"]["distinct_ports"] for each in told(frames)] == [47, 95, 129]


def test_udp_counts_closed_ports_by_icmp_and_answers_by_what_comes_back() -> None:
    frames: list[Timed] = []
    for port in range(1, 33):
        asked = udp(ATTACKER, 50_000, VICTIM, port)
        frames.append((port / 32, asked))
        frames.append(
            (port / 32 + 0.001, refused(VICTIM, asked) if port % 2 else udp(VICTIM, port, ATTACKER, 50_000))
        )
    last = told(frames, answered_ratio=1.0)[-1]
    assert (last["network.transport"], last["traffic"]["kind"]) == ("udp", "ports")
    assert last["traffic"]["answered_ratio"] == last["traffic"]["refused_ratio"] == 0.5


def test_ipv6_is_counted_as_ipv4() -> None:
    frames = [(port / 40, tcp("fd00::66", 50_000, "fd00::2", port, SYN)) for port in range(1, 41)]
    assert told(frames)[-1]["destination.ip"] == "fd00::2"
    assert (
        told([(n / 40, echo("fd00::66", f"fd00::{n + 1:x}")) for n in range(40)])[-1]["traffic"][
            "distinct_hosts"
        ]
        == 40
    )


def test_what_most_answer_is_not_told_but_for_sign_in_ports() -> None:
    def tried(port: int) -> list[dict[str, Any]]:
        frames: list[Timed] = []
        for number in range(20):
            host = f"10.0.1.{number}"
            frames.append((number / 20, tcp(ATTACKER, 50_000, host, port, SYN)))
            frames.append((number / 20 + 0.001, tcp(host, port, ATTACKER, 50_000, SYN | ACK)))
        return told(frames)

    assert tried(443) == []
    assert {each["destination.port"] for each in tried(445)} == {445}


def test_bytes_of_a_sign_in_are_told_by_sequence_numbers_that_wrap() -> None:
    frames: list[Timed] = []
    for number in range(8):
        at, port = number * 1.0, 50_000 + number
        frames += [
            (at, tcp(ATTACKER, port, VICTIM, 22, SYN, number=5)),
            (at + 0.1, tcp(VICTIM, 22, ATTACKER, port, SYN | ACK, number=0xFFFFFF00)),
            (at + 0.2, tcp(VICTIM, 22, ATTACKER, port, FIN | ACK, number=1_000 - 0x100 + 1)),
        ]
    (found,) = told(frames)
    assert found["traffic"] == {
        "kind": "logins",
        "window_seconds": 60,
        "seconds": 7,
        "connections": 8,
        "short_connections": 8,
        "answer_bytes": 1_000,
    }


def test_answers_that_were_asked_for_are_no_flood() -> None:
    def answers(asked: bool) -> list[str]:
        frames: list[Timed] = []
        for number in range(1000):
            if asked:
                frames.append((number / 250, udp(VICTIM, 40_000, "9.9.9.9", 53)))
            frames.append((number / 250, udp("9.9.9.9", 53, VICTIM, 40_000)))
        return [each["traffic"]["kind"] for each in told(frames)]

    assert answers(asked=True) == []
    assert "unasked" in answers(asked=False)


def test_an_expected_scanner_is_told_as_such_and_no_one_else() -> None:
    frames = [(port / 40, tcp(ATTACKER, 50_000, VICTIM, port, SYN)) for port in range(1, 41)]
    assert told(frames, expected=["10.0.0.64/26", "fd00::/8"])[-1]["traffic"]["expected"] is True
    assert "expected" not in told(frames, expected=["10.0.0.65"])[-1]["traffic"]


def test_the_probe_is_expected_by_its_own_card_alone() -> None:
    frames = [(port / 40, tcp(ATTACKER, 50_000, VICTIM, port, SYN)) for port in range(1, 41)]
    card = frames[0][1][6:12].hex(":")
    for cards, expected in (([card], True), ([MARK.hex(":")], False), ([], False)):
        _, told = replayed(WireSettings(), frames, own=[ATTACKER], cards=cards)
        assert told
        assert all(event.fields["traffic"].get("expected", False) is expected for event in told)


def test_sampled_frames_stand_for_those_that_were_not_looked_at() -> None:
    watch = Watch(WireSettings(capture=CaptureSettings(bulk_one_in=8)))
    watch.weight = 4
    for second in range(4):
        for _ in range(50):
            frame = udp(ATTACKER, 40_000, VICTIM, 50_000)
            watch.take(frame, 0, 0, ETHERNET, len(frame), len(frame), BEGIN + second)
    (found,) = watch.collect()
    assert found.fields["traffic"]["packets_per_second"] == 50 * 8 * 4


def test_spoofed_senders_fill_no_table_and_hide_no_scanner() -> None:
    def crowd() -> list[Timed]:
        frames: list[Timed] = []
        for number in range(60_000):
            at = number / 10_000
            source = f"100.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            frames.append((at, tcp(source, 1000, f"10.9.{number % 200}.{number % 50}", number % 60_000, SYN)))
            if number % 100 == 0:
                frames.append((at, tcp(ATTACKER, 50_000, VICTIM, 1 + number // 100, SYN)))
        return frames

    watch, events = replayed(WireSettings(), crowd())
    assert {each.fields["source.ip"] for each in events} == {ATTACKER}
    assert max(each.fields["traffic"]["distinct_ports"] for each in events) >= 256
    assert watch.sources < 20_000


def test_one_source_that_tries_without_end_takes_a_bounded_place() -> None:
    table = SpreadTable(10, 16, 8)
    for number in range(100_000):
        table.tries(b"aaaa", b"macmac", number.to_bytes(4, "big"), b"\0\1", 100)
    assert table.untracked == 0  # of its own room alone
    (seen,) = [each for each in table.tick(103) if each.hosts > 1_000]
    assert seen.more
    assert not table.answers(b"aaaa", b"\0\1\x86\x9f", b"\0\1", ANSWERED)  # came when there was no room


def test_a_window_that_ends_before_answers_could_come_is_told_all_the_same() -> None:
    first = [(port / 100, tcp(ATTACKER, 50_000, VICTIM, port, SYN)) for port in range(1, 9)]
    second = [(9.5 + port / 1000, tcp(ATTACKER, 50_000, VICTIM, 100 + port, SYN)) for port in range(30)]
    late = [(10.5, tcp(ATTACKER, 50_000, "10.0.0.3", 80, SYN))]
    assert max(each["traffic"].get("distinct_ports", 0) for each in told(first + second + late)) >= 32


@pytest.mark.parametrize("cut", [0, 1, 13, 14, 15, 33, 40, 53])
def test_a_frame_that_was_cut_is_counted_as_not_read(cut: int) -> None:
    watch = Watch(WireSettings())
    frame = tcp("fd00::66", 50_000, "fd00::2", 22, SYN)[:cut]
    watch.take(frame, 0, 0, ETHERNET, len(frame), len(frame), BEGIN)
    assert (watch.frames, watch.not_read, watch.sources) == (1, 1, 0)


def test_the_kernels_filter_lets_through_what_is_counted_and_nothing_else() -> None:
    wanted = [
        tcp("10.0.0.1", 1, "10.0.0.2", 2, SYN),
        tcp("10.0.0.1", 1, "10.0.0.2", 2, FIN | ACK),
        tcp("10.0.0.1", 1, "10.0.0.2", 2, RST),
        tcp("10.0.0.1", 1, "10.0.0.2", 2, 0),
        tcp("10.0.0.1", 1, "10.0.0.2", 2, PSH | URG),
        tcp("fd00::1", 1, "fd00::2", 2, SYN | ACK),
        udp("10.0.0.1", 40_000, "10.0.0.2", 53, 0),
        udp("fd00::1", 123, "fd00::2", 40_000, 0),
        echo("10.0.0.1", "10.0.0.2"),
        echo("fd00::1", "fd00::2", reply=True),
        refused("10.0.0.2", udp("10.0.0.1", 40_000, "10.0.0.2", 53, 0)),
    ]
    plain = tcp("10.0.0.1", 1, "10.0.0.2", 2, SYN)
    wanted.append(plain[:12] + b"\x81\x00\x00\x07" + plain[12:])  # in a VLAN
    fragment = udp("10.0.0.1", 40_000, "10.0.0.2", 53, 0)
    unwanted = [
        tcp("10.0.0.1", 1, "10.0.0.2", 2, ACK),
        tcp("fd00::1", 1, "fd00::2", 2, ACK | PSH),
        fragment[:20] + b"\x00\x10" + fragment[22:],
        plain[:12] + b"\x08\x06" + plain[14:],
        *(udp("10.0.0.1", 40_000, "10.0.0.2", port, 0) for port in [443] * 20 + [50_000] * 20),
    ]
    seen: list[bytes] = []

    def take(memory: Any, start: int, mac: int, net: int, captured: int, length: int, second: int) -> None:
        assert captured <= min(length, SNAP_BYTES)
        if memory[start + mac : start + mac + 6] == MARK:
            seen.append(memory[start + net : start + mac + captured])

    with lan() as net:
        sender, probe = net.host("se", 1), net.host("pr", 5)
        net.flood()
        with probe.entered():
            program = filter_program(one_in=1, bulk_one_in=1024)
            ring = Ring("eth0", program, ring_bytes=1 << 20, promiscuous=True)
        with sender.entered():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind(("eth0", 0))
        for frame in [*unwanted, *wanted]:
            raw.send(MARK + checked(frame)[6:])
        wait_for(
            lambda: (ring.read(take), len(seen) - len(content(seen)) >= len(wanted))[1], what="the frames"
        )
        assert ring.count().dropped == 0
        raw.close()
        ring.close()
    bulk = content(seen)
    assert len(bulk) <= 5  # of forty, one in 1024
    passed = [each for each in seen if each not in bulk]
    expected = [checked(frame)[ETHERNET:SNAP_BYTES] for frame in wanted[:-1]]
    # What only fills a frame up, a bridge may have taken off.
    assert [each[: len(found)] for found, each in zip(passed, expected, strict=False)] == passed[:-1]
    assert min(map(len, passed)) >= 28
    assert passed[-1][:40] == expected[0][:40]  # the one in a VLAN, whose tag the kernel has taken off
