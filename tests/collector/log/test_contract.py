"""What every durable log promises (collector.log.interface), on each of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from collector.log.errors import LogError
from collector.log.interface import moved
from collector.partitions import ALL, all_from, partition_of
from tests.collector.log.rows import append, batch, endpoint_in, heartbeat, read
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collector.log.interface import LogReader, LogRow, LogWriter
    from tests.collector.log.conftest import Place


def test_rows_come_back_whole_and_in_order(writer: LogWriter, reader: LogReader) -> None:
    offsets = append(writer, batch(1, b"one"), heartbeat(1), batch(2, b"two"))

    rows = read(reader, 3)

    assert [row.offset for row in rows] == offsets == sorted(offsets)
    assert [(row.kind, row.seq, row.body) for row in rows] == [
        ("batch", 1, b"one"),
        ("heartbeat", 1, b""),
        ("batch", 2, b"two"),
    ]
    assert (rows[0].endpoint_id, rows[0].stream, rows[0].sent_at, rows[0].received_at) == ("e", "s", 1.0, 2.0)


def test_reading_goes_on_after_a_position_and_keeps_its_limit(writer: LogWriter, reader: LogReader) -> None:
    offsets = append(writer, *(batch(number) for number in range(1, 11)))
    position = {partition_of("e"): offsets[3]}
    wait_until(lambda: len(reader.read(position, 10)) == 6, seconds=10, what="six rows", every=0.01)

    assert [row.seq for row in reader.read(position, 3)] == [5, 6, 7]
    assert reader.read({partition_of("e"): offsets[-1]}, 3) == []


def test_what_was_read_and_not_worked_on_is_read_again(writer: LogWriter, reader: LogReader) -> None:
    offsets = append(writer, *(batch(number) for number in range(1, 6)))
    read(reader, 5)

    assert [row.seq for row in read(reader, 5)] == [1, 2, 3, 4, 5]
    assert [row.seq for row in read(reader, 3, {partition_of("e"): offsets[1]})] == [3, 4, 5]


def test_a_reader_gets_the_rows_of_its_partitions_only(writer: LogWriter, reader: LogReader) -> None:
    names = {partition: endpoint_in(partition) for partition in (0, 7, 31)}
    append(writer, *(batch(number, endpoint=name) for number in range(1, 4) for name in names.values()))

    rows = read(reader, 6, {0: 0, 31: 0})

    assert [(row.partition, row.seq) for row in rows if row.partition == 0] == [(0, 1), (0, 2), (0, 3)]
    assert [(row.partition, row.seq) for row in rows if row.partition == 31] == [(31, 1), (31, 2), (31, 3)]
    assert len(rows) == 6
    assert [row.partition for row in read(reader, 3, {7: 0})] == [7, 7, 7]


def test_partitions_taken_over_go_on_from_their_own_positions(writer: LogWriter, reader: LogReader) -> None:
    ours, theirs = endpoint_in(3), endpoint_in(4)
    offsets = append(
        writer, *(batch(number, endpoint=name) for number in (1, 2, 3) for name in (ours, theirs))
    )
    positions = moved({3: 0}, read(reader, 3, {3: 0}))

    rows = read(reader, 2, positions | {4: offsets[1]})

    assert [(row.endpoint_id, row.seq) for row in rows] == [(theirs, 2), (theirs, 3)]


def test_each_partition_is_without_a_gap_however_little_is_taken(
    writer: LogWriter, reader: LogReader
) -> None:
    names = [f"host-{number}" for number in range(60)]
    offsets = append(writer, *(batch(number, endpoint=name) for number in range(1, 11) for name in names))
    positions = all_from(0)
    seen: list[LogRow] = []
    while len(seen) < 600:
        rows = reader.read(positions, 50)
        taken = rows[: max(1, len(rows) // 3)]
        positions = moved(positions, taken)
        seen.extend(taken)

    assert sorted(row.offset for row in seen) == sorted(offsets)
    for partition in ALL:
        of_one = [row.offset for row in seen if row.partition == partition]
        assert of_one == sorted(of_one)
    assert reader.read(positions, 50) == []


def test_large_bodies_end_a_read_before_its_limit(writer: LogWriter, reader: LogReader) -> None:
    names = [endpoint_in(partition) for partition in ALL]
    append(writer, *(batch(n, bytes(1 << 20), endpoint=name) for n in (1, 2) for name in names))

    assert 1 <= len(reader.read(all_from(0), 1000)) <= 32
    assert len(read(reader, 64)) == 64


def test_a_repeated_batch_gets_the_first_offset_and_no_second_row(
    writer: LogWriter, reader: LogReader
) -> None:
    first = append(writer, batch(7, b"first"))
    again = append(writer, batch(7, b"first"))

    assert again == first
    assert [row.body for row in read(reader, 1)] == [b"first"]
    assert reader.waiting(all_from(0)) == 1
    assert writer.statistics.repeats == 1


def test_another_content_under_a_used_number_is_a_row_of_its_own(
    writer: LogWriter, reader: LogReader
) -> None:
    first = append(writer, batch(7, b"of one copy of an agent"))
    other = append(writer, batch(7, b"of the other"))

    assert other != first
    assert append(writer, batch(7, b"of the other")) == other
    assert [row.body for row in read(reader, 2)] == [b"of one copy of an agent", b"of the other"]


def test_repeats_at_the_same_moment_are_found(writer: LogWriter, reader: LogReader) -> None:
    offsets = append(writer, *[batch(1)] * 50)

    assert len(set(offsets)) == 1
    assert reader.waiting(all_from(0)) == 1


def test_the_same_number_in_another_stream_or_of_another_endpoint_is_new(
    writer: LogWriter, reader: LogReader
) -> None:
    append(writer, batch(1), batch(1, stream="t"), batch(1, endpoint="f"))

    assert len(read(reader, 3)) == 3


def test_every_heartbeat_is_a_row(writer: LogWriter, reader: LogReader) -> None:
    append(writer, heartbeat(5), heartbeat(5))

    assert len(read(reader, 2)) == 2


def test_what_waits_is_counted_and_its_first_offset_known(writer: LogWriter, reader: LogReader) -> None:
    early, late = endpoint_in(1), endpoint_in(2)
    offsets = append(writer, batch(1, endpoint=early), batch(1, endpoint=late), batch(2, endpoint=early))

    assert reader.waiting(all_from(0)) == 3
    assert reader.first_waiting(all_from(0)) == offsets[0]
    assert reader.waiting({1: offsets[0], 2: 0}) == 2
    assert reader.first_waiting({1: offsets[0], 2: 0}) == offsets[1]
    assert reader.first_waiting({1: offsets[0], 2: offsets[1]}) == offsets[2]
    assert reader.first_waiting({1: offsets[2]}) is None
    assert reader.waiting(all_from(offsets[-1])) == 0


def test_what_is_done_and_old_is_trimmed(writer: LogWriter, reader: LogReader) -> None:
    offsets = append(writer, *(batch(number, received_at=float(number)) for number in range(1, 11)))

    assert reader.trim(all_from(offsets[7]), received_before=5.0) == 4
    assert reader.first_waiting(all_from(0)) == offsets[4]
    assert reader.trim(all_from(offsets[7]), received_before=100.0) == 4
    assert [row.seq for row in read(reader, 2)] == [9, 10]
    assert reader.trim(all_from(offsets[7]), received_before=100.0) == 0


def test_nothing_is_trimmed_that_waits_in_any_partition(writer: LogWriter, reader: LogReader) -> None:
    slow, quick = endpoint_in(1), endpoint_in(2)
    offsets = append(
        writer,
        batch(1, endpoint=quick),
        batch(1, endpoint=slow),
        batch(2, endpoint=quick),
        batch(3, endpoint=quick),
    )
    # A partition that nobody sends to keeps its place for ever, and holds nothing up.
    assert reader.trim(all_from(0) | {1: 0, 2: offsets[3]}, received_before=100.0) == 1
    assert [(row.endpoint_id, row.seq) for row in read(reader, 3)] == [(slow, 1), (quick, 2), (quick, 3)]
    assert reader.trim(all_from(0) | {1: offsets[1], 2: offsets[3]}, received_before=100.0) == 3
    assert reader.waiting(all_from(0)) == 0
    with pytest.raises(ValueError, match="all partitions"):
        reader.trim({1: 5}, received_before=100.0)


def test_offsets_are_not_used_again_after_everything_was_trimmed(
    place: Place, writer: LogWriter, reader: LogReader
) -> None:
    last = max(append(writer, batch(1), batch(2)))
    assert reader.trim(all_from(last), received_before=100.0) == 2
    writer.close()

    reopened = place.writer()
    assert reopened.statistics.last_offset == last
    assert append(reopened, batch(3))[0] > last
    assert reader.last_offset() > last


def test_a_reader_sees_that_something_came(writer: LogWriter, reader: LogReader) -> None:
    assert reader.changed()
    assert reader.read(all_from(0), 10) == []
    reader.changed()
    append(writer, batch(1))
    wait_until(reader.changed, seconds=10, what="the news")
    assert [row.seq for row in read(reader, 1)] == [1]
    assert not reader.changed()


def test_a_lost_log_goes_on_behind_what_was_read(place: Place) -> None:
    assert place.prepare(1000)
    assert not place.prepare(1000)
    writer, reader = place.writer(), place.reader()

    assert reader.last_offset() >= 1000
    offsets = append(writer, batch(1), batch(2))
    assert offsets == [1001, 1002]
    assert [row.offset for row in read(reader, 2, all_from(1000))] == offsets
    assert reader.last_offset() == 1002
    assert not place.prepare(1002)


def test_rows_of_a_log_that_is_behind_are_read_in_their_order(place: Place) -> None:
    writer = place.writer()
    append(writer, *(batch(number) for number in range(1, 6)))
    writer.close()

    assert place.prepare(6)
    rows = read(place.reader(), 5, all_from(6))
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0].offset > 6


def test_closing_writes_what_waits(place: Place) -> None:
    writer = place.writer()

    async def leave() -> list[int]:
        tasks = [asyncio.create_task(writer.append(batch(number))) for number in range(1, 200)]
        await asyncio.sleep(0)
        await asyncio.to_thread(writer.close)
        return list(await asyncio.gather(*tasks))

    assert len(asyncio.run(leave())) == 199
    assert len(read(place.reader(), 199)) == 199


def test_a_closed_log_takes_nothing(writer: LogWriter) -> None:
    assert writer.alive()
    writer.close()
    writer.close()

    with pytest.raises(LogError):
        append(writer, batch(1))
    assert not writer.alive()


def test_a_sender_that_gave_up_does_not_disturb_the_others(writer: LogWriter, reader: LogReader) -> None:
    async def leave_one() -> int:
        gone = asyncio.create_task(writer.append(batch(1)))
        stays = asyncio.create_task(writer.append(batch(2)))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    asyncio.run(leave_one())
    assert [row.seq for row in read(reader, 2)] == [1, 2]
    wait_until(lambda: writer.statistics.waiting_bytes == 0, seconds=5, what="nothing to wait", every=0.01)


def test_rows_of_several_event_loops_and_threads_get_through(writer: LogWriter, reader: LogReader) -> None:
    async def in_threads() -> None:
        await asyncio.gather(
            *(
                asyncio.to_thread(
                    append, writer, *(batch(number, endpoint=f"t{thread}") for number in range(1, 51))
                )
                for thread in range(4)
            )
        )

    asyncio.run(in_threads())
    assert len(read(reader, 200)) == 200
