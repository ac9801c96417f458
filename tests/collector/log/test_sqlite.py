"""What only the log on SQLite does: it lives with its disk."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from collector.log.errors import LogBusy, LogDamagedError, LogFull
from collector.log.schema import go_on_behind
from collector.log.sqlite_reader import SqliteReader
from collector.log.sqlite_writer import SqliteWriter
from collector.partitions import ALL, all_from, partition_of
from tests.collector.log.rows import append, batch, endpoint_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def writer(path: Path) -> Iterator[SqliteWriter]:
    opened = SqliteWriter(path, queue_bytes=256 << 20)
    yield opened
    opened.close()


@pytest.fixture
def reader(path: Path, writer: SqliteWriter) -> Iterator[SqliteReader]:
    opened = SqliteReader(path)
    yield opened
    opened.close()


def test_a_batch_that_is_repeated_after_it_was_trimmed_is_left_to_the_worker_to_know(
    writer: SqliteWriter, reader: SqliteReader
) -> None:
    offsets = append(writer, *(batch(number) for number in range(1, 6)))

    assert reader.trim(all_from(offsets[2]), 3.0) == 3
    append(writer, batch(3), batch(4), batch(6))

    assert [row.seq for row in reader.read(all_from(0), 10)] == [4, 5, 3, 6]


def test_rows_are_refused_while_the_disk_has_less_room_than_its_reserve(path: Path) -> None:
    writer = SqliteWriter(path, reserve_bytes=1 << 60)

    with pytest.raises(LogFull):
        append(writer, batch(1))
    assert writer.statistics.rows == 0
    writer.close()


def test_trimming_gives_large_room_back_to_the_disk(
    path: Path, writer: SqliteWriter, reader: SqliteReader
) -> None:
    append(writer, *(batch(number, bytes(1 << 20)) for number in range(1, 101)))
    reader.trim(all_from(reader.last_offset()), 3.0)

    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert path.stat().st_size < 70 << 20


def test_more_waiting_bytes_than_the_bound_are_refused(path: Path) -> None:
    writer = SqliteWriter(path, queue_bytes=1000)
    blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")  # the disk is slow

    async def flood() -> tuple[int, list[int]]:
        tasks = [asyncio.create_task(writer.append(batch(number, b"x" * 400))) for number in range(1, 6)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        refused = sum(isinstance(task.exception(), LogBusy) for task in done)
        blocker.execute("COMMIT")
        return refused, list(await asyncio.gather(*pending))

    refused, offsets = asyncio.run(flood())
    blocker.close()
    writer.close()

    assert refused == 3
    assert sorted(offsets) == [1, 2]


def test_the_log_is_readable_by_its_owner_only(path: Path, writer: SqliteWriter) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_log_is_said_with_what_to_do(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(LogDamagedError, match="move it and its -wal file away"):
        go_on_behind(path, 5)


def test_rows_of_a_log_of_before_get_their_partitions_when_it_is_opened(path: Path) -> None:
    names = [endpoint_in(partition) for partition in ALL]
    with sqlite3.connect(path) as old:
        old.execute(
            'CREATE TABLE record ("offset" INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,'
            " endpoint_id TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, sent_at REAL NOT NULL,"
            " received_at REAL NOT NULL, body BLOB NOT NULL)"
        )
        old.executemany(
            "INSERT INTO record (kind, endpoint_id, stream, seq, sent_at, received_at, body)"
            " VALUES ('batch', ?, 's', ?, 1, 2, x'00')",
            [(name, number) for number in range(1, 101) for name in names],
        )
    old.close()
    writer, reader = SqliteWriter(path), SqliteReader(path)
    try:
        append(writer, batch(101, endpoint=names[5]))
        rows = reader.read({5: 0}, 1000)
        assert [row.seq for row in rows] == list(range(1, 102))
        assert {partition_of(row.endpoint_id) for row in rows} == {5}
        assert len(reader.read(all_from(0), 10_000)) == 3201
    finally:
        reader.close()
        writer.close()
