"""A loopback relay that counts what passes: the agent's traffic as a network would carry it.

Payload bytes are counted as they pass. The headers are added from the kernel's own count of segments on the agent's
connection (``TCP_INFO``, tcp(7)): 52 bytes each, 20 of IPv4 and 32 of TCP with time stamps. Ethernet is not counted.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Final

HEADER_BYTES: Final = 52
# struct tcp_info (linux/tcp.h): tcpi_segs_out and tcpi_segs_in, two 32-bit numbers at this offset.
_SEGMENTS_OFFSET: Final = 136
_TCP_INFO_BYTES: Final = 232


class Relay:
    """Listens on an ephemeral loopback port and passes each connection on to ``target``'s port."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._payload = 0
        self._segments_closed = 0
        self._open: set[socket.socket] = set()
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def total_bytes(self) -> int:
        """Everything so far, both ways, headers included; only grows."""
        with self._lock:
            segments = self._segments_closed + sum(_segments(side) for side in self._open)
            return self._payload + segments * HEADER_BYTES

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                agent, _address = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            with self._lock:
                self._open.add(agent)
                self.connections += 1
            for source, sink in ((agent, server), (server, agent)):
                threading.Thread(target=self._pass, args=(agent, source, sink), daemon=True).start()

    def _pass(self, agent: socket.socket, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                with self._lock:
                    self._payload += len(chunk)
                sink.sendall(chunk)
        with self._lock:
            if agent in self._open:
                self._open.discard(agent)
                self._segments_closed += _segments(agent)
        for side in (source, sink):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


def _segments(connection: socket.socket) -> int:
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return 0
    out, into = struct.unpack_from("=II", info, _SEGMENTS_OFFSET)
    return int(out) + int(into)
