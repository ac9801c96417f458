from __future__ import annotations

import asyncio
import sqlite3
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.log.errors import LogBusy, LogDamagedError, LogError, LogFull
from collector.log.interface import LogRow
from collector.log.schema import go_on_behind
from collector.log.sqlite_reader import SqliteReader
from collector.log.sqlite_writer import SqliteWriter
from collector.log.trim import merge_ranges
from collector.partitions import all_from

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def batch(seq: int, body: bytes = b"body", endpoint: str = "e", stream: str = "s") -> LogRow:
    return LogRow(0, "batch", endpoint, stream, seq, 1.0, 2.0, body)


def heartbeat(seq: int) -> LogRow:
    return LogRow(0, "heartbeat", "e", "s", seq, 1.0, 2.0, b"")


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


async def append_all(writer: SqliteWriter, rows: list[LogRow]) -> list[int]:
    return list(await asyncio.gather(*(writer.append(row) for row in rows)))


def test_rows_come_back_whole_and_in_order(writer: SqliteWriter, reader: SqliteReader) -> None:
    offsets = asyncio.run(append_all(writer, [batch(1, b"one"), heartbeat(1), batch(2, b"two")]))

    rows = reader.read(all_from(0), 10)

    assert [row.offset for row in rows] == offsets == sorted(offsets)
    assert [(row.kind, row.seq, row.body) for row in rows] == [
        ("batch", 1, b"one"),
        ("heartbeat", 1, b""),
        ("batch", 2, b"two"),
    ]
    assert (rows[0].endpoint_id, rows[0].stream, rows[0].sent_at, rows[0].received_at) == ("e", "s", 1.0, 2.0)


def test_reading_goes_on_after_an_offset_and_keeps_its_limit(
    writer: SqliteWriter, reader: SqliteReader
) -> None:
    offsets = asyncio.run(append_all(writer, [batch(number) for number in range(1, 11)]))

    assert [row.seq for row in reader.read(all_from(offsets[3]), 3)] == [5, 6, 7]
    assert reader.read(all_from(offsets[-1]), 3) == []


def test_large_bodies_end_a_read_before_its_limit(writer: SqliteWriter, reader: SqliteReader) -> None:
    asyncio.run(append_all(writer, [batch(number, b"x" * (12 << 20)) for number in range(1, 5)]))

    assert [row.seq for row in reader.read(all_from(0), 100)] == [1, 2, 3]


def test_a_repeated_batch_gets_the_first_offset_and_no_second_row(
    writer: SqliteWriter, reader: SqliteReader
) -> None:
    first = asyncio.run(writer.append(batch(7, b"first")))
    again = asyncio.run(writer.append(batch(7, b"other content")))

    assert again == first
    assert [row.body for row in reader.read(all_from(0), 10)] == [b"first"]
    assert writer.statistics.repeats == 1


def test_repeats_within_one_group_commit_are_found(writer: SqliteWriter, reader: SqliteReader) -> None:
    offsets = asyncio.run(append_all(writer, [batch(1)] * 50))

    assert len(set(offsets)) == 1
    assert len(reader.read(all_from(0), 100)) == 1


def test_the_same_number_in_another_stream_or_of_another_endpoint_is_new(
    writer: SqliteWriter, reader: SqliteReader
) -> None:
    rows = [batch(1), batch(1, stream="t"), batch(1, endpoint="f")]
    asyncio.run(append_all(writer, rows))

    assert len(reader.read(all_from(0), 10)) == 3


def test_every_heartbeat_is_a_row(writer: SqliteWriter, reader: SqliteReader) -> None:
    asyncio.run(append_all(writer, [heartbeat(5), heartbeat(5)]))

    assert len(reader.read(all_from(0), 10)) == 2


def test_trimmed_batches_do_not_come_in_again(writer: SqliteWriter, reader: SqliteReader) -> None:
    offsets = asyncio.run(append_all(writer, [batch(number) for number in range(1, 6)]))

    assert reader.trim(all_from(offsets[2]), 3.0) == 3
    asyncio.run(append_all(writer, [batch(1), batch(2), batch(3), batch(6)]))

    assert [row.seq for row in reader.read(all_from(0), 10)] == [4, 5, 6]


def test_a_number_missing_between_trimmed_ones_may_still_come(
    writer: SqliteWriter, reader: SqliteReader
) -> None:
    asyncio.run(append_all(writer, [batch(1), batch(2), batch(4)]))
    reader.trim(all_from(reader.last_offset()), 3.0)

    asyncio.run(append_all(writer, [batch(3), batch(2), batch(4)]))

    assert [row.seq for row in reader.read(all_from(0), 10)] == [3]


def test_a_stream_without_gaps_is_remembered_as_one_range(
    path: Path, writer: SqliteWriter, reader: SqliteReader
) -> None:
    for start in (1, 2001, 1001):
        asyncio.run(append_all(writer, [batch(number) for number in range(start, start + 1000)]))
        reader.trim(all_from(reader.last_offset()), 3.0)

    with sqlite3.connect(path) as connection:
        ranges = connection.execute("SELECT first, last FROM received").fetchall()
    connection.close()
    assert ranges == [(1, 3000)]


