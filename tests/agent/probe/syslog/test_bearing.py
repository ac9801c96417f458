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
from agent.probe.syslog.settings import SyslogSettings, Tcp, Tls, Udp
from tests.agent.probe.syslog.test_receiving import certificate
from tests.support.syslog import free_ports
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

MANY = 1 << 17


class Told:
    """Stands for the agent: takes what a frame can hold, and nothing that has ``refused`` in it."""

    def __init__(self, folder: Path, settings: SyslogSettings) -> None:
        self.messages: list[str] = []
        self.context = PartContext(settings, Hello("syslog", {}, str(folder)), say=self.say, now=time.time)
        self.inbox, self.senders = Inbox(), Senders(settings.senders)
        self.teller = Teller(self.context, self.inbox, self.senders)

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
        wait_until(lambda: turned(listener) and listener._connections, seconds=10, what="the connection")
        [connection] = listener._connections.values()
        listener._took(listener._receipt(connection, [b"a"] * MANY))
        sender.shutdown(socket.SHUT_WR)
        listener.close()
    batches = told.inbox.rest()
    assert max(sum(len(each.messages) for each in batch) for batch in batches) <= 4_096
    for number, receipts in enumerate(batches, 1):
        told.teller._tell(Batch(number, receipts))
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
    told.teller._tell(Batch(1, [Receipt("192.0.2.1", "tcp", 514, time.time(), messages)]))
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
