"""The sockets: datagrams and connections, plain and over TLS, read by one thread.

Nothing is acknowledged in syslog: what was read is this process's to keep. So nobody reads on while too much waits for
the disk (:meth:`Inbox.is_full`): a sender over TCP is held back by its window, datagrams wait in the kernel, which
counts what it drops (SO_RXQ_OVFL). At the end every connection is told that nobody reads on, and read to its own end.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from agent.probe.syslog.framing import Framer, FramingError
from agent.probe.syslog.inbox import Receipt
from agent.probe.syslog.senders import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.probe.syslog.inbox import Inbox
    from agent.probe.syslog.senders import Senders
    from agent.probe.syslog.settings import SyslogSettings, Tcp, Tls, Udp

_SO_RXQ_OVFL: Final = 40
_SO_RCVBUFFORCE: Final = 33
_DROPS: Final = struct.Struct("=I")
_DATAGRAM_BYTES: Final = 65_535
_CHUNK_BYTES: Final = 256 << 10
#: Datagrams that are read in one go before others get their turn.
_DATAGRAMS_A_TURN: Final = 512
_BACKLOG: Final = 128
_HANDSHAKE_SECONDS: Final = 10.0
_SWEEP_SECONDS: Final = 1.0
_FULL_SECONDS: Final = 0.005
_RECEIPT_MESSAGES: Final = 1_024
#: At the end: how long senders may go on, and how long after the last word nobody is waited for.
_FAREWELL_SECONDS: Final = 2.0
_QUIET_SECONDS: Final = 0.3


class _Connection:
    def __init__(
        self, made: socket.socket, address: str, port: int, transport: str, limit: int, now: float
    ) -> None:
        self.socket = made
        self.address, self.port, self.transport = address, port, transport
        self.framer = Framer(limit)
        self.heard_at = self.began_at = now
        self.shaking = isinstance(made, ssl.SSLSocket)
        self.name = ""


class Listener:
    """:meth:`open`, then :meth:`turn` again and again, then :meth:`close`. One thread."""

    def __init__(
        self, settings: SyslogSettings, inbox: Inbox, senders: Senders, now: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._limits = settings.senders
        self._inbox = inbox
        self._senders = senders
        self._now = now
        self._selector = selectors.DefaultSelector()
        self._listening: list[socket.socket] = []
        self._connections: dict[int, _Connection] = {}
        self._of_address: dict[str, int] = {}
        self._tls: ssl.SSLContext | None = None
        self._drops = 0
        self._swept_at = 0.0
        #: Datagrams that the kernel dropped, since the start.
        self.lost = 0
        #: Connections that were turned away since there were too many.
        self.turned_away = 0

    def open(self) -> dict[str, int]:
        """Listen; return the ports by transport. Raises :class:`OSError` (also :class:`ssl.SSLError`) with nothing left
        open, where one cannot be had."""
        settings, ports = self._settings, {}
        try:
            if settings.udp.enabled:
                ports["udp"] = self._open_udp(settings.udp)
            if settings.tcp.enabled:
                ports["tcp"] = self._open_stream(settings.tcp, "tcp")
            if settings.tls.enabled:
                self._tls = _tls_context(settings.tls)
                ports["tls"] = self._open_stream(settings.tls, "tls")
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
            if callable(key.data):
                key.data(key.fileobj)
            else:
                self._read(key.data)
            if self._inbox.is_full():
                break
        now = time.monotonic()
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = now
            self._sweep(now)

    def close(self) -> None:
        """Read every connection to its end, or as long as somebody may wait for that; then close all.

        Datagrams that came before are read too. What the inbox holds then is all that was received.
        """
        for each in self._listening:
            if each.type == socket.SOCK_STREAM:
                self._selector.unregister(each)
                each.close()
        for connection in list(self._connections.values()):
            with suppress(OSError):
                if connection.transport == "tls":
                    # unwrap() would wait; the end of what is sent is enough for a sender to look.
                    socket.socket.shutdown(connection.socket, socket.SHUT_WR)
                else:
                    connection.socket.shutdown(socket.SHUT_WR)
        began = heard = time.monotonic()
        while time.monotonic() - began < _FAREWELL_SECONDS and time.monotonic() - heard < _QUIET_SECONDS:
            ready = self._selector.select(_QUIET_SECONDS / 3)
            for key, _ in ready:
                if callable(key.data):
                    key.data(key.fileobj)
                else:
                    self._read(key.data)
            if ready:
                heard = time.monotonic()
            elif not self._connections:
                break
        for connection in list(self._connections.values()):
            self._end(connection)
        self._close_all()

    # -- opening -----------------------------------------------------------------------------------------------

    def _open_udp(self, settings: Udp) -> int:
        made = _bound(settings.address, settings.port, socket.SOCK_DGRAM)
        self._listening.append(made)
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, settings.buffer_bytes)
        except OSError:  # not without CAP_NET_ADMIN: as much as net.core.rmem_max allows
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings.buffer_bytes)
        made.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        self._selector.register(made, selectors.EVENT_READ, self._read_datagrams)
        port: int = made.getsockname()[1]
        return port

    def _open_stream(self, settings: Tcp | Tls, transport: str) -> int:
        made = _bound(settings.address, settings.port, socket.SOCK_STREAM)
        self._listening.append(made)
        made.listen(_BACKLOG)
        accept = self._accept_tls if transport == "tls" else self._accept_plain
        self._selector.register(made, selectors.EVENT_READ, accept)
        port: int = made.getsockname()[1]
        return port

    # -- reading -----------------------------------------------------------------------------------------------

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
                if level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL and len(value) == _DROPS.size:
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

    def _accept_plain(self, listening: socket.socket) -> None:
        self._accept(listening, "tcp")

    def _accept_tls(self, listening: socket.socket) -> None:
        self._accept(listening, "tls")

    def _accept(self, listening: socket.socket, transport: str) -> None:
        try:
            made, peer = listening.accept()
        except OSError:  # gone again, or no more descriptors: the next turn tries anew
            return
        address = plain(peer[0])
        if not self._senders.may_send(address):
            made.close()
            return
        each = self._of_address.get(address, 0)
        if len(self._connections) >= self._limits.connections or each >= self._limits.connections_each:
            self.turned_away += 1
            made.close()
            return
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if transport == "tls" and self._tls is not None:
            try:
                made.getpeername()  # of one that is reset already, wrap_socket() leaves an open socket behind
                made = self._tls.wrap_socket(made, server_side=True, do_handshake_on_connect=False)
            except OSError:  # gone again before it was accepted
                self._senders.tally(address).broken += 1
                made.close()
                return
        connection = _Connection(
            made, address, peer[1], transport, self._settings.messages.bytes, time.monotonic()
        )
        self._connections[made.fileno()] = connection
        self._of_address[address] = each + 1
        self._selector.register(made, selectors.EVENT_READ, connection)

    def _read(self, connection: _Connection) -> None:
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
        except FramingError:
            self._senders.tally(connection.address).broken += 1
            self._forget(connection)
            ended = False
        except OSError:
            ended = True
        if messages:
            connection.heard_at = time.monotonic()
            self._took(self._receipt(connection, messages))
        if framer.cut != cut:
            self._senders.tally(connection.address).cut += framer.cut - cut
        if ended:
            self._end(connection)

    def _shake_hands(self, connection: _Connection) -> bool:
        made = connection.socket
        if not isinstance(made, ssl.SSLSocket):
            return True
        try:
            made.do_handshake()
        except ssl.SSLWantReadError:
            self._selector.modify(made, selectors.EVENT_READ, connection)
            return False
        except ssl.SSLWantWriteError:
            self._selector.modify(made, selectors.EVENT_WRITE, connection)
            return False
        except OSError:
            self._senders.tally(connection.address).broken += 1
            self._forget(connection)
            return False
        connection.shaking = False
        connection.name = _common_name(made)
        self._selector.modify(made, selectors.EVENT_READ, connection)
        return True

    def _receipt(self, connection: _Connection, messages: list[bytes]) -> Receipt:
        return Receipt(
            connection.address,
            connection.transport,
            connection.port,
            self._now(),
            messages,
            connection.name,
        )

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

    # -- ending ------------------------------------------------------------------------------------------------

    def _end(self, connection: _Connection) -> None:
        rest = connection.framer.rest()
        if rest:
            self._took(self._receipt(connection, rest))
        self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        descriptor = connection.socket.fileno()
        if self._connections.pop(descriptor, None) is None:
            return
        left = self._of_address.get(connection.address, 1) - 1
        if left > 0:
            self._of_address[connection.address] = left
        else:
            self._of_address.pop(connection.address, None)
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def _sweep(self, now: float) -> None:
        for each in list(self._connections.values()):
            if now - each.heard_at > self._limits.idle_seconds:
                self._end(each)
            elif each.shaking and now - each.began_at > _HANDSHAKE_SECONDS:
                self._forget(each)

    def _close_all(self) -> None:
        for each in self._listening:
            each.close()
        self._listening.clear()
        self._selector.close()


def _bound(address: str, port: int, kind: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind((address, port))
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"{address} port {port}: {error.strerror}") from error
    return made


def _tls_context(settings: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate_file, settings.key_file)
    if settings.client_ca_file:
        context.load_verify_locations(settings.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _common_name(made: ssl.SSLSocket) -> str:
    """What the certificate of the other side says it is; empty where it showed none."""
    certificate = made.getpeercert() or {}
    for relative in certificate.get("subject", ()):
        for item in relative:
            if len(item) == 2 and item[0] == "commonName":
                return str(item[1])[:255]
    return ""
