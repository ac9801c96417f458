"""What the part listens at: datagrams and connections, read by one thread.

Nothing is acknowledged in syslog: what was read is this process's to keep. So nobody reads on while too much waits for
the disk (:meth:`Inbox.is_full`): a sender over TCP is held back by its window, datagrams wait in the kernel, which
counts what it drops (SO_RXQ_OVFL). At the end every connection is told that nobody reads on, and read to its own end.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from agent.probe.syslog.connections import Connections
from agent.probe.syslog.inbox import Receipt
from agent.probe.syslog.senders import plain
from agent.probe.syslog.sockets import SO_RXQ_OVFL, datagram_socket, listening_socket, tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from agent.probe.syslog.inbox import Inbox
    from agent.probe.syslog.senders import Senders
    from agent.probe.syslog.settings import SyslogSettings, Tcp, Tls

_DROPS: Final = struct.Struct("=I")
_DATAGRAM_BYTES: Final = 65_535
#: Datagrams that are read in one go before others get their turn.
_DATAGRAMS_A_TURN: Final = 512
_SWEEP_SECONDS: Final = 1.0
_FULL_SECONDS: Final = 0.005
_RECEIPT_MESSAGES: Final = 1_024
#: At the end: how long senders may go on, and how long after the last word nobody is waited for.
_FAREWELL_SECONDS: Final = 2.0
_QUIET_SECONDS: Final = 0.3


class Listener:
    """:meth:`open`, then :meth:`turn` again and again, then :meth:`close`. One thread."""

    def __init__(
        self, settings: SyslogSettings, inbox: Inbox, senders: Senders, now: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._senders = senders
        self._now = now
        #: The data of each key is what to call when there is something to read.
        self._selector = selectors.DefaultSelector()
        self._listening: list[socket.socket] = []
        self.connections = Connections(settings, self._selector, senders, now, self._took)
        self._drops = 0
        self._swept_at = 0.0
        #: Datagrams that the kernel dropped, since the start.
        self.lost = 0

    def open(self) -> dict[str, int]:
        """Listen; return the ports by transport. Raises :class:`OSError` (also :class:`ssl.SSLError`) with nothing left
        open, where one cannot be had."""
        settings, ports = self._settings, {}
        try:
            if settings.udp.enabled:
                made = datagram_socket(settings.udp)
                ports["udp"] = self._listen(made, partial(self._read_datagrams, made))
            if settings.tcp.enabled:
                ports["tcp"] = self._open_stream(settings.tcp, None)
            if settings.tls.enabled:
                ports["tls"] = self._open_stream(settings.tls, tls_context(settings.tls))
        except OSError:
            self._close_all()
            raise
        return ports

    def turn(self, timeout: float) -> None:
        """Read what is there, waiting ``timeout`` seconds for it."""
        if self._inbox.is_full():
            time.sleep(_FULL_SECONDS)
            return
        for key, _ in self._selector.select(timeout):
            key.data()
            if self._inbox.is_full():
                break
        now = time.monotonic()
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = now
            self.connections.sweep(now)

    def close(self) -> None:
        """Read every connection to its end, or as long as somebody may wait for that; then close all.

        Datagrams that came before are read too. What the inbox holds then is all that was received.
        """
        for each in self._listening:
            if each.type == socket.SOCK_STREAM:
                self._selector.unregister(each)
                each.close()
        self.connections.say_goodbye()
        began = heard = time.monotonic()
        while time.monotonic() - began < _FAREWELL_SECONDS and time.monotonic() - heard < _QUIET_SECONDS:
            ready = self._selector.select(_QUIET_SECONDS / 3)
            for key, _ in ready:
                key.data()
            if ready:
                heard = time.monotonic()
            elif not self.connections:
                break
        self.connections.end_all()
        self._close_all()

    def _open_stream(self, settings: Tcp | Tls, context: ssl.SSLContext | None) -> int:
        made = listening_socket(settings)
        return self._listen(made, partial(self.connections.accept, made, context))

    def _listen(self, made: socket.socket, ready: Callable[[], None]) -> int:
        self._listening.append(made)
        self._selector.register(made, selectors.EVENT_READ, ready)
        port: int = made.getsockname()[1]
        return port

    def _close_all(self) -> None:
        for each in self._listening:
            each.close()
        self._listening.clear()
        self._selector.close()

    def _read_datagrams(self, made: socket.socket) -> None:
        now = self._now()
        by_sender: dict[str, tuple[int, list[bytes]]] = {}
        limit = self._settings.messages.bytes
        for _ in range(_DATAGRAMS_A_TURN):
            try:
                data, more, _, sender = made.recvmsg(_DATAGRAM_BYTES, 64)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue
            for level, kind, value in more:
                if level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL and len(value) == _DROPS.size:
                    self._count_drops(_DROPS.unpack(value)[0])
            address = plain(sender[0])
            if not self._senders.may_send(address):
                continue
            tally = self._senders.tally(address)
            if self._senders.is_too_much(address, now):
                tally.refused += 1
                continue
            data = data.rstrip(b"\r\n\0 ")
            if not data:
                continue
            if len(data) > limit:
                tally.cut += 1
                data = data[:limit]
            by_sender.setdefault(address, (sender[1], []))[1].append(data)
        for address, (port, messages) in by_sender.items():
            self._took(Receipt(address, "udp", port, now, messages))

    def _count_drops(self, drops: int) -> None:
        """The kernel's count is of 32 bits and goes round."""
        self.lost += (drops - self._drops) & 0xFFFFFFFF
        self._drops = drops

    def _took(self, receipt: Receipt) -> None:
        tally = self._senders.tally(receipt.address)
        tally.messages += len(receipt.messages)
        tally.bytes += sum(map(len, receipt.messages))
        tally.last_at, tally.transport = receipt.received_at, receipt.transport
        if receipt.name:
            tally.certificate = receipt.name
        # In pieces of which several make a batch: many short lines that came at once would be too much for one.
        for at in range(0, len(receipt.messages), _RECEIPT_MESSAGES):
            self._inbox.put(replace(receipt, messages=receipt.messages[at : at + _RECEIPT_MESSAGES]))
