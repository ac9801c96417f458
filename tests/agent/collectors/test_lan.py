from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.collectors.common.neighbours import DELAY, FAILED, REACHABLE, STALE, Neighbour
from agent.collectors.common.probes import (
    Ping,
    ProbeNotPermittedError,
    ask_dns,
    checksum,
    dns_query,
    echo_request,
    is_dns_answer,
    parse_echo_reply,
    ping,
    time_to_connect,
)
from agent.collectors.common.routes import (
    Gateway,
    is_address,
    parse_ipv6_route,
    parse_resolv_conf,
    parse_route,
)
from agent.collectors.lan import _last_mac, collect, collector_facts, judge_gateway, settle
from tests.agent.collectors.support import context, fixture_text, write

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = b"0123456789abcdef"


def test_the_default_route_of_a_captured_table() -> None:
    assert parse_route(fixture_text("proc/route")) == [Gateway("192.0.2.1", "eth0", 0)]
    assert parse_ipv6_route(fixture_text("proc/ipv6_route")) == [Gateway("fd00::1", "eth0", 1024)]


def test_of_two_default_routes_the_one_with_the_smaller_metric_counts() -> None:
    text = fixture_text("proc/route").replace("eth0\t000200C0", "wlan0\t000200C0")
    text += "wlan0\t00000000\tFE0200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
    assert [g.interface for g in parse_route(text)] == ["eth0", "wlan0"]


def test_name_servers_are_the_first_three_addresses() -> None:
    text = "# x\nsearch a\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver bad\n"
    text += "nameserver ::1\nnameserver 1.1.1.1\n"
    assert parse_resolv_conf(text) == ["192.0.2.53", "fe80::1%eth0", "::1"]


def neighbour(state: int) -> Neighbour:
    return Neighbour("192.0.2.1", "02:fc:00:00:00:05", "eth0", state)


@pytest.mark.parametrize(
    ("received", "state", "answers", "expected"),
    [
        (3, STALE, False, True),
        (1, None, True, True),
        (0, REACHABLE, False, True),
        (0, FAILED, False, False),
        (0, None, False, False),
        (0, DELAY, True, False),
        (0, DELAY, False, None),
        (None, STALE, False, None),
        (None, REACHABLE, False, True),
    ],
)
def test_a_silent_gateway_is_judged_by_the_kernels_neighbour_state(
    received: int | None, state: int | None, answers: bool, expected: bool | None
) -> None:
    pinged = None if received is None else Ping(3, received, 0.001 if received else None)
    reachable, reason = judge_gateway(pinged, None if state is None else neighbour(state), answers)
    assert reachable is expected
    assert bool(reason) == (expected is None)


def test_one_lost_answer_is_no_outage_and_recovery_is_told_at_once() -> None:
    state: dict[str, Any] = {}
    answers = [settle("dns", up, state) for up in (True, False, True, False, False, False, True)]
    assert answers == [True, True, True, True, False, False, True]


def test_what_was_never_reachable_is_said_to_be_down_at_once() -> None:
    assert settle("gateway", False, {}) is False


def test_the_gateways_mac_is_remembered_through_an_outage_and_forgotten_with_the_gateway() -> None:
    state: dict[str, Any] = {}
    gateway = Gateway("192.0.2.1", "eth0", 0)
    assert _last_mac(gateway, None, state) == ""
    assert _last_mac(gateway, neighbour(STALE), state) == "02:fc:00:00:00:05"
    assert _last_mac(gateway, Neighbour("192.0.2.1", "", "eth0", FAILED), state) == "02:fc:00:00:00:05"
    assert _last_mac(Gateway("192.0.2.254", "eth0", 0), None, state) == ""


def test_an_echo_request_checks_out_and_its_reply_is_recognised() -> None:
    request = echo_request(7, 3, TOKEN, v6=False)
    assert checksum(request) == 0
    reply = b"\0" + request[1:]
    header = b"\x45" + bytes(19)
    assert parse_echo_reply(reply, TOKEN, v6=False, raw=False) == 3
    assert parse_echo_reply(header + reply, TOKEN, v6=False, raw=True) == 3
    assert parse_echo_reply(header + request, TOKEN, v6=False, raw=True) is None
    assert parse_echo_reply(reply, b"another", v6=False, raw=False) is None
    assert parse_echo_reply(b"\x81" + echo_request(7, 4, TOKEN, v6=True)[1:], TOKEN, v6=True, raw=True) == 4


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_loopback_answers_an_echo_request(address: str) -> None:
    try:
        found = ping(address, 2, 1.0)
    except ProbeNotPermittedError as error:
        pytest.skip(str(error))
    assert found.received == 2
    assert found.rtt_seconds is not None
    assert found.rtt_seconds < 1


