"""Connections of senders, plain and over TLS: who gets one, what is read from it, when it ends."""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from agent.probe.syslog.framing import Framer
from agent.probe.syslog.inbox import Receipt
from agent.probe.syslog.senders import plain
from agent.probe.syslog.sockets import common_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.probe.syslog.senders import Senders
    from agent.probe.syslog.settings import SyslogSettings

_CHUNK_BYTES: Final = 256 << 10
_HANDSHAKE_SECONDS: Final = 10.0
#: Where there are too many, one that has said nothing for so long may be ended for another.
_SILENT_SECONDS: Final = 60.0


class _Connection:
    def __init__(self, made: socket.socket, address: str, port: int, limit: int, now: float) -> None:
        self.socket = made
        self.address, self.port = address, port
        self.framer = Framer(limit)
        self.heard_at = self.began_at = now
        self.shaking = isinstance(made, ssl.SSLSocket)
        self.transport = "tls" if self.shaking else "tcp"
        self.name = ""


class Connections:
    """All that are open, registered with ``selector``: the data of each is what to call when it can be read. What was
    read goes to ``took``. One thread."""

    def __init__(
        self,
        settings: SyslogSettings,
        selector: selectors.BaseSelector,
        senders: Senders,
        now: Callable[[], float],
        took: Callable[[Receipt], None],
    ) -> None:
        self._limits = settings.senders
        self._longest = settings.messages.bytes
        self._selector = selector
        self._senders = senders
        self._now = now
        self._took = took
        self._open: set[_Connection] = set()
        self._of_address: dict[str, int] = {}
        #: Connections that were turned away, or ended after a long silence, since there were too many.
        self.turned_away = 0

    def __len__(self) -> int:
        return len(self._open)

    def accept(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        """Take the next connection; ``context``: over TLS."""
        try:
            made, peer = listening.accept()
        except OSError:  # gone again, or no more descriptors: the next turn tries anew
            return
        address = plain(peer[0])
        if not self._senders.may_send(address):
            made.close()
            return
        now = time.monotonic()
        if not self._has_room(address, now):
            self.turned_away += 1
            made.close()
            return
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if context is not None:
            try:
                made.getpeername()  # of one that is reset already, wrap_socket() leaves an open socket behind
                made = context.wrap_socket(made, server_side=True, do_handshake_on_connect=False)
            except OSError:  # gone again before it was accepted
                self._senders.tally(address).broken += 1
                made.close()
                return
        connection = _Connection(made, address, peer[1], self._longest, now)
        self._open.add(connection)
        self._of_address[address] = self._of_address.get(address, 0) + 1
        self._selector.register(made, selectors.EVENT_READ, partial(self._read, connection))

    def sweep(self, now: float) -> None:
        """End what has been idle for too long; ``now``: steady."""
        for each in list(self._open):
            if now - each.heard_at > self._limits.idle_seconds:
                self._end(each)
            elif each.shaking and now - each.began_at > _HANDSHAKE_SECONDS:
                self._forget(each)

    def say_goodbye(self) -> None:
        """Tell every sender that nobody reads on; what they have sent can still be read."""
        for each in self._open:
            with suppress(OSError):
                # Of TLS unwrap() would wait; the end of what is sent is enough for a sender to look.
                socket.socket.shutdown(each.socket, socket.SHUT_WR)

    def end_all(self) -> None:
        for each in list(self._open):
            self._end(each)

    def _has_room(self, address: str, now: float) -> bool:
        """Whether ``address`` may have one more. If need be, one that is silent ends for it: its own where it has too
        many, that of an address that has more than it would have where there are too many in all."""
        own = self._of_address.get(address, 0)
        if own >= self._limits.connections_each:
            others = [each for each in self._open if each.address == address]
        elif len(self._open) >= self._limits.connections:
            others = [each for each in self._open if self._of_address[each.address] > own + 1]
        else:
            return True
        silent = [each for each in others if now - each.heard_at > _SILENT_SECONDS]
        if not silent:
            return False
        self._end(max(silent, key=lambda each: (self._of_address[each.address], now - each.heard_at)))
        self.turned_away += 1
        return True

    def _read(self, connection: _Connection) -> None:
        if connection.socket.fileno() < 0:  # ended in this turn, for another
            return
        if connection.shaking and not self._shake_hands(connection):
            return
        messages: list[bytes] = []
        framer, cut = connection.framer, connection.framer.cut
        ended = False
        try:
            data = connection.socket.recv(_CHUNK_BYTES)
            messages = framer.feed(data)
            # What TLS has deciphered already, no selector tells of.
            while data and isinstance(connection.socket, ssl.SSLSocket) and connection.socket.pending():
                data = connection.socket.recv(_CHUNK_BYTES)
                messages += framer.feed(data)
            ended = not data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError, InterruptedError):
            pass
        except OSError:
            ended = True
        if messages:
            connection.heard_at = time.monotonic()
            self._took(self._receipt(connection, messages))
        if framer.cut != cut:
            self._senders.tally(connection.address).cut += framer.cut - cut
        if ended or framer.broken:
            self._end(connection)

    def _shake_hands(self, connection: _Connection) -> bool:
        made = connection.socket
        if not isinstance(made, ssl.SSLSocket):
            return True
        try:
            made.do_handshake()
        except ssl.SSLWantReadError:
            self._await(connection, selectors.EVENT_READ)
            return False
        except ssl.SSLWantWriteError:
            self._await(connection, selectors.EVENT_WRITE)
            return False
        except OSError:
            self._senders.tally(connection.address).broken += 1
            self._forget(connection)
            return False
        connection.shaking = False
        connection.name = common_name(made)
        self._await(connection, selectors.EVENT_READ)
        return True

    def _await(self, connection: _Connection, events: int) -> None:
        self._selector.modify(connection.socket, events, partial(self._read, connection))

    def _receipt(self, connection: _Connection, messages: list[bytes]) -> Receipt:
        return Receipt(
            connection.address,
            connection.transport,
            connection.port,
            self._now(),
            messages,
            connection.name,
        )

    def _end(self, connection: _Connection) -> None:
        rest = connection.framer.rest()
        if rest:
            self._took(self._receipt(connection, rest))
        if connection.framer.broken:
            self._senders.tally(connection.address).broken += 1
        self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        self._open.discard(connection)
        left = self._of_address[connection.address] - 1
        if left:
            self._of_address[connection.address] = left
        else:
            del self._of_address[connection.address]
        self._selector.unregister(connection.socket)
        connection.socket.close()
