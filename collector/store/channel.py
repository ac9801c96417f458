"""HTTP over the store's Unix socket: a small pool of kept connections, for threads to share.

The standard library's client, because a request must never be sent twice on its own (an insert is not idempotent),
and a socket must be closed where connecting fails.
"""

from __future__ import annotations

import http.client
import select
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("store")
        self._path = path

    def connect(self) -> None:
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            unix.settimeout(self.timeout)
            unix.connect(str(self._path))
        except BaseException:
            unix.close()
            raise
        self.sock = unix

    def is_stale(self) -> bool:
        """Whether the other side has closed it, or sent what nobody asked for."""
        return self.sock is None or bool(select.select([self.sock], [], [], 0)[0])


class Channel:
    """Call :meth:`close` when done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[_UnixConnection] = []
        self._lock = threading.Lock()

    def request(
        self, method: str, path: str, body: bytes | None, kind: str, timeout_seconds: float
    ) -> tuple[int, bytes]:
        """Status and body of one request, sent at most once.

        Raises:
            OSError: nobody listens, the connection broke, or the time is over.
            http.client.HTTPException: the connection broke in the middle of the answer.
        """
        connection = self._take()
        connection.timeout = timeout_seconds
        if connection.sock is not None:
            connection.sock.settimeout(timeout_seconds)
        try:
            connection.request(method, path, body, {"content-type": kind} if kind else {})
            reply = connection.getresponse()
            content = reply.read()
        except BaseException:
            connection.close()
            raise
        if reply.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return reply.status, content

    def close(self) -> None:
        """Close the kept connections; requests that run close their own."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> _UnixConnection:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_stale():
                    return connection
                connection.close()
        return _UnixConnection(self._path)
