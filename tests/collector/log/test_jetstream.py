"""What only the log on JetStream does: it is full, away, refused, somebody else's, or takes a file's place."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import nats
import pytest

from collector.log.errors import LogDamagedError, LogError, LogFull
from collector.log.jetstream import feed
from collector.log.jetstream.link import Link
from collector.log.jetstream.reader import NatsReader
from collector.log.jetstream.stream import NAME, look
from collector.log.jetstream.writer import NatsWriter
from collector.log.opening import prepare_log
from collector.log.sqlite_writer import SqliteWriter
from collector.partitions import all_from, partition_of
from collector.settings import Log
from tests.collector.log.rows import append, batch, endpoint_in, heartbeat, read
from tests.support.nats import NatsServer, program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector.log.conftest import Place


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[NatsServer]:
    """One that a test may kill."""
    if program() is None:
        pytest.skip("nats-server is not on this machine: apt-get install nats-server")
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


def changed(place: Place, **changes: object) -> Place:
    return replace(
        place,
        settings=msgspec.structs.replace(
            place.settings, log=msgspec.structs.replace(place.settings.log, **changes)
        ),
    )


def test_a_full_stream_refuses_rows_keeps_the_old_ones_and_recovers(jetstream: Place) -> None:
    small = changed(jetstream, max_bytes=1 << 20)
    small.prepare()
    writer, reader = small.writer(), small.reader()
    acknowledged: list[int] = []

    async def fill() -> None:
        for number in range(1, 1000):
            await writer.append(batch(number, bytes(16 << 10)))
            acknowledged.append(number)

    with pytest.raises(LogFull, match=r"raise log\.max_bytes"):
        asyncio.run(fill())
    rows = read(reader, len(acknowledged))
    assert [row.seq for row in rows] == acknowledged
    assert writer.alive()

    assert reader.trim(all_from(rows[-1].offset), received_before=100.0) == len(acknowledged)
    assert append(writer, batch(2000))[0] > rows[-1].offset


def test_settings_that_changed_change_the_stream_and_keep_what_it_holds(jetstream: Place) -> None:
    jetstream.prepare()
    append(jetstream.writer(), batch(1))
    changed(jetstream, max_bytes=2 << 30, repeats_seconds=60).prepare()
    link = Link(jetstream.settings.log, "test")
    try:
        info = link.wait(link.request(f"STREAM.INFO.{NAME}"))
    finally:
        link.close()
    assert info["config"]["max_bytes"] == 2 << 30
    assert info["config"]["duplicate_window"] == 60_000_000_000
    assert len(read(jetstream.reader(), 1)) == 1


def test_a_server_killed_and_started_again_keeps_what_was_acknowledged(
    own_server: NatsServer, place_on: Log
) -> None:
    with closing(NatsWriter(place_on)) as writer, closing(NatsReader(place_on)) as reader:
        before = append(writer, *(batch(number) for number in range(1, 101)))
        read(reader, 100)
        own_server.kill()
        wait_until(lambda: not writer.alive(), seconds=10, what="the writer to notice")
        with pytest.raises(LogError):
            append(writer, batch(101))
        with pytest.raises(LogError):
            reader.read(all_from(before[-1]), 10)
        own_server.start()
        wait_until(writer.alive, seconds=20, what="the writer to be back")
        assert append(writer, batch(101)) > before[-1:]
        later = wait_until(lambda: quietly(reader, before[-1]), seconds=20, what="the row of after")
        assert later == [101]
        assert [row.seq for row in read(reader, 101)] == list(range(1, 102))


def quietly(reader: NatsReader, position: int) -> list[int]:
    try:
        return [row.seq for row in reader.read(all_from(position), 10)]
    except LogError:
        return []


@pytest.fixture
def place_on(own_server: NatsServer, tmp_path: Path) -> Log:
    """The settings of a log on that server, with its stream made."""
    from collector.log.jetstream.preparing import prepare_stream

    settings = Log(url=own_server.url, replicas=1, max_bytes=1 << 30)
    prepare_stream(settings, 0)
    return settings


def test_what_is_wrong_with_the_servers_is_said_without_the_password(nats_server: NatsServer) -> None:
    wrong = nats_server.url.replace("rung-mua-7", "geheim")
    with pytest.raises(LogError, match=f"127.0.0.1:{nats_server.port}") as refused:
        Link(Log(url=wrong), "test")
    assert "geheim" not in str(refused.value)
    assert "uthorization" in str(refused.value)


def test_a_refusal_that_a_reset_swallows_is_asked_for_again() -> None:
    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b'INFO {"auth_required": true, "max_payload": 2097152}\r\n')
                    said = connection.makefile("rb").readline()
                    if b'"verbose": true' in said or b'"verbose":true' in said:
                        connection.sendall(b"-ERR 'Authorization Violation'\r\n")
                    else:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        with pytest.raises(LogError, match="Authorization Violation"):
            Link(Log(url=f"nats://vonggac:geheim@127.0.0.1:{listener.getsockname()[1]}"), "test")
        listener.shutdown(socket.SHUT_RDWR)


def test_servers_that_take_too_small_messages_are_refused_at_the_start(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", max_payload="512KB")
    server.start()
    try:
        with pytest.raises(LogError, match="max_payload: 2MB"):
            prepare_log_of(server)
    finally:
        server.stop()


def prepare_log_of(server: NatsServer) -> None:
    from collector.log.jetstream.preparing import prepare_stream

    prepare_stream(Log(url=server.url, replicas=1), 0)


def test_a_stream_that_is_not_there_or_not_ours_is_not_used(
    jetstream: Place, nats_server: NatsServer
) -> None:
    with pytest.raises(LogDamagedError, match="`vonggac serve` makes it"):
        jetstream.writer()

    async def make() -> None:
        client = await nats.connect(nats_server.url)
        await client.jetstream().add_stream(name=NAME, subjects=["other"])
        await client.close()

    asyncio.run(make())
    with pytest.raises(LogDamagedError, match="not ours"):
        jetstream.prepare()


def test_a_stream_that_is_made_anew_stops_its_readers(jetstream: Place, nats_server: NatsServer) -> None:
    jetstream.prepare()
    append(jetstream.writer(), batch(1))
    reader = jetstream.reader()
    read(reader, 1)

    async def make_anew() -> None:
        client = await nats.connect(nats_server.url)
        await client.jetstream().delete_stream(NAME)
        await client.close()

    asyncio.run(make_anew())
    jetstream.prepare(1)
    with pytest.raises(LogDamagedError, match="made anew"):
        reader.last_offset()


def test_a_consumer_that_lives_and_says_nothing_is_replaced(
    jetstream: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one may be whose server was cut off and has caught up: it sends heartbeats, and no rows."""
    jetstream.prepare()
    writer, reader = jetstream.writer(), jetstream.reader()
    monkeypatch.setattr("collector.log.jetstream.reader._WATCH_SECONDS", 0.2)
    with monkeypatch.context() as deaf:
        wanted = feed.consumer_of
        deaf.setattr(
            feed, "consumer_of", lambda *of: {**wanted(*of), "filter_subject": "vonggac.log.of-nobody"}
        )
        assert reader.read(all_from(0), 10) == []
    append(writer, batch(1), batch(1, endpoint=endpoint_in(3)), batch(2))
    rows = read(reader, 3)
    assert sorted((row.endpoint_id, row.seq) for row in rows) == [("e", 1), ("e", 2), (endpoint_in(3), 1)]