def test_offsets_are_not_used_again_after_everything_was_trimmed(
    path: Path, writer: SqliteWriter, reader: SqliteReader
) -> None:
    last = max(asyncio.run(append_all(writer, [batch(1), batch(2)])))
    reader.trim(all_from(last), 3.0)
    writer.close()

    reopened = SqliteWriter(path)
    assert reopened.statistics.last_offset == last
    assert asyncio.run(reopened.append(batch(3))) > last
    reopened.close()
    assert reader.last_offset() > last


def test_a_reader_sees_that_something_was_committed(writer: SqliteWriter, reader: SqliteReader) -> None:
    assert reader.changed()
    assert not reader.changed()
    asyncio.run(writer.append(batch(1)))
    assert reader.changed()
    assert not reader.changed()


def test_a_full_disk_refuses_rows_keeps_the_old_ones_and_recovers(path: Path) -> None:
    writer = SqliteWriter(path, max_bytes=256 << 10)
    reader = SqliteReader(path)

    async def fill() -> int:
        for number in range(1, 100):
            await writer.append(batch(number, b"x" * (16 << 10)))
        raise AssertionError("the bound was never reached")

    with pytest.raises(LogFull):
        asyncio.run(fill())
    kept = reader.read(all_from(0), 100)
    assert kept
    assert {len(row.body) for row in kept} == {16 << 10}

    reader.trim(all_from(kept[-2].offset), 3.0)
    assert asyncio.run(writer.append(batch(1000, b"x"))) > kept[-1].offset
    writer.close()
    reader.close()


def test_rows_are_refused_while_the_disk_has_less_room_than_its_reserve(path: Path) -> None:
    writer = SqliteWriter(path, reserve_bytes=1 << 60)

    with pytest.raises(LogFull):
        asyncio.run(writer.append(batch(1)))
    assert writer.statistics.rows == 0
    writer.close()


def test_trimming_that_the_disk_refuses_is_an_error_of_the_log(path: Path, reader: SqliteReader) -> None:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    reader._connection.execute("PRAGMA busy_timeout=0")

    with pytest.raises(LogError, match="locked"):
        reader.trim(all_from(1), 3.0)
    blocker.close()


def test_trimming_gives_large_room_back_to_the_disk(
    path: Path, writer: SqliteWriter, reader: SqliteReader
) -> None:
    asyncio.run(append_all(writer, [batch(number, bytes(1 << 20)) for number in range(1, 101)]))
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


def test_closing_writes_what_waits(path: Path) -> None:
    writer = SqliteWriter(path)

    async def leave() -> list[int]:
        tasks = [asyncio.create_task(writer.append(batch(number))) for number in range(1, 200)]
        await asyncio.sleep(0)
        await asyncio.to_thread(writer.close)
        return list(await asyncio.gather(*tasks))

    assert len(asyncio.run(leave())) == 199
    reader = SqliteReader(path)
    assert len(reader.read(all_from(0), 1000)) == 199
    reader.close()


def test_a_closed_log_takes_nothing(writer: SqliteWriter) -> None:
    writer.close()

    with pytest.raises(LogError):
        asyncio.run(writer.append(batch(1)))
    assert not writer.alive()


def test_a_sender_that_gave_up_does_not_disturb_the_others(
    writer: SqliteWriter, reader: SqliteReader
) -> None:
    async def leave_one() -> int:
        gone = asyncio.create_task(writer.append(batch(1)))
        stays = asyncio.create_task(writer.append(batch(2)))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(leave_one()) == 2
    assert [row.seq for row in reader.read(all_from(0), 10)] == [1, 2]


def test_the_log_is_readable_by_its_owner_only(path: Path, writer: SqliteWriter) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 10)).map(lambda pair: (pair[0], sum(pair)))))
def test_merged_ranges_hold_the_same_numbers_and_never_touch(ranges: list[tuple[int, int]]) -> None:
    merged = list(merge_ranges(ranges))

    def numbers(of: list[tuple[int, int]]) -> set[int]:
        return {number for first, last in of for number in range(first, last + 1)}

    assert numbers(merged) == numbers(ranges)
    assert all(left[1] + 1 < right[0] for left, right in pairwise(merged))


def test_a_lost_log_goes_on_behind_what_was_read(path: Path) -> None:
    assert go_on_behind(path, 0) == 0
    assert not path.exists()
    assert go_on_behind(path, 1000) == 1000
    assert go_on_behind(path, 1000) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    writer = SqliteWriter(path)
    assert asyncio.run(append_all(writer, [batch(1), batch(2)])) == [1001, 1002]
    writer.close()
    assert go_on_behind(path, 1001) == 0


def test_rows_of_a_log_that_is_behind_are_read_in_their_order(path: Path) -> None:
    writer = SqliteWriter(path)
    asyncio.run(append_all(writer, [batch(number) for number in range(1, 6)]))
    writer.close()
    reader = SqliteReader(path)
    reader.trim(all_from(1), 3.0)
    assert go_on_behind(path, 6) == 6
    assert [(row.offset, row.seq) for row in reader.read(all_from(6), 10)] == [
        (8, 2),
        (9, 3),
        (10, 4),
        (11, 5),
    ]
    assert reader.last_offset() == 11
    reader.close()


def test_a_damaged_log_is_said_with_what_to_do(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(LogDamagedError, match="move it and its -wal file away"):
        go_on_behind(path, 5)
