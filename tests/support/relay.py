"""A way out of the test LAN: connections to a port of a host's loopback reach the same port outside."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Host

_LOOPBACK: Final = "127.0.0.1"


@contextmanager
def relayed(host: Host, port: int) -> Iterator[None]:
    """While it holds, ``127.0.0.1:port`` of ``host`` is that of the machine that runs the test."""
    with host.entered():
        listener = socket.create_server((_LOOPBACK, port))
    with listener, selectors.DefaultSelector() as selector:
        stop_read, stop_write = socket.socketpair()
        selector.register(listener, selectors.EVENT_READ)
        selector.register(stop_read, selectors.EVENT_READ)
        thread = threading.Thread(target=_serve, args=(selector, listener, stop_read, port))
        thread.start()
        try:
            yield
        finally:
            stop_write.send(b"x")
            thread.join()
            stop_read.close()
            stop_write.close()


def _serve(selector: selectors.BaseSelector, listener: socket.socket, stop: socket.socket, port: int) -> None:
    others: dict[socket.socket, socket.socket] = {}
    while True:
        for key, _events in selector.select():
            one = key.fileobj
            if not isinstance(one, socket.socket):
                continue
            if one is stop:
                for each in others:
                    each.close()
                return
            if one is listener:
                inner, _address = listener.accept()
                try:
                    outer = socket.create_connection((_LOOPBACK, port))
                except OSError:
                    inner.close()
                    continue
                for each, other in ((inner, outer), (outer, inner)):
                    others[each] = other
                    selector.register(each, selectors.EVENT_READ)
            elif one in others:
                _pass_on(selector, others, one)


def _pass_on(
    selector: selectors.BaseSelector, others: dict[socket.socket, socket.socket], one: socket.socket
) -> None:
    try:
        data = one.recv(65536)
        if data:
            others[one].sendall(data)
            return
    except OSError:
        pass
    for each in (one, others[one]):
        with suppress(KeyError):
            selector.unregister(each)
        others.pop(each, None)
        each.close()