def serve_dns(answer: bytes | None) -> tuple[socket.socket, int, threading.Thread]:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def run() -> None:
        query, peer = server.recvfrom(512)
        if answer is not None:
            server.sendto(answer, peer)
        server.sendto(query[:2] + b"\x80\x05" + query[4:], peer)

    thread = threading.Thread(target=run)
    thread.start()
    return server, server.getsockname()[1], thread


@pytest.mark.parametrize("noise", [None, b"", b"\xff\xff\x80\x00" + bytes(20)])
def test_any_true_answer_of_a_name_server_counts_and_noise_does_not(noise: bytes | None) -> None:
    server, port, thread = serve_dns(noise)
    took = ask_dns("127.0.0.1", 5.0, port)
    thread.join()
    server.close()
    assert took is not None
    assert 0 < took < 5


def test_a_closed_port_answers_neither_dns_nor_connections() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    assert ask_dns("127.0.0.1", 0.5, port) is None
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        assert time_to_connect("127.0.0.1", listener.getsockname()[1], 1.0) is None
        listener.listen()
        assert time_to_connect("127.0.0.1", listener.getsockname()[1], 5.0) is not None


def test_a_host_without_network_says_so_and_invents_nothing(tmp_path: Path) -> None:
    output = collect(context(tmp_path))
    (document,) = output.documents
    assert output.metrics == []
    assert document.body is not None
    assert document.body["gateway"]["reachable"] is None
    assert document.body["gateway"]["reason"] == "there is no default route"
    assert document.body["dns"]["reachable"] is None
    assert document.body["collector"]["reachable"] is None


def test_the_ways_to_name_server_and_collector_are_measured(tmp_path: Path) -> None:
    write(tmp_path / "etc/resolv.conf", "# none\n")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ctx = context(tmp_path)
        output = collect(replace(ctx, collector_host="127.0.0.1", collector_port=listener.getsockname()[1]))
    assert [m.name for m in output.metrics] == ["lan.collector_connect_seconds"]
    assert (output.documents[0].body or {})["collector"]["reachable"] is True


def test_who_answers_the_agent_itself_is_connected_to_for_the_measure_only(tmp_path: Path) -> None:
    write(tmp_path / "etc/resolv.conf", "# none\n")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        ctx = replace(context(tmp_path), collector_host="127.0.0.1", collector_port=port)
        now = ctx.now()
        heard = replace(ctx, answered_at=now - 30)
        measured = [
            bool(collector_facts(each, at)[1])
            for each, at in (
                (heard, now),
                (heard, now + 20),  # measured a moment ago, and heard
                (heard, now + 61),  # not heard any more
                (replace(heard, answered_at=now + 700), now + 720),
                (replace(heard, answered_at=now + 800), now + 790),  # the clock was set back
            )
        ]
    assert measured == [True, False, True, True, True]
    silent, _ = collector_facts(
        replace(ctx, answered_at=now + 800), now + 801
    )  # nobody listens, and it was heard
    assert silent["reachable"] is True


@given(st.binary(max_size=80), st.booleans(), st.booleans())
def test_no_packet_passes_for_a_reply(packet: bytes, v6: bool, raw: bool) -> None:
    assert parse_echo_reply(packet, TOKEN, v6=v6, raw=raw) is None


@given(st.binary(max_size=80), st.integers(0, 65535))
def test_no_packet_breaks_the_dns_reader(packet: bytes, identifier: int) -> None:
    assert is_dns_answer(packet, identifier) in (True, False)
    assert not is_dns_answer(dns_query(identifier), identifier)


@given(st.text(max_size=200))
def test_no_text_breaks_the_route_readers(text: str) -> None:
    for gateway in parse_route("header\n" + text) + parse_ipv6_route(text):
        assert is_address(gateway.ip)
    assert all(is_address(server) for server in parse_resolv_conf(text))


@given(st.lists(st.text(alphabet="0123456789ABCDEFabcdef", min_size=1, max_size=33), min_size=8, max_size=10))
def test_no_numbers_break_the_route_readers(parts: list[str]) -> None:
    assert isinstance(parse_route("header\n" + "\t".join(parts)), list)
    assert isinstance(parse_ipv6_route(" ".join(parts)), list)
