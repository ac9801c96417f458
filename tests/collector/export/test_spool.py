from __future__ import annotations

from typing import TYPE_CHECKING

from collector.export import spool
from collector.export.spool import SpooledPoint, SpoolReader, SpoolWriter, segments
from collector.store.rows import MetricRow

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PLENTY = 1 << 30


def rows(partition: int, first: int, last: int, *, name: str = "host.cpu_used_ratio") -> list[MetricRow]:
    return [
        MetricRow(
            endpoint_id=f"ep-{partition}",
            name=name,
            time=1_795_000_000.5 + offset,
            value=offset / 8,
            unit="ratio",
            log_offset=offset,
            partition=partition,
        )
        for offset in range(first, last + 1)
    ]


def send_all(reader: SpoolReader) -> list[tuple[int, int]]:
    """Partition and offset of every point that the reader gives, each sent."""
    sent: list[tuple[int, int]] = []
    for record in list(reader.records()):
        sent += [(point.partition, point.log_offset) for point in record.points]
        reader.done([record])
    return sent


def test_points_come_back_as_they_were_put_and_only_once(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "export", "detect-1", PLENTY)
    row = MetricRow("ep-1", "lan.rtt", 1_795_000_000.25, 0.5, "seconds", {"to": "gateway"}, 7, True, 3)

    writer.put([row], {3: 1})
    reader = SpoolReader(tmp_path / "export")
    found = [record for record in reader.records() if record.points]

    expected = SpooledPoint(3, 7, "ep-1", "lan.rtt", 1_795_000_000_250_000, 0.5, True, {"to": "gateway"})
    assert [record.points for record in found] == [[expected]]
    assert list(SpoolReader(tmp_path / "export").records()) == found  # not done yet
    reader.done(found)
    assert list(SpoolReader(tmp_path / "export").records()) == []


def test_a_step_that_is_done_again_after_a_crash_is_sent_once(tmp_path: Path) -> None:
    SpoolWriter(tmp_path, "detect-1", PLENTY).put(rows(1, 1, 10) + rows(2, 1, 10), {1: 1, 2: 1})
    reader = SpoolReader(tmp_path)
    assert len(send_all(reader)) == 20

    again = SpoolWriter(tmp_path, "detect-1", PLENTY)
    again.put(rows(1, 1, 4), {1: 1})
    again.put(rows(1, 5, 12) + rows(2, 1, 11), {1: 1, 2: 1})

    assert sorted(send_all(reader)) == [(1, 11), (1, 12), (2, 11)]


def test_repeats_are_left_out_before_anything_was_sent(tmp_path: Path) -> None:
    SpoolWriter(tmp_path, "detect-1", PLENTY).put(rows(1, 1, 10), {1: 1})
    SpoolWriter(tmp_path, "detect-1", PLENTY).put(rows(1, 1, 12), {1: 1})

    found = list(SpoolReader(tmp_path).records())

    assert [[point.log_offset for point in record.points] for record in found] == [
        list(range(1, 11)),
        [11, 12],
    ]
    assert [record.repeats for record in found] == [0, 10]


def test_who_takes_a_partition_over_writes_behind_what_the_last_one_left(tmp_path: Path) -> None:
    first = SpoolWriter(tmp_path, "detect-1", PLENTY)
    second = SpoolWriter(tmp_path, "detect-2", PLENTY)
    second.put(rows(2, 1, 5), {2: 1})
    first.put(rows(1, 1, 5), {1: 1})

    second.put(rows(1, 6, 9) + rows(2, 6, 9), {1: 2, 2: 1})

    assert send_all(SpoolReader(tmp_path)) == [
        *((2, offset) for offset in range(1, 6)),
        *((1, offset) for offset in range(1, 6)),
        *((1, offset) for offset in range(6, 10)),
        *((2, offset) for offset in range(6, 10)),
    ]


def test_half_a_record_waits_and_is_passed_over_once_nobody_can_complete_it(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, "detect-1", PLENTY)
    writer.put(rows(1, 1, 3), {1: 1})
    writer.put(rows(1, 4, 6), {1: 1})
    path = segments(tmp_path)[0][2]
    path.write_bytes(path.read_bytes()[:-5])
    reader = SpoolReader(tmp_path)

    assert len(send_all(reader)) == 3
    assert list(reader.records()) == []
    SpoolWriter(tmp_path, "detect-1", PLENTY).put(rows(1, 4, 7), {1: 1})

    assert send_all(reader) == [(1, offset) for offset in range(4, 8)]
    reader.tidy()
    assert len(segments(tmp_path)) == 1


def test_a_damaged_record_costs_its_own_points_only(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, "detect-1", PLENTY)
    for first in (1, 4, 7):
        writer.put(rows(1, first, first + 2), {1: 1})
    path = segments(tmp_path)[0][2]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)

    found = list(SpoolReader(tmp_path).records())

    assert [[point.log_offset for point in record.points] for record in found] == [[1, 2, 3], [], [7, 8, 9]]
    assert found[1].damaged_bytes > 0
    assert found[1].count == 3


def test_a_cursor_that_cannot_be_read_sends_again_rather_than_never(tmp_path: Path) -> None:
    SpoolWriter(tmp_path, "detect-1", PLENTY).put(rows(1, 1, 3), {1: 1})
    send_all(SpoolReader(tmp_path))
    (tmp_path / "cursor.json").write_bytes(b"{")

    assert len(send_all(SpoolReader(tmp_path))) == 3


def test_a_full_spool_drops_the_oldest_and_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 2000)
    writer = SpoolWriter(tmp_path, "detect-1", 10_000)
    reader = SpoolReader(tmp_path)
    for first in range(1, 2001, 20):
        writer.put(rows(1, first, first + 19), {1: 1})

    kept = send_all(reader)
    lost = reader.tidy()

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 12_000
    assert kept[-1] == (1, 2000)
    assert kept == [(1, offset) for offset in range(2001 - len(kept), 2001)]
    assert lost == 2000 - len(kept) > 0
    assert reader.tidy() == 0


def test_what_was_sent_of_a_dropped_segment_does_not_count_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 2000)
    writer = SpoolWriter(tmp_path, "detect-1", 10_000)
    reader = SpoolReader(tmp_path)
    writer.put(rows(1, 1, 20), {1: 1})
    send_all(reader)
    for first in range(21, 2001, 20):
        writer.put(rows(1, first, first + 19), {1: 1})

    assert reader.tidy() + len(send_all(reader)) == 1980


def test_what_the_disk_does_not_take_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.write_bytes(b"in the way")
    writer = SpoolWriter(folder, "detect-1", PLENTY)

    writer.put(rows(1, 1, 3), {1: 1})
    assert writer.lost == 3
    folder.unlink()
    writer.put(rows(1, 4, 5), {1: 1})

    assert writer.lost == 3
    assert send_all(SpoolReader(folder)) == [(1, 4), (1, 5)]


def test_what_is_read_and_no_longer_written_to_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 500)
    writer = SpoolWriter(tmp_path, "detect-1", PLENTY)
    for first in range(1, 101, 10):
        writer.put(rows(1, first, first + 9), {1: 1})
    reader = SpoolReader(tmp_path)
    before = len(segments(tmp_path))

    assert len(send_all(reader)) == 100
    assert reader.waiting_bytes() == 0
    reader.tidy()

    assert before > 2
    assert len(segments(tmp_path)) == 1
    assert len(reader.cursor.read) == 1
