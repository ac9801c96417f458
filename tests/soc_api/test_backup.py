"""Backup and restore over real stores."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from collector.settings import DataDirectory, Settings
from collector.store.engine import Engine
from collector.store.place import Embedded
from collector.store.rows import EVENT_SCHEMA, encode
from soc_api import backup
from soc_api.backup_archive import archived, pin

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def quiet(_line: str) -> None:
    """No progress."""


def events(number: int) -> bytes:
    row = {
        "event_id": "",
        "time": NOW,
        "received_at": NOW,
        "log_offset": 1,
        "endpoint_id": "e",
        "agency_id": 1,
        "product": "linux",
        "category": "",
        "service": "auth",
        "simulated": False,
        "rules": ["r"],
        "body": "{}",
    }
    rows = [{**row, "event_id": str(index)} for index in range(number)]
    return encode(pa.Table.from_pylist(rows, EVENT_SCHEMA))


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    data = DataDirectory(tmp_path / "data")
    data.create()
    for path in (data.state, data.log):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE t (a)")
            connection.execute("INSERT INTO t VALUES ('kept')")
            connection.commit()
    data.ca.mkdir()
    (data.ca / "ca.key").write_text("secret")
    (data.ca / "ca.crt").write_text("public")
    return data


def content(path: Path) -> object:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT a FROM t").fetchone()[0]


def test_a_backup_brought_back_has_the_same_state_log_events_and_keys(
    data: DataDirectory, tmp_path: Path
) -> None:
    engine = Engine(Embedded(data.events, tmp_path / "spill"))
    engine.insert("events", events(500))
    engine.insert("events", events(250))
    engine.close()
    made = backup.make(data, Settings(), tmp_path / "b.tar", NOW, quiet)
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert not list((data.events / "shadow").glob("backup*"))
    target = DataDirectory(tmp_path / "again")
    backup.bring_back(tmp_path / "b.tar", target.root, quiet)
    assert content(target.state) == content(target.log) == "kept"
    assert (target.ca / "ca.key").stat().st_mode & 0o777 == 0o600
    assert target.root.stat().st_mode & 0o777 == 0o700
    engine = Engine(Embedded(target.events, tmp_path / "spill2"))
    count = json.loads(engine.query("SELECT count() AS n, sum(length(rules)) AS r FROM events", {}))
    engine.insert("events", events(1))
    engine.close()
    assert count == [{"n": 750, "r": 750}]


def test_a_backup_never_overwrites(data: DataDirectory, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("mine")
    with pytest.raises(backup.BackupError, match="never overwrites"):
        backup.make(data, Settings(), tmp_path / "b.tar", NOW, quiet)
    assert (tmp_path / "b.tar").read_text() == "mine"


def test_a_restore_never_overwrites(data: DataDirectory, tmp_path: Path) -> None:
    backup.make(data, Settings(), tmp_path / "b.tar", NOW, quiet)
    with pytest.raises(backup.BackupError, match="not empty"):
        backup.bring_back(tmp_path / "b.tar", data.root, quiet)
    assert content(data.state) == "kept"


def test_a_damaged_backup_leaves_nothing_behind(data: DataDirectory, tmp_path: Path) -> None:
    backup.make(data, Settings(), tmp_path / "b.tar", NOW, quiet)
    raw = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(raw.replace(b"secret", b"forged"))
    with pytest.raises(backup.BackupError, match=r"ca/ca\.key in the backup is damaged"):
        backup.bring_back(tmp_path / "b.tar", tmp_path / "again", quiet)
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".restore-*"))


@pytest.mark.parametrize("length", [0, 100, 5000, 20000])
def test_a_backup_that_was_cut_off_is_refused(data: DataDirectory, tmp_path: Path, length: int) -> None:
    backup.make(data, Settings(), tmp_path / "b.tar", NOW, quiet)
    (tmp_path / "b.tar").write_bytes((tmp_path / "b.tar").read_bytes()[:length])
    with pytest.raises(backup.BackupError):
        backup.bring_back(tmp_path / "b.tar", tmp_path / "again", quiet)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("files", "links"),
    [
        ({"../out": "0"}, {}),
        ({"/etc/out": "0"}, {}),
        ({}, {"events/out": "../../out"}),
        ({}, {"out": "/etc"}),
        ({}, {"../out": "state.db"}),
    ],
)
def test_a_hostile_backup_cannot_reach_outside_of_its_target(
    tmp_path: Path, files: dict[str, str], links: dict[str, str]
) -> None:
    manifest = {"format": 1, "made_at": "", "files": files, "links": links}
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        for name, body in (("manifest.json", json.dumps(manifest).encode()), *((n, b"x") for n in files)):
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    with pytest.raises(backup.BackupError, match="outside"):
        backup.bring_back(tmp_path / "b.tar", tmp_path / "a" / "again", quiet)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "a" / "again").exists()


def test_old_events_in_the_archive_are_in_the_backup(data: DataDirectory, tmp_path: Path) -> None:
    with closing(Engine(Embedded(data.events), data.archive)) as engine:
        engine.insert("events", events(20))
        assert engine.archive is not None
        [partition] = engine.partitions("events")
        assert engine.archive.move(partition, [(92, "1")]) == 20
        engine.insert("events", events(5))

    backup.make(data, Settings(), tmp_path / "b.tar", NOW, quiet)
    backup.bring_back(tmp_path / "b.tar", tmp_path / "again", quiet)

    again = DataDirectory(tmp_path / "again")
    with closing(Engine(Embedded(again.events), again.archive)) as engine:
        found = engine.query("SELECT count() AS n FROM events", {}, since=NOW)
    assert json.loads(found) == [{"n": 25}]


def test_what_goes_over_to_the_archive_meanwhile_is_in_the_backup_once(tmp_path: Path) -> None:
    """What was there before; what came while its partition was still among the frozen parts; what came after it had
    left them; what is just going over; what is being written."""
    folder, frozen = tmp_path / "archive" / "events", tmp_path / "shadow" / "store"
    folder.mkdir(parents=True)
    for hour in ("20260101", "20260102", "20260104"):
        (frozen / f"{hour}_1_1_0").mkdir(parents=True)
    (folder / "20260101-d92.parquet").touch()
    before = archived(tmp_path / "archive")
    for name in ("20260102-d92.parquet", "20260103-d92.parquet", "20260104.whole", "20260104-d92.writing",
                 "20260105-d92.writing"):  # fmt: skip
        (folder / name).touch()

    pinned = pin(tmp_path / "archive", before, frozen, tmp_path / "pinned")

    assert sorted(name.removeprefix("archive/events/") for name in pinned) == [
        "20260101-d92.parquet",
        "20260103-d92.parquet",
        "20260104-d92.writing",
        "20260104.whole",
    ]
    assert all(path.exists() for path in pinned.values())
