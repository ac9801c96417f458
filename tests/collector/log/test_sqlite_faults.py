"""The log on SQLite when its disk is full, its file locked, or a page of it damaged."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from collector.log.errors import LogDamagedError, LogError, LogFull
from collector.log.mending import mend_if_marked
from collector.log.sqlite_reader import SqliteReader
from collector.log.sqlite_writer import SqliteWriter
from collector.partitions import all_from
from tests.collector.log.rows import append, batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KB = 1 << 10
_MB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(writer: SqliteWriter) -> list[int]:
    """Append until the log says that it is full; the numbers that were acknowledged."""
    acknowledged: list[int] = []

    async def until_full() -> None:
        for number in range(1, 10_000):
            await writer.append(batch(number, os.urandom(16 * _KB)))
            acknowledged.append(number)

    with pytest.raises(LogFull):
        asyncio.run(until_full())
    return acknowledged


def test_below_its_reserve_the_log_takes_nothing_until_the_worker_has_emptied_it(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.log.trim._SLACK_PAGES", 256)
    path = disk / "log.db"
    with closing(SqliteWriter(path, reserve_bytes=16 * _MB)) as writer, closing(SqliteReader(path)) as reader:
        acknowledged = fill(writer)
        assert [row.seq for row in reader.read(all_from(0), 10_000)] == acknowledged
        assert writer.alive()

        assert reader.trim(all_from(reader.last_offset()), 3.0) == len(acknowledged)
        assert append(writer, batch(20_000))[0] > acknowledged[-1]


def test_a_disk_that_others_filled_loses_nothing_and_the_log_recovers_by_itself(disk: Path) -> None:
    path = disk / "log.db"
    with closing(SqliteWriter(path)) as writer, closing(SqliteReader(path)) as reader:
        append(writer, batch(1))
        other = disk / "other"
        other.write_bytes(bytes(24 * _MB))
        acknowledged = fill(writer)
        assert acknowledged
        rows = reader.read(all_from(0), 10_000)
        assert {row.seq for row in rows} >= {1, *acknowledged}
        other.unlink()
        again = append(writer, batch(acknowledged[-1] + 1, b"at last"))
        assert [row.body for row in reader.read(all_from(again[0] - 1), 10)] == [b"at last"]
        assert len(reader.read(all_from(0), 10_000)) == 1 + len(acknowledged) + 1


def test_a_locked_file_refuses_rows_and_goes_on_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.log.schema._BUSY_SECONDS", 0.2)
    path = tmp_path / "log.db"
    with (
        closing(SqliteWriter(path)) as writer,
        closing(SqliteReader(path)) as reader,
        closing(sqlite3.connect(path, isolation_level=None)) as blocker,
    ):
        append(writer, batch(1))
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogError, match="locked"):
            append(writer, batch(2))
        with pytest.raises(LogError, match="locked"):
            reader.trim(all_from(1), 3.0)
        assert [row.seq for row in reader.read(all_from(0), 10)] == [1]
        blocker.execute("ROLLBACK")
        append(writer, batch(2))
        assert [row.seq for row in reader.read(all_from(0), 10)] == [1, 2]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A closed log of 400 batches of 10 KB, all in the one file."""
    path = tmp_path / "log.db"
    with closing(SqliteWriter(path)) as writer:
        append(writer, *(batch(number, bytes([number % 251]) * 10 * _KB) for number in range(1, 401)))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def page_of(path: Path, kind: str) -> int:
    """A page in the middle of those of that kind (`leaf` or `overflow`) of the table of rows."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            pages = [
                int(number)
                for (number,) in connection.execute(
                    "SELECT pageno FROM dbstat WHERE name = 'record' AND pagetype = ? ORDER BY pageno",
                    (kind,),
                )
            ]
        except sqlite3.OperationalError:
            pytest.skip("this SQLite has no dbstat")
    return pages[len(pages) // 2]


def damage(path: Path, page: int, start: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096 + start)
        file.write((bytes(range(256)) * 16)[start:])


@pytest.mark.parametrize("start", [0, 100])
def test_a_damaged_body_is_noticed_and_its_number_is_not_missed(filled: Path, start: int) -> None:
    """With the page's link to the next one, which SQLite notices, and without."""
    damage(filled, page_of(filled, "overflow"), start)
    with closing(SqliteReader(filled)) as reader:
        rows = reader.read(all_from(0), 1000)
    assert [row.seq for row in rows] == list(range(1, 401))
    spoiled = [row for row in rows if row.body != bytes([row.seq % 251]) * 10 * _KB]
    assert [row.body for row in spoiled] == [b""]  # which the worker keeps as a dead letter


def test_a_damaged_page_stops_the_reader_and_the_next_start_keeps_all_other_rows(filled: Path) -> None:
    damage(filled, page_of(filled, "leaf"))
    with (
        closing(SqliteReader(filled)) as reader,
        pytest.raises(LogDamagedError, match="stop `vonggac serve` and start it again"),
    ):
        reader.read(all_from(0), 1000)

    mended = mend_if_marked(filled)

    assert mended is not None
    assert mended.rows + len(mended.lost) == 400
    assert 0 < len(mended.lost) < 40
    assert mended.kept.exists()
    assert mend_if_marked(filled) is None
    with closing(SqliteReader(filled)) as reader, closing(SqliteWriter(filled)) as writer:
        rows = reader.read(all_from(0), 1000)
        assert {row.seq for row in rows} == set(range(1, 401)) - set(mended.lost)
        assert all(row.body == bytes([row.seq % 251]) * 10 * _KB and row.offset == row.seq for row in rows)
        # Offsets go on; what is missing may come again, what is there may not come twice.
        offsets = append(writer, batch(mended.lost[0]), batch(1, bytes([1]) * 10 * _KB), batch(401))
        assert offsets == [401, 1, 402]
    assert filled.stat().st_mode & 0o777 == 0o600
