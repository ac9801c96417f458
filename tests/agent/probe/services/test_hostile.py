"""Servers that answer slowly, for ever, too much, or by leading elsewhere: on loopback, one connection each."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

import pytest

from agent.probe.services.checking import check
from agent.probe.services.connecting import addresses_of
from agent.probe.services.fetching import MAX_BODY_BYTES, unpacked
from agent.probe.services.naming import judge_dmarc, judge_spf
from agent.probe.services.result import CheckError
from agent.probe.services.settings import Service, Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.probe.services.result import Result

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Hands each connection to ``serve``; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def ask(port: int, seconds: float = 1.0, kind: Literal["http", "smtp", "imap"] = "http") -> Result:
    if kind == "http":
        service = Service(name="x", kind=kind, url=f"http://127.0.0.1:{port}/", timeout_seconds=seconds)
    else:
        service = Service(name="x", kind=kind, host="127.0.0.1", port=port, timeout_seconds=seconds)
    return check(service, Services())


def slowly(connection: socket.socket) -> None:
    connection.recv(4096)
    for byte in OK * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def endlessly(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(OK + b"\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def headers_without_end(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"y" * 60_000 + b"\r\n")


def test_an_answer_that_drips_ends_with_the_time_of_the_check() -> None:
    began = time.monotonic()
    with server(slowly) as port:
        found = ask(port)
    assert found.state == "down"
    assert found.reason == "not finished within 1 s"
    assert time.monotonic() - began < 10


def test_of_a_body_without_end_one_mebibyte_is_read() -> None:
    with server(endlessly) as port:
        found = ask(port, 10.0)
    assert (found.state, len(found.page)) == ("up", MAX_BODY_BYTES)


def test_headers_without_end_are_no_http() -> None:
    with server(headers_without_end) as port:
        found = ask(port, 10.0)
    assert found.state == "down"
    assert found.reason.startswith("the answer is not HTTP")


def test_what_was_packed_unasked_is_unpacked_to_one_mebibyte_at_most() -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    assert len(unpacked(bomb, "gzip")) == MAX_BODY_BYTES
    assert unpacked(b"not packed", "gzip") == b"not packed"


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("http://169.254.169.254/latest/", "169.254.169.254"),
        ("http://localhost:8443/", "localhost"),
        ("file:///etc/passwd", "file"),
        ("http://portal.other.gov.vn/", "portal.other.gov.vn"),
    ],
)
def test_a_redirect_elsewhere_is_not_followed(location: str, where: str) -> None:
    def away(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode())

    with server(away) as port:
        found = ask(port)
    assert (found.state, found.reason) == ("down", f"it leads to {where}, which is not one of its hosts")


def test_redirects_in_a_circle_end() -> None:
    asked = []

    def around(connection: socket.socket) -> None:
        asked.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nSet-Cookie: a=b\r\n\r\n")

    with server(around) as port:
        found = ask(port, 5.0)
    assert found.reason == "it leads on and on"
    assert len(asked) == 6
    assert not any(b"Cookie:" in each for each in asked)


def test_a_name_that_leads_to_this_machine_is_not_asked() -> None:
    service = Service(name="x", kind="tcp", host="localhost", port=9)
    found = check(service, Services())
    # Whoever has taken the name over is told of: "unknown" would make no alert.
    assert found.state == "down"
    assert "which may not be probed" in found.reason


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.9.9.9",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.9.9.9",
        "64:ff9b:1:2::169.254.169.254",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "2002:7f00:1::1",
        "2002:a09:909::1",
        "2001:0:a09:909::",
        "2001:db8::5efe:10.9.9.9",
        "2001:db8::200:5efe:127.0.0.1",
    ],
)
def test_an_address_of_ipv4_in_ipv6_is_no_way_around(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 80, 0, 0))]
    monkeypatch.setattr("agent.probe.services.connecting.socket.getaddrinfo", lambda *_, **__: found)
    with pytest.raises(CheckError, match="may not be probed"):
        addresses_of("portal.test", 80, Services(path_only=["10.9.0.0/16"]))


@pytest.mark.parametrize("address", ["64:ff9b::203.0.113.7", "2001:db8::1", "2002:cb00:7107::1"])
def test_translated_addresses_of_others_are_asked(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 80, 0, 0))]
    monkeypatch.setattr("agent.probe.services.connecting.socket.getaddrinfo", lambda *_, **__: found)
    assert addresses_of("portal.test", 80, Services(path_only=["10.9.0.0/16"])) == [address]


@pytest.mark.parametrize(
    "said", [b"", b"\xff" * 5000, b"220-a\r\n" * 100, b"554 go away\r\n", b"220 hi\r\n502 no\r\n"]
)
def test_a_mail_server_that_talks_nonsense_is_told_as_such(said: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(said)
        time.sleep(0.2)

    with server(talk) as port:
        found = ask(port, 2.0, "smtp")
    assert found.state == ("degraded" if said.startswith(b"220 hi") else "down")


def test_an_imap_server_without_starttls_is_told() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"* OK ready\r\n")
        connection.recv(100)
        connection.sendall(b"* CAPABILITY IMAP4rev1\r\na1 OK done\r\n")

    with server(talk) as port:
        found = ask(port, 2.0, "imap")
    assert (found.state, found.findings) == ("degraded", ("starttls_missing",))


@pytest.mark.parametrize(
    ("records", "finding"),
    [
        (["v=spf1 mx -all"], set()),
        (["v=spf1 redirect=_spf.province.test"], set()),
        ([], {"spf_missing"}),
        (["v=spf1 -all", "v=spf1 ~all"], {"spf_several"}),
        (["v=spf1 +all"], {"spf_passes_all"}),
        (["v=spf1 mx"], {"spf_open_end"}),
    ],
)
def test_spf_is_judged_by_how_it_ends(records: list[str], finding: set[str]) -> None:
    assert judge_spf(["google-site-verification=1", *records]) == finding


@pytest.mark.parametrize(
    ("record", "finding"),
    [
        ("v=DMARC1; p=reject", set()),
        ("v=DMARC1; p=none; rua=mailto:a@b", {"dmarc_none"}),
        ("v=DMARC1", {"dmarc_none"}),
        ("hello", {"dmarc_missing"}),
    ],
)
def test_dmarc_is_judged_by_its_policy(record: str, finding: set[str]) -> None:
    assert judge_dmarc([record]) == finding
