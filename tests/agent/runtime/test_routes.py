"""The way to the collector: through a real proxy, through hostile ones, and on to the next address."""

from __future__ import annotations

import itertools
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from agent.messages import HostFacts
from agent.runtime.enrolment import enrol, renew
from agent.runtime.errors import EnrolmentError, TransportError
from agent.runtime.identity import load_identity, own_context
from agent.runtime.proxy import Proxy, proxy_of
from agent.runtime.routes import Routes
from agent.runtime.transport import Address, Connection, Reply
from agent.settings import CollectorEndpoint
from soc_api.local import free_port
from tests.support.tinyproxy import Tinyproxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.settings import StateDirectory
    from tests.agent.runtime.stub import StubCollector

HEADERS = {"Vonggac-Batch": f"{'a' * 32};0;1.5"}


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Tinyproxy]:
    proxy = Tinyproxy(tmp_path / "proxy")
    yield proxy
    proxy.stop()


def ask(stub: StubCollector, state: StateDirectory, proxy: Proxy) -> int:
    connection = Connection(Address.of(stub.url), own_context(state), proxy=proxy, connect_timeout_seconds=2)
    try:
        return connection.request("POST", "/v1/heartbeat", HEADERS).status
    finally:
        connection.close()


def refusal(stub: StubCollector, state: StateDirectory, proxy: Proxy) -> str:
    with pytest.raises(TransportError) as caught:
        ask(stub, state, proxy)
    assert caught.value.code == "proxy"
    assert stub.seen == []
    return caught.value.detail


def test_a_proxy_lets_through_and_sees_nothing(
    stub: StubCollector, enrolled: StateDirectory, proxy: Tinyproxy
) -> None:
    assert ask(stub, enrolled, Proxy.of(proxy.url)) == 202
    assert stub.seen[-1].certified, "TLS goes end to end"
    assert f"CONNECT 127.0.0.1:{stub.port}" in proxy.log.read_text()


def test_enrolment_and_renewal_go_through_the_proxy(
    stub: StubCollector, state: StateDirectory, proxy: Tinyproxy
) -> None:
    way = Proxy.of(proxy.url)
    enrol(state, Address.of(stub.url), stub.token(), HostFacts(hostname="may-01"), way)
    renew(state, proxy=way)
    assert proxy.log.read_text().count(f"CONNECT 127.0.0.1:{stub.port}") == 3
    assert load_identity(state).collector_url == stub.url


def test_a_proxy_that_wants_a_password_gets_it(
    stub: StubCollector, enrolled: StateDirectory, tmp_path: Path
) -> None:
    proxy = Tinyproxy(tmp_path / "proxy", user="may b1-mat")
    try:
        url = proxy.url.replace("//", "//may@")
        (tmp_path / "password").write_text("b1-mat\n")
        settings = CollectorEndpoint(proxy=url, proxy_password_file=str(tmp_path / "password"))
        way = proxy_of(settings)
        assert way is not None
        assert ask(stub, enrolled, way) == 202
        stub.seen.clear()
        assert "407" in refusal(stub, enrolled, Proxy.of(proxy.url))
        wrong = refusal(stub, enrolled, Proxy.of(url, "sai"))
        assert wrong.startswith(f"127.0.0.1:{proxy.port}: 40")
        assert "sai" not in wrong
    finally:
        proxy.stop()


def test_a_proxy_that_does_not_allow_the_port_says_so(
    stub: StubCollector, enrolled: StateDirectory, tmp_path: Path
) -> None:
    proxy = Tinyproxy(tmp_path / "proxy", ports=(443,))
    try:
        assert "403" in refusal(stub, enrolled, Proxy.of(proxy.url))
    finally:
        proxy.stop()


