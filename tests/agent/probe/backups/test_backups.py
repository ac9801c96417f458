"""Files of backups, as they are and as somebody would like them to seem."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agent.collectors.registry import Output
from agent.probe.backups.files import judge, parse_sum
from agent.probe.backups.looking import look
from agent.probe.backups.settings import BackupsSettings, System, Systems
from agent.probe.contract import Hello, PartContext, Said
from agent.settings_file import SettingsError, load_settings

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_795_316_400.0
HOUR = 3600.0


def backup(folder: Path, name: str = "db-1.dump", *, hours: float = 1, data: bytes = b"x" * 100) -> Path:
    path = folder / name
    path.write_bytes(data)
    os.utime(path, (NOW - hours * HOUR, NOW - hours * HOUR))
    return path


def outputs(said: Said) -> Output:
    return msgspec.json.decode(said.output, type=Output)


def state(folder: Path, **more: Any) -> dict[str, Any]:
    return judge(System(name="portal-db", files=(f"{folder}/db-*.dump",), **more), NOW, {})[0]


def test_the_newest_file_that_fits_is_the_backup(tmp_path: Path) -> None:
    assert state(tmp_path) == {"state": "missing"}
    backup(tmp_path, "db-1.dump", hours=40)
    assert state(tmp_path)["state"] == "overdue"
    backup(tmp_path, "db-2.dump", hours=2, data=b"x" * 50)
    backup(tmp_path, "other.dump", hours=1)
    (tmp_path / "db-3.dump").mkdir()
    assert state(tmp_path) == {
        "state": "good", "newest_time": NOW - 2 * HOUR, "size_bytes": 50, "file": "db-2.dump"
    }  # fmt: skip
    assert state(tmp_path, least_bytes=51)["state"] == "small"
    assert state(tmp_path / "none") == {"state": "missing"}


def test_links_are_followed_nowhere(tmp_path: Path) -> None:
    real, linked = tmp_path / "real", tmp_path / "linked"
    real.mkdir()
    backup(real)
    linked.symlink_to(real)
    assert state(linked)["state"] == "unreadable"
    (tmp_path / "db-1.dump").symlink_to(real / "db-1.dump")
    os.mkfifo(tmp_path / "db-2.dump")
    assert state(tmp_path) == {"state": "missing"}


def test_a_checksum_beside_it_must_be_right(tmp_path: Path) -> None:
    path = backup(tmp_path)
    assert state(tmp_path, checksum=".sha256")["state"] == "sum_missing"
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    beside = tmp_path / "db-1.dump.sha256"
    beside.write_text(f"{right}  db-1.dump\n")
    assert state(tmp_path, checksum=".sha256")["state"] == "good"
    beside.write_text(f"{right[::-1]}  db-1.dump\n")
    assert state(tmp_path, checksum=".sha256")["state"] == "damaged"
    beside.unlink()
    beside.symlink_to("/etc/passwd")
    assert state(tmp_path, checksum=".sha256")["state"] == "unreadable"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"A" * 64 + b"  db.dump\n", "a" * 64),
        (b"SHA2-256(db.dump)= " + b"b" * 64 + b"\n", "b" * 64),
        (b"c" * 63, ""),
        (b"d" * 65, ""),
        (b"", ""),
        (b"\xff\0" * 100, ""),
    ],
)
def test_sums_as_programs_write_them(text: bytes, found: str) -> None:
    assert parse_sum(text) == found


def test_a_file_that_has_not_changed_is_not_read_again_and_all_systems_are_told(tmp_path: Path) -> None:
    path = backup(tmp_path)
    (tmp_path / "db-1.dump.sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
    settings = BackupsSettings(
        backups=Systems(
            (
                System(name="portal-db", files=(f"{tmp_path}/db-*.dump",), checksum=".sha256"),
                System(name="mail", files=(f"{tmp_path}/mail-*",)),
            )
        )
    )
    said: list[Said] = []

    def say(what: Said) -> str:
        said.append(what)
        return ""

    context = PartContext(settings, Hello("backups", {}, str(tmp_path)), say=say, now=lambda: NOW)
    look(context)
    (tmp_path / "db-1.dump.sha256").unlink()  # would be missed only by who looks
    look(context)
    for each in said:
        told = {document.item: document.body for document in outputs(each).documents}
        assert {item: body and body["state"] for item, body in told.items()} == {
            "portal-db": "good",
            "mail": "missing",
        }
    backup(tmp_path, hours=0.5)
    look(context)
    assert (outputs(said[-1]).documents[0].body or {})["state"] == "sum_missing"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[backups.system]]\nname = "Portal DB"\nfiles = ["/a"]', "small letters"),
        ('[[backups.system]]\nname = "a"\nfiles = ["a/*"]', "whole path"),
        ('[[backups.system]]\nname = "a"\nfiles = ["/a/*/b"]', "last part"),
        ('[[backups.system]]\nname = "a"\nfiles = []', "files"),
        ('[[backups.system]]\nname = "a"\nfiles = ["/a"]\nchecksum = "/../x"', "ending"),
        ('[[backups.system]]\nname = "a"\nfiles = ["/a"]\nage = 5', "age"),
        (
            '[[backups.system]]\nname = "a"\nfiles = ["/a"]\n[[backups.system]]\nname = "a"\nfiles = ["/b"]',
            "twice",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_with_their_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "backups.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=reason):
        load_settings(BackupsSettings, path, {}, "VONGGAC_PROBE_BACKUPS")
