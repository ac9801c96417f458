from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest
import zstandard

from agent.messages import BATCH_HEADER, MAX_BODY_BYTES, MAX_DECODED_BYTES
from collector.log.sqlite_reader import SqliteReader
from collector.partitions import all_from
from tests.support.collector import BODY, STREAM, ask, send_batch

if TYPE_CHECKING:
    import http.client

    from tests.support.collector import Endpoint, Site


def rows_of(site: Site, endpoint: Endpoint) -> list[tuple[str, int, bytes]]:
    with contextlib.closing(SqliteReader(site.data.log)) as reader:
        return [
            (row.kind, row.seq, row.body)
            for row in reader.read(all_from(0), 10_000)
            if row.endpoint_id == endpoint.id
        ]


def _around_now(before: float, told: float) -> bool:
    """Told between ``before`` and now, give or take a clock that is being set and the header's milliseconds."""
    return before - 1 <= told <= time.time() + 1


def test_a_batch_is_in_the_log_when_it_is_answered(
    site: Site, endpoint: Endpoint, connection: http.client.HTTPSConnection
) -> None:
    before = time.time()
    answer = send_batch(connection, 1)

    assert answer.status == 202
    assert _around_now(before, float(answer.headers["vonggac-time"]))
    with contextlib.closing(SqliteReader(site.data.log)) as reader:
        row = next(row for row in reader.read(all_from(0), 10_000) if row.endpoint_id == endpoint.id)
    assert (row.kind, row.stream, row.seq, row.body) == ("batch", STREAM, 1, BODY)
    assert _around_now(before, row.received_at)


def test_an_answer_is_short(connection: http.client.HTTPSConnection) -> None:
    answer = send_batch(connection, 1)

    assert set(answer.headers) == {"content-length", "vonggac-time"}
    assert sum(len(name) + len(value) + 4 for name, value in answer.headers.items()) < 60


def test_a_repeated_batch_is_acknowledged_and_stored_once(
    site: Site, endpoint: Endpoint, connection: http.client.HTTPSConnection
) -> None:
    answers = [send_batch(connection, number).status for number in (1, 2, 1, 2)]

    assert answers == [202] * 4
    assert [seq for _, seq, _ in rows_of(site, endpoint)] == [1, 2]


def test_heartbeats_are_rows_without_a_body(
    site: Site, endpoint: Endpoint, connection: http.client.HTTPSConnection
) -> None:
    assert send_batch(connection, 0, b"", path="/v1/heartbeat").status == 204
    assert rows_of(site, endpoint) == [("heartbeat", 0, b"")]


def frame_declaring(size: int) -> bytes:
    """The header of a Zstandard frame that declares ``size`` bytes of content, and little behind it."""
    return b"\x28\xb5\x2f\xfd\xe0" + size.to_bytes(8, "little") + b"\x01\x00\x00"


@pytest.mark.parametrize(
    ("header", "body", "status"),
    [
        (None, BODY, 422),
        ("", BODY, 422),
        (f"{STREAM};1", BODY, 422),
        (f"{STREAM};0;1.0", BODY, 422),
        (f"{STREAM.upper()};1;1.0", BODY, 422),
        (f"{STREAM};9999999999999999;1.0", BODY, 422),
        (f"{STREAM};1;1.0;", BODY, 422),
        (f"{STREAM};1;nan", BODY, 422),
        (f"{STREAM};1;1.0", b"", 422),
        (f"{STREAM};1;1.0", b'{"schema":1}', 422),
        (f"{STREAM};1;1.0", zstandard.ZstdCompressor(write_content_size=False).compress(b"x"), 422),
        (f"{STREAM};1;1.0", b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip", 422),
        (f"{STREAM};1;1.0", frame_declaring(MAX_DECODED_BYTES + 1), 413),
        (f"{STREAM};1;1.0", frame_declaring(2**63), 413),
        (f"{STREAM};1;1.0", b"x" * (MAX_BODY_BYTES + 1), 413),
    ],
)
def test_an_unsound_envelope_is_refused_with_the_reason_and_nothing_is_stored(
    site: Site,
    endpoint: Endpoint,
    connection: http.client.HTTPSConnection,
    header: str | None,
    body: bytes,
    status: int,
) -> None:
    headers = {} if header is None else {BATCH_HEADER: header}
    answer = ask(connection, "POST", "/v1/batches", body, headers)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    kind = "too-large" if status == 413 else "envelope"
    assert (problem["status"], problem["type"]) == (status, f"urn:vonggac:problem:{kind}")
    assert problem["detail"]
    assert rows_of(site, endpoint) == []
    assert send_batch(connection, 1).status == 202


def test_two_batch_headers_are_refused(connection: http.client.HTTPSConnection) -> None:
    connection.putrequest("POST", "/v1/batches")
    for number in (1, 2):
        connection.putheader(BATCH_HEADER, f"{STREAM};{number};1.0")
    connection.putheader("Content-Length", str(len(BODY)))
    connection.endheaders(BODY)
    reply = connection.getresponse()

    assert reply.status == 422
    assert b"2 Vonggac-Batch headers" in reply.read()


def test_a_body_without_a_length_is_bounded_while_it_is_read(connection: http.client.HTTPSConnection) -> None:
    def endless() -> object:
        for _ in range((MAX_BODY_BYTES >> 16) + 2):
            yield b"x" * (1 << 16)

    header = {BATCH_HEADER: f"{STREAM};1;1.0"}
    connection.request("POST", "/v1/batches", endless(), header, encode_chunked=True)  # type: ignore[arg-type] # an iterable of bytes
    assert connection.getresponse().status == 413


def test_a_chunked_batch_is_taken(connection: http.client.HTTPSConnection) -> None:
    header = {BATCH_HEADER: f"{STREAM};1;1.0"}
    connection.request("POST", "/v1/batches", iter([BODY[:5], BODY[5:]]), header, encode_chunked=True)

    assert connection.getresponse().status == 202


def test_a_batch_cut_off_in_the_middle_is_not_stored(site: Site, endpoint: Endpoint) -> None:
    with contextlib.closing(endpoint.connect()) as connection:
        connection.putrequest("POST", "/v1/batches")
        connection.putheader(BATCH_HEADER, f"{STREAM};1;1.0")
        connection.putheader("Content-Length", str(len(BODY)))
        connection.endheaders(BODY[:10])

    with contextlib.closing(endpoint.connect()) as connection:
        assert send_batch(connection, 2).status == 202
    assert [seq for _, seq, _ in rows_of(site, endpoint)] == [2]


def test_a_heartbeat_with_a_body_is_refused(connection: http.client.HTTPSConnection) -> None:
    assert send_batch(connection, 1, b"x", path="/v1/heartbeat").status == 413