def test_a_proxy_that_is_away_is_told_from_a_collector_that_is(
    stub: StubCollector, enrolled: StateDirectory
) -> None:
    assert "refused" in refusal(stub, enrolled, Proxy("127.0.0.1", free_port())).lower()
    with pytest.raises(EnrolmentError, match="127"):
        renew(enrolled, stub.url, Proxy("127.0.0.1", free_port()))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "without an answer"),
        (b"<html>sign in to the hotel's network</html>\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<captive>", "none to CONNECT"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n", "302 Found"),
        (b"HTTP/1.1 \xff\xfe\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 403 \x1b[2JGo away\r\n\r\n", "403 [2JGo away"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000, "none to CONNECT"),
        (b"HTTP/1.1 200 ", "no answer in time"),
    ],
    ids=["nothing", "portal", "body", "redirect", "bytes", "escape", "endless", "slow"],
)
def test_whatever_a_proxy_answers_the_agent_only_says_so(
    stub: StubCollector, enrolled: StateDirectory, answer: bytes, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)
                if answer:
                    done.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            assert said in refusal(stub, enrolled, Proxy("127.0.0.1", server.getsockname()[1]))
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "https://a:1",
        "http://",
        "a:3128",
        "http://a/b",
        "http://a:secret@c:1/b",
        "https://a:secret@c:1",
        "socks5://a:1",
    ],
)
def test_a_proxys_address_is_checked_before_use(url: str) -> None:
    with pytest.raises(ValueError, match="proxy") as caught:
        Proxy.of(url)
    assert "secret" not in str(caught.value)


def test_a_password_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="password cannot be read"):
        proxy_of(CollectorEndpoint(proxy="http://a:1", proxy_password_file=str(tmp_path / "none")))
    assert proxy_of(CollectorEndpoint(proxy_password_file="none")) is None


class Way:
    """Answers, or raises what ``failing`` says."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.asked = 0

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        self.asked += 1
        if self.failing:
            raise TransportError(self.failing, f"{self.failing} {self.asked}")
        return Reply(status=202)

    def close(self) -> None:
        """Nothing is held."""


class Trip:
    def __init__(self, *failing: str) -> None:
        self.now = 0.0
        self.ways = [Way(each) for each in failing]
        self.routes = Routes(
            {f"https://c{number}:8444": way for number, way in enumerate(self.ways, 1)},
            monotonic=lambda: self.now,
            random=lambda: 0.5,
        )

    def ask(self) -> str:
        assert self.routes.request("POST", "/v1/heartbeat", {}).status == 202
        return self.routes.url


@pytest.mark.parametrize("failing", ["unreachable", "untrusted", "proxy"])
def test_the_next_address_is_tried_at_once_and_stayed_with(failing: str) -> None:
    trip = Trip(failing, "", "")
    assert [trip.ask() for _ in range(3)] == ["https://c2:8444"] * 3
    assert [way.asked for way in trip.ways] == [1, 3, 0]


def test_the_preferred_address_is_used_again_once_it_answers() -> None:
    trip = Trip("unreachable", "")
    assert trip.ask() == "https://c2:8444"
    trip.now += 899
    assert trip.ask() == "https://c2:8444"
    trip.now += 2
    assert trip.ask() == "https://c2:8444", "it was tried, and still does not answer"
    assert trip.ways[0].asked == 2
    trip.ways[0].failing = ""
    trip.now += 901
    assert trip.ask() == "https://c1:8444"


def test_where_none_answers_the_first_ones_reason_is_told_and_each_was_tried_once() -> None:
    trip = Trip("untrusted", "unreachable", "unreachable")
    with pytest.raises(TransportError, match="untrusted 1"):
        trip.ask()
    assert [way.asked for way in trip.ways] == [1, 1, 1]
    assert trip.routes.url == "https://c1:8444"


def test_a_certificate_that_is_not_accepted_is_not_taken_from_door_to_door() -> None:
    trip = Trip("rejected", "")
    with pytest.raises(TransportError):
        trip.ask()
    assert trip.ways[1].asked == 0


def test_what_one_address_lost_the_other_takes(stub: StubCollector, enrolled: StateDirectory) -> None:
    """A real connection that breaks: nobody listens at the first address any more."""
    context = own_context(enrolled)
    gone = Address("127.0.0.1", free_port())
    clock = itertools.count()
    routes = Routes(
        {each.url: Connection(each, context) for each in (gone, Address.of(stub.url))},
        monotonic=lambda: float(next(clock)),
        random=lambda: 0.0,
    )
    assert routes.request("POST", "/v1/heartbeat", HEADERS).status == 202
    assert routes.url == stub.url
    routes.close()
