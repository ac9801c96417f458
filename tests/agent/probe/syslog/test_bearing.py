"""What a sender does to the part ends neither the part nor what others sent: sockets on loopback."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from agent.probe.contract import MAX_FRAME_BYTES, Hello, PartContext, Said
from agent.probe.syslog.inbox import Batch, Inbox, Leftover, Receipt
from agent.probe.syslog.listening import Listener
from agent.probe.syslog.receiving import Teller
from agent.probe.syslog.senders import Senders
from agent.probe.syslog.settings import Senders as Settings
from agent.probe.syslog.settings import SyslogSettings, Tcp, Tls, Udp
from tests.agent.probe.syslog.test_receiving import certificate
from tests.support.syslog import free_ports
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 1 << 17


class Told:
    """Stands for the agent: takes what a frame can hold, and nothing that has ``refused`` in it."""

    def __init__(self, folder: Path, settings: SyslogSettings) -> None:
        self.messages: list[str] = []
        self.context = PartContext(settings, Hello("syslog", {}, str(folder)), say=self.say, now=time.time)
        self.inbox, self.senders = Inbox(), Senders(settings.senders)
        self.teller = Teller(self.context, self.inbox, self.senders)

    def tell(self, batch: Batch) -> None:
        self.teller._tell(batch, self.teller._events_of(batch))

    def say(self, said: Said) -> str:
        data = msgspec.json.encode(said)
        if len(data) > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {len(data)} bytes")
        events = msgspec.json.decode(said.output).get("events", [])
        texts = [each["fields"]["message"] for each in events]
        if "refused" in texts:
            return "that is refused"
        self.messages += texts
        return ""


def turned(listener: Listener) -> bool:
    listener.turn(0.1)
    return True


def test_many_short_lines_at_once_are_told_in_frames_that_can_be(tmp_path: Path) -> None:
    [port] = free_ports(1)
    settings = SyslogSettings(udp=Udp(enabled=False), tcp=Tcp(address="127.0.0.1", port=port))
    told = Told(tmp_path, settings)
    listener = Listener(settings, told.inbox, told.senders, time.time)
    listener.open()
    with socket.create_connection(("127.0.0.1", port), 10) as sender:
        wait_until(lambda: turned(listener) and listener.connections, seconds=10, what="the connection")
        listener._took(Receipt("127.0.0.1", "tcp", port, time.time(), [b"a"] * MANY))
        sender.shutdown(socket.SHUT_WR)
        listener.close()
    batches = told.inbox.rest()
    assert max(sum(len(each.messages) for each in batch) for batch in batches) <= 4_096
    for number, receipts in enumerate(batches, 1):
        told.tell(Batch(number, receipts))
    assert len(told.messages) == MANY


def test_a_batch_too_large_for_a_frame_that_was_left_is_told_in_pieces_and_gone(tmp_path: Path) -> None:
    Leftover(tmp_path).write([Batch(1, [Receipt("192.0.2.1", "tcp", 514, time.time(), [b"a"] * MANY)])])
    told = Told(tmp_path, SyslogSettings())
    told.teller.begin()
    assert len(told.messages) == MANY
    assert not (tmp_path / "waiting").exists()
    assert told.teller._number == 1


def test_of_a_batch_only_the_message_that_is_refused_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(tmp_path, SyslogSettings())
    messages = [b"one", b"two", b"refused", b"three"]
    told.tell(Batch(1, [Receipt("192.0.2.1", "tcp", 514, time.time(), messages)]))
    assert told.messages == ["one", "two", "three"]
    assert "that is refused" in caplog.text


@pytest.mark.parametrize("first", [b"", b"x"])
def test_a_connection_for_tls_that_is_reset_before_it_is_accepted_ends_nothing(
    tmp_path: Path, first: bytes
) -> None:
    certificate(tmp_path, "probe.example")
    [port] = free_ports(1)
    settings = SyslogSettings(
        udp=Udp(enabled=False),
        tcp=Tcp(enabled=False),
        tls=Tls(
            True, "127.0.0.1", port, str(tmp_path / "probe.example.pem"), str(tmp_path / "probe.example.key")
        ),
    )
    senders = Senders(settings.senders)
    listener = Listener(settings, Inbox(), senders, time.time)
    listener.open()
    try:
        hasty = socket.create_connection(("127.0.0.1", port), 10)
        if first:
            hasty.sendall(first)
        hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        hasty.close()
        wait_until(
            lambda: turned(listener) and senders.tally("127.0.0.1").broken, seconds=10, what="the reset"
        )
        trusting = ssl.create_default_context(cafile=str(tmp_path / "probe.example.pem"))
        trusting.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            trusting.wrap_socket(plain, do_handshake_on_connect=False) as good,
        ):
            good.setblocking(False)

            def shaken() -> bool:
                listener.turn(0.01)
                try:
                    good.do_handshake()
                except ssl.SSLWantReadError:
                    return False
                return True

            wait_until(shaken, seconds=10, what="the handshake of the next")
    finally:
        listener.close()


class Crowd:
    """A listener with room for four connections, three of one address."""

    def __init__(self) -> None:
        [self.port] = free_ports(1)
        settings = SyslogSettings(
            udp=Udp(enabled=False),
            tcp=Tcp(address="127.0.0.1", port=self.port),
            senders=Settings(connections=4, connections_each=3),
        )
        self.inbox, self.senders = Inbox(), Senders(settings.senders)
        self.listener = Listener(settings, self.inbox, self.senders, time.time)
        self.listener.open()
        self.made: list[socket.socket] = []

    def connect(self, address: str, *, silent: float = 0.0) -> socket.socket:
        """One more; what it had said, it said ``silent`` seconds ago."""
        made = socket.create_connection(("127.0.0.1", self.port), 20, source_address=(address, 0))
        self.made.append(made)
        before = set(self.listener.connections._open)
        away = self.listener.connections.turned_away
        wait_until(
            lambda: (
                turned(self.listener)
                and (
                    set(self.listener.connections._open) - before
                    or self.listener.connections.turned_away > away
                )
            ),
            seconds=20,
            what="the connection",
        )
        for each in set(self.listener.connections._open) - before:
            each.heard_at -= silent
        return made

    def is_open(self, made: socket.socket) -> bool:
        return made.getsockname()[:2] in {
            (each.address, each.port) for each in self.listener.connections._open
        }

    def close(self) -> None:
        for each in self.made:
            each.close()
        self.listener.close()


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    made = Crowd()
    yield made
    made.close()


def test_where_there_are_too_many_the_crowds_silent_connection_ends_for_a_newcomer(crowd: Crowd) -> None:
    held = [crowd.connect("127.0.0.2", silent=each) for each in (90.0, 120.0, 0.0)]
    alone = crowd.connect("127.0.0.3", silent=3_000.0)
    held[1].sendall(b"<13>half")
    device = crowd.connect("127.0.0.4")
    assert crowd.is_open(device)
    assert [crowd.is_open(each) for each in (*held, alone)] == [True, False, True, True]
    assert crowd.listener.connections.turned_away == 1
    # Who has one is not ended for another's second.
    assert not crowd.is_open(crowd.connect("127.0.0.4"))


def test_an_address_with_too_many_loses_its_own_silent_one(crowd: Crowd) -> None:
    held = [crowd.connect("127.0.0.2", silent=each) for each in (0.0, 0.0, 90.0)]
    again = crowd.connect("127.0.0.2")
    assert [crowd.is_open(each) for each in (*held, again)] == [True, True, False, True]
    assert not crowd.is_open(crowd.connect("127.0.0.2"))
    assert crowd.listener.connections.turned_away == 2


def test_what_came_before_a_connection_lost_its_place_is_told(crowd: Crowd) -> None:
    sender = crowd.connect("127.0.0.2")
    sender.sendall(b"5 hello7 goodbye" + b"garbage")
    cut_off = crowd.connect("127.0.0.2")
    cut_off.sendall(b"5 again99 and no more")
    cut_off.close()
    wait_until(
        lambda: turned(crowd.listener) and not crowd.listener.connections, seconds=20, what="both to end"
    )
    told = [message for batch in crowd.inbox.rest() for receipt in batch for message in receipt.messages]
    assert sorted(told) == [b"again", b"goodbye", b"hello"]
    assert crowd.senders.tally("127.0.0.2").broken == 2
