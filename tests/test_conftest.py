"""The guard that every other test runs under."""

from __future__ import annotations

import socket

import pytest

from tests.conftest import NetworkUsedError


def test_a_test_that_reaches_beyond_loopback_fails() -> None:
    with socket.socket() as tcp, pytest.raises(NetworkUsedError):
        tcp.connect(("192.0.2.1", 80))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp, pytest.raises(NetworkUsedError):
        udp.sendto(b"", ("2001:db8::1", 53))


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as tcp:
        tcp.connect(server.getsockname())
