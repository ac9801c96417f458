"""An hour of ordinary traffic: no rule fires on it, and each does on what hides in it."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agent.probe.wire.settings import TrafficSettings, WireSettings
from tests.agent.probe.wire import office
from tests.agent.probe.wire.frames import ACK, FIN, RST, SYN, Judge, Timed, echo, replayed, tcp, udp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BAD = "10.20.0.66"
SETTINGS = WireSettings(traffic=TrafficSettings(expected=[office.SCANNER]))


@pytest.fixture(scope="module")
def hour() -> list[Timed]:
    return office.office_hour()


def test_no_rule_fires_on_an_ordinary_hour(hour: list[Timed]) -> None:
    watch, told = replayed(SETTINGS, hour)
    assert len(hour) > 500_000
    assert watch.frames == len(hour)
    assert watch.not_read == watch.untracked == 0
    assert Judge().see(told) == {}
    assert 0 < len(told) < 2_000


def test_the_scanner_that_may_scan_fires_only_where_nobody_said_so(hour: list[Timed]) -> None:
    scanned = [each for each in hour if 1990 < each[0] < 2060]
    _, told = replayed(WireSettings(), scanned)
    fired = Judge().see(told)
    assert set(fired) == {"discovery_port_scan"}
    assert {each.fields["source.ip"] for each in fired["discovery_port_scan"]} == {office.SCANNER}


def slow(at: float) -> Iterator[Timed]:
    """nmap -T1: one port in fifteen seconds."""
    for number in range(40):
        yield at + number * 15, tcp(BAD, 40_000 + number, office.FILES, 1 + number, SYN)
        yield at + number * 15 + 0.01, tcp(office.FILES, 1 + number, BAD, 40_000 + number, RST | ACK)


def slow_over_hosts(at: float) -> Iterator[Timed]:
    for number in range(40):
        yield at + number * 15, tcp(BAD, 40_000, f"10.21.0.{number + 1}", 445, SYN)


def worm(at: float) -> Iterator[Timed]:
    """Everybody answers."""
    for number, host in enumerate(office.WORKSTATIONS):
        yield at + number * 0.1, tcp(BAD, 40_000, host, 445, SYN)
        yield at + number * 0.1 + 0.002, tcp(host, 445, BAD, 40_000, SYN | ACK)


def ping_sweep(at: float) -> Iterator[Timed]:
    for number in range(1, 255):
        yield at + number * 0.01, echo(BAD, f"10.20.0.{number}")


def spoofed_flood(at: float) -> Iterator[Timed]:
    for number in range(20_000):
        source = f"100.{64 + number % 50}.{number >> 8 & 255}.{number & 255}"
        yield at + number / 4000, tcp(source, 1000 + number % 60_000, office.WEB, 443, SYN)


def reflected(at: float) -> Iterator[Timed]:
    for number in range(3_000):
        yield (
            at + number / 600,
            udp(f"203.0.113.{number % 250 + 1}", 123, office.WORKSTATIONS[0], 40_000, 468),
        )


def guessing(at: float) -> Iterator[Timed]:
    """Twenty tries at the SSH of a device; 3,000 bytes said in each."""
    for number in range(20):
        port, begin = 40_000 + number, at + number * 0.4
        yield begin, tcp(BAD, port, office.PRINT, 22, SYN, number=7)
        yield begin + 0.01, tcp(office.PRINT, 22, BAD, port, SYN | ACK, number=0xFFFFFFF0)
        yield begin + 0.3, tcp(BAD, port, office.PRINT, 22, FIN | ACK, number=900, reached=3_000 - 15)
        yield begin + 0.31, tcp(office.PRINT, 22, BAD, port, FIN | ACK, number=3_000 - 15)


def null_packets(at: float) -> Iterator[Timed]:
    for port in range(1, 40):
        yield at + port / 10, tcp(BAD, 40_000, office.FILES, port, 0)


@pytest.mark.parametrize(
    ("attack", "rule", "lasts"),
    [
        (slow, "discovery_slow_scan", 31 * 15 + 20),
        (slow_over_hosts, "discovery_slow_scan", 31 * 15 + 20),
        (worm, "lateral_movement_smb_spread", 10),
        (ping_sweep, "discovery_ping_sweep", 10),
        (spoofed_flood, "impact_syn_flood", 10),
        (reflected, "impact_reflected_flood", 10),
        (guessing, "credential_access_sign_in_series", 10),
        (null_packets, "discovery_stealth_scan", 10),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_an_attack_shows_in_the_middle_of_it(
    hour: list[Timed], attack: Callable[[float], Iterator[Timed]], rule: str, lasts: float
) -> None:
    begin, end = 1700.0, 1700.0 + lasts + 5
    frames = [each for each in hour if begin - 30 < each[0] < end]
    _, told = replayed(SETTINGS, heapq.merge(frames, (each for each in attack(begin) if each[0] < end)))
    fired = Judge().see(told)
    assert set(fired) == {rule}
    first: dict[str, Any] = msgspec.to_builtins(fired[rule][0])
    assert 0 < first["time"] - 1_763_600_000 - begin <= lasts
    if "source.ip" in first["fields"]:
        assert first["fields"]["source.ip"] == BAD


@pytest.mark.parametrize(
    ("number", "reached", "flags", "floods"),
    [(900, 8, RST | ACK, False), (0, 8, RST | ACK, True), (900, 0, RST, True)],
)
def test_a_server_that_ends_by_rst_is_no_victim_and_one_that_refuses_is(
    number: int, reached: int, flags: int, floods: bool
) -> None:
    """400 a second: the last segment is the server's. A host refuses with its own or the other's number, never both."""
    frames: list[Timed] = []
    for each in range(5 * 400):
        at, port, client = each / 400, 1024 + each, f"10.0.{each % 200}.9"
        frames += [
            (at, tcp(client, port, "10.0.0.2", 443, SYN)),
            (at, tcp("10.0.0.2", 443, client, port, SYN | ACK)),
            (at, tcp(client, port, "10.0.0.2", 443, FIN | ACK)),
            (at, tcp("10.0.0.2", 443, client, port, flags, number=number, reached=reached)),
        ]
    _, told = replayed(WireSettings(), frames)
    assert ("impact_syn_flood" in Judge().see(told)) is floods
