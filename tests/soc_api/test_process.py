"""The web process itself, over TLS on loopback."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from collector.bootstrap import prepare
from collector.process import CANNOT_START
from collector.settings import DataDirectory, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 60.0


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    data = DataDirectory(tmp_path / "data")
    prepare(data, Settings())
    return data


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
        return found


@pytest.fixture
def web(data: DataDirectory, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "soc_api.process", "--data", str(data.root)]
    process = subprocess.Popen(command, env={**os.environ, "VONGGAC_WEB_PORT": str(port)})
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield process
    process.kill()
    process.wait()


def ask(data: DataDirectory, port: int, request: bytes, version: ssl.TLSVersion | None = None) -> bytes:
    context = ssl.create_default_context(cafile=str(data.ca / "ca.crt"))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def test_it_serves_over_tls_by_the_own_authority_and_stops_cleanly(
    web: subprocess.Popen[bytes], data: DataDirectory, port: int
) -> None:
    answer = ask(data, port, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")  # the event store does not run here
    assert body == b'{"state":true,"events":false}'
    assert b"strict-transport-security" in head
    assert b"server:" not in head.lower()
    web.send_signal(signal.SIGTERM)
    assert web.wait(SECONDS) == 0


def test_heads_without_end_and_lines_that_are_no_http_are_refused(
    web: subprocess.Popen[bytes], data: DataDirectory, port: int
) -> None:
    endless = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 100_000
    assert ask(data, port, endless).startswith(b"HTTP/1.1 431")
    assert ask(data, port, b"\x16\x03\x01 nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert web.poll() is None


def test_a_second_one_on_the_same_port_says_why_it_cannot_start(data: DataDirectory) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = subprocess.run(
            [sys.executable, "-m", "soc_api.process", "--data", str(data.root)],
            env={**os.environ, "VONGGAC_WEB_PORT": str(taken.getsockname()[1])},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == CANNOT_START
    assert "is in use" in done.stderr
    assert "Traceback" not in done.stderr
