"""The real ingest process and what it does with many, with too much, and with those who come back."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import pytest
import zstandard
from sqlalchemy import select

from agent.messages import BATCH_HEADER, BatchHeader
from collector.enrolment import service
from collector.health import sample_sum
from collector.log.opening import open_reader
from collector.partitions import all_from
from collector.settings import load
from collector.state.base import utcnow
from collector.state.tables import ProcessHealth, Throttled
from tests.support.collector import BODY, STREAM, Endpoint, ask, make_site, send_batch
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.collector import Answer, Site


@contextlib.contextmanager
def serving(folder: Path, settings: str) -> Iterator[tuple[Site, psutil.Process]]:
    site = make_site(folder, settings)
    process = site.start_ingest()
    try:
        yield site, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        site.state.close()


def heartbeat(connection: http.client.HTTPConnection) -> Answer:
    header = BatchHeader(stream=STREAM, seq=0, sent_at=time.time()).encode()
    return ask(connection, "POST", "/v1/heartbeat", b"", {BATCH_HEADER: header})


def test_a_herd_is_let_in_by_turns_and_nobody_is_sent_away_twice(tmp_path: Path) -> None:
    with serving(tmp_path, "returns_per_second = 8") as (site, _):
        endpoints = [site.enrol(tmp_path / f"endpoint-{number}") for number in range(40)]

        def come(endpoint: Endpoint) -> list[int]:
            waits = []
            with contextlib.closing(endpoint.connect()) as connection:
                while (answer := heartbeat(connection)).status == 503:
                    waits.append(int(answer.headers["retry-after"]))
                    time.sleep(waits[-1])  # the wait is what is tested
                assert answer.status == 204
            return waits

        with ThreadPoolExecutor(len(endpoints)) as pool:
            waits = list(pool.map(come, endpoints))

    assert max(map(len, waits)) == 1
    assert len([each for each in waits if each]) >= 15
    assert len({each[0] for each in waits if each}) >= 2


def test_an_endpoint_over_its_quota_waits_alone_and_it_is_written_down(tmp_path: Path) -> None:
    with serving(tmp_path, "quota_requests = 10") as (site, _):
        loud, other = site.enrol(tmp_path / "loud"), site.enrol(tmp_path / "other")
        with contextlib.closing(loud.connect()) as connection, contextlib.closing(other.connect()) as second:
            answers = [send_batch(connection, number) for number in range(1, 14)]
            assert [answer.status for answer in answers] == [202] * 10 + [429] * 3
            assert answers[-1].json()["type"] == "urn:vonggac:problem:busy"
            assert int(answers[-1].headers["retry-after"]) in range(1, 7)
            assert send_batch(second, 1).status == 202
            # Another key and certificate are no way around it.
            renewal = ask(connection, "POST", "/v1/renew", b"{}")
            assert (renewal.status, renewal.json()["type"]) == (429, "urn:vonggac:problem:busy")

        def written() -> tuple[int, int] | None:
            with site.state.read() as session:
                row = session.get(Throttled, loud.id)
                return (row.refusals, row.refused_bytes) if row else None

        wait_until(
            lambda: written() == (4, 3 * len(BODY)), seconds=30, what="the refusals to be written down"
        )

        def told() -> float | None:
            with site.state.read() as session:
                figures = session.scalars(select(ProcessHealth.figures)).first() or {}
                return sample_sum(
                    figures, "vonggac_ingest_held_back_total", reason="quota", importance="events"
                )

        wait_until(lambda: told() == 3, seconds=30, what="the figures to be told")


def test_with_little_room_on_the_disk_only_what_is_important_is_taken(tmp_path: Path) -> None:
    free = psutil.disk_usage(str(tmp_path)).free
    # Seven tenths of what is free are spoken for: too little room for chatter, enough for all else.
    with serving(tmp_path, f"reserve_bytes = {int(free * 0.7)}") as (site, _):
        endpoint = site.enrol(tmp_path / "endpoint")
        with contextlib.closing(endpoint.connect()) as connection:

            def send(seq: int, importance: str) -> Answer:
                header = BatchHeader(stream=STREAM, seq=seq, sent_at=time.time()).encode()
                headers = {BATCH_HEADER: header, "Vonggac-Importance": importance}
                return ask(connection, "POST", "/v1/batches", BODY, headers)

            wait_until(lambda: send(1, "chatter").status == 503, seconds=20, what="the disk to be looked at")
            refused = send(1, "chatter")
            assert refused.headers["vonggac-takes"] == "events"
            assert int(refused.headers["retry-after"]) >= 30
            assert [send(2, word).status for word in ("status", "events", "", "no word of ours")] == [202] * 4


def test_a_session_is_resumed_known_by_its_certificate_and_ends_with_its_revocation(tmp_path: Path) -> None:
    with serving(tmp_path, "") as (site, _):
        endpoint = site.enrol(tmp_path / "endpoint")

        def come(session: ssl.SSLSession | None) -> tuple[int, ssl.SSLSession | None, bool]:
            plain = socket.create_connection(("127.0.0.1", site.port), timeout=20)
            with endpoint.context.wrap_socket(plain, server_hostname="localhost", session=session) as opened:
                connection = http.client.HTTPConnection("localhost")
                connection.sock = opened
                status = heartbeat(connection).status
                return status, opened.session, bool(opened.session_reused)

        status, session, resumed = come(None)
        assert (status, resumed) == (204, False)
        assert session is not None
        assert session.has_ticket
        assert come(session)[::2] == (204, True)
        with site.state.write() as writing:
            service.revoke_endpoint(writing, endpoint.id, "stolen", utcnow())
        assert come(session)[::2] == (403, True)


def test_an_idle_connection_costs_little_memory(tmp_path: Path) -> None:
    with serving(tmp_path, "") as (site, process):
        endpoint = site.enrol(tmp_path / "endpoint")
        opened: list[http.client.HTTPSConnection] = []

        def open_more(count: int) -> int:
            for _ in range(count):
                connection = endpoint.connect()
                opened.append(connection)
                assert heartbeat(connection).status == 204
            return process.memory_info().rss

        try:
            before = open_more(50)
            after = open_more(200)
        finally:
            for connection in opened:
                connection.close()

    assert (after - before) / 200 < 80_000


@pytest.mark.parametrize("size", [200_000, 900_000])
def test_a_large_body_through_the_shared_buffer_arrives_whole(tmp_path: Path, size: int) -> None:
    bodies = [zstandard.ZstdCompressor(level=1).compress(os.urandom(size)) for _ in range(4)]
    with serving(tmp_path, "") as (site, _):
        endpoints = [site.enrol(tmp_path / f"endpoint-{number}") for number in range(4)]

        def send(number: int) -> int:
            with contextlib.closing(endpoints[number].connect()) as connection:
                return send_batch(connection, 1, bodies[number]).status

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(send, range(4))) == [202] * 4
        reader = open_reader(load(site.data), site.data)
        try:
            rows = reader.read(all_from(0), 10)
        finally:
            reader.close()
        assert {row.endpoint_id: row.body for row in rows} == {
            endpoint.id: body for endpoint, body in zip(endpoints, bodies, strict=True)
        }
