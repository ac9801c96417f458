from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest

from collector.machine import machine_name
from tests.support.collector import ask, make_site, send_batch

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.collector import Endpoint, Site


@contextlib.contextmanager
def raw(site: Site) -> Iterator[ssl.SSLSocket]:
    plain = socket.create_connection(("127.0.0.1", site.port), timeout=20)
    with site.trust().wrap_socket(plain, server_hostname="localhost") as connection:
        yield connection


def read_all(connection: ssl.SSLSocket) -> bytes:
    """Everything until the server closes."""
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/bundle/../ca.key", 404),
        ("GET", "/v1/bundle/%2e%2e%2fca.key", 404),
        ("GET", "/v1/bundle/", 404),
        ("POST", "/v1/batches/", 404),
        ("GET", "/v1/batches", 405),
        ("DELETE", "/v1/ca", 405),
        ("POST", "/healthz", 405),
    ],
)
def test_what_is_not_there_is_refused_as_a_problem(
    stranger: http.client.HTTPSConnection, method: str, path: str, status: int
) -> None:
    answer = ask(stranger, method, path)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"CONNECT other:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 40_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000,
        b"GET / HTTP/1.1\r\n" + b"X-Header: value\r\n" * 4_000,
    ],
)
def test_what_is_not_http_or_too_large_a_head_is_refused_and_the_connection_closed(
    site: Site, request_bytes: bytes
) -> None:
    with raw(site) as connection:
        connection.sendall(request_bytes)
        reply = read_all(connection)

    assert reply.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ", b"HTTP/1.1 404 ", b""))
    assert not reply or b"application/problem+json" in reply
    with contextlib.closing(site.connect()) as fresh:
        assert ask(fresh, "GET", "/healthz").status == 200


def test_several_requests_in_one_go_are_answered_in_turn(site: Site) -> None:
    with raw(site) as connection:
        connection.sendall(b"GET /v1/ca HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"GET / HTTP/1.0\r\n\r\n")
        reply = read_all(connection)

    assert reply.count(b"HTTP/1.1 200 OK") == 3
    assert reply.count(b"HTTP/1.1 404 Not Found") == 1


def test_a_connection_outlives_the_pauses_between_heartbeats() -> None:
    from collector.ingest.protocol import KEEP_ALIVE_SECONDS

    assert KEEP_ALIVE_SECONDS >= 300


SLOW = [
    pytest.param(b"", id="nothing at all"),
    pytest.param(b"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nX-Slow: ", id="half a head"),
    pytest.param(b"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc", id="half a body"),
]


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An ingest process that waits a second for a request instead of half a minute."""
    site = make_site(tmp_path_factory.mktemp("impatient"), "request_seconds = 1.0")
    process = site.start_ingest()
    yield site
    process.terminate()
    assert process.wait(15) == 0
    site.state.close()


@pytest.mark.parametrize("start", SLOW)
def test_a_request_that_never_ends_is_ended(impatient: Site, start: bytes) -> None:
    with raw(impatient) as connection:
        connection.sendall(start)
        began = time.monotonic()
        reply = read_all(connection)

    assert 0.5 < time.monotonic() - began < 8
    assert b"408 Request Timeout" in reply


def test_an_empty_line_does_not_keep_a_connection_open(impatient: Site) -> None:
    with raw(impatient) as connection:
        connection.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
        connection.sendall(b"\r\n")
        assert b"408 Request Timeout" in read_all(connection)


def test_metrics_count_what_happened(
    site: Site, connection: http.client.HTTPSConnection, stranger: http.client.HTTPSConnection
) -> None:
    send_batch(connection, 1)
    send_batch(connection, 1)
    send_batch(stranger, 1)

    text = ask(stranger, "GET", "/metrics").body.decode("utf-8")

    def value(name: str) -> float:
        return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    def requests(reason: str, status: int) -> float:
        here = f'machine="{machine_name()}",process="ingest"'
        labels = f'{here},reason="{reason}",route="/v1/batches",status="{status}"'
        return value(f"vonggac_ingest_requests_total{{{labels}}}")

    assert requests("", 202) >= 2
    assert requests("certificate", 401) >= 1
    assert value("vonggac_log_repeats_total") >= 1
    assert value("vonggac_log_offset") >= 1
    assert value("vonggac_log_commit_seconds_count") >= 1
    assert value("vonggac_ingest_connections") >= 2
    assert value("vonggac_state_up") == 1


def test_wheels_of_the_bundle_are_listed_and_served_and_nothing_else(
    site: Site, stranger: http.client.HTTPSConnection, tmp_path: Path
) -> None:
    site.data.bundle.mkdir()
    wheel = b"PK" + bytes(range(256)) * 1000
    (site.data.bundle / "vonggac-0.1.0-py3-none-any.whl").write_bytes(wheel)
    (site.data.bundle / "secret.key").write_bytes(b"secret")
    (site.data.bundle / "link.whl").symlink_to(site.data.ca / "ca.key")
    (site.data.bundle / "folder.whl").mkdir()

    listing = ask(stranger, "GET", "/v1/bundle").json()

    assert listing["files"] == [
        {
            "name": "vonggac-0.1.0-py3-none-any.whl",
            "size": len(wheel),
            "sha256": hashlib.sha256(wheel).hexdigest(),
        }
    ]
    assert ask(stranger, "GET", "/v1/bundle/vonggac-0.1.0-py3-none-any.whl").body == wheel
    for name in ("secret.key", "link.whl", "folder.whl", "..%2fca%2fca.key", "none.whl", "%00.whl"):
        assert ask(stranger, "GET", f"/v1/bundle/{name}").status == 404


def test_a_batch_too_many_for_the_memory_is_put_off(tmp_path: Path) -> None:
    from agent.messages import MAX_BODY_BYTES

    site = make_site(tmp_path / "data", f"queue_bytes = {1 << 20}")
    process = site.start_ingest()
    endpoint = site.enrol(tmp_path / "endpoint")
    try:
        with (
            contextlib.closing(endpoint.connect()) as holder,
            contextlib.closing(endpoint.connect()) as other,
        ):
            holder.putrequest("POST", "/v1/batches")
            holder.putheader("Vonggac-Batch", f"{'0' * 32};1;1.0")
            holder.putheader("Content-Length", str(MAX_BODY_BYTES))
            holder.endheaders(b"x" * (MAX_BODY_BYTES - 100))
            deadline = time.monotonic() + 10
            while (answer := send_batch(other, 2, b"y" * 50_000)).status != 503:
                assert time.monotonic() < deadline
    finally:
        process.terminate()
        process.wait(15)
        site.state.close()

    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["type"] == "urn:vonggac:problem:busy"


def test_an_expectation_is_answered_before_the_body(endpoint: Endpoint) -> None:
    with contextlib.closing(endpoint.connect()) as connection:
        connection.putrequest("POST", "/v1/batches")
        connection.putheader("Vonggac-Batch", f"{'0' * 32};1;1.0")
        connection.putheader("Content-Length", str(10 << 20))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        assert connection.getresponse().status == 413