def test_messages_that_are_no_rows_are_stepped_over(jetstream: Place, nats_server: NatsServer) -> None:
    jetstream.prepare()
    writer, reader = jetstream.writer(), jetstream.reader()
    partition = partition_of("e")
    other = endpoint_in((partition + 1) % 32)

    async def intrude() -> None:
        client = await nats.connect(nats_server.url)
        stream = client.jetstream()
        await stream.publish(f"vonggac.log.{partition}", b"\xc1 no row")
        await stream.publish(
            f"vonggac.log.{partition}", msgspec.msgpack.encode(["batch", other, "s", 1, 1.0, 2.0, b""])
        )
        await client.close()

    append(writer, batch(1))
    asyncio.run(intrude())
    offset = append(writer, batch(2))[0]
    assert [row.seq for row in read(reader, 2)] == [1, 2]
    assert reader.trim(all_from(offset), received_before=100.0) == 4


def test_jetstream_takes_the_place_of_the_file_with_what_nobody_has_read(jetstream: Place) -> None:
    data = jetstream.data
    with closing(SqliteWriter(data.log)) as old:
        offsets = append(
            old, *(batch(number) for number in range(1, 11)), batch(1, endpoint="f"), heartbeat(1)
        )
    positions = all_from(0) | {partition_of("e"): offsets[5], partition_of("f"): offsets[10]}

    assert not prepare_log(jetstream.settings, data, positions)

    assert not data.log.exists()
    assert (data.root / "log.db.carried").exists()
    highest = max(positions.values())
    rows = read(jetstream.reader(), 5, all_from(highest))
    assert [(row.kind, row.seq) for row in rows] == [
        *(("batch", number) for number in range(7, 11)),
        ("heartbeat", 1),
    ]
    # Done again after an interruption, nothing comes twice.
    (data.root / "log.db.carried").rename(data.log)
    prepare_log(jetstream.settings, data, positions)
    assert jetstream.reader().waiting(all_from(highest)) == 5 + 1  # a heartbeat has no number to be known by


def test_offsets_of_a_lost_stream_go_on_also_where_it_was_behind_twice(jetstream: Place) -> None:
    jetstream.prepare(100)
    jetstream.prepare(250)
    link = Link(jetstream.settings.log, "test")
    try:
        assert link.wait(look(link)).last_offset >= 250
    finally:
        link.close()
    assert append(jetstream.writer(), batch(1))[0] > 250
