"""Reading back what belongs to the agent's user, as root does for ``status`` and ``check-config``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from agent.runtime.diagnosis import diagnose, is_running
from agent.runtime.errors import NotEnrolledError
from agent.runtime.files import read_own, write_atomically
from agent.runtime.identity import load_identity
from agent.runtime.locking import hold, hold_state
from agent.runtime.managed.record import Record, read_record, write_record
from agent.runtime.status import Status, read_status, write_status
from agent.settings import StateDirectory
from agent.update.words import problems

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of Unix")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"{}")
    path.symlink_to(other)


def too_long(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


TRAPS = [pipe, endless, link, Path.mkdir, too_long]


@pytest.mark.parametrize("make", TRAPS)
def test_what_is_no_plain_file_of_the_expected_length_is_not_read(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "trap")
    with pytest.raises(OSError, match="trap"):
        read_own(tmp_path / "trap", 100)


@pytest.mark.parametrize("make", TRAPS)
def test_readers_of_the_agents_own_files_take_it_for_none(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    for name in ("status.json", "settings.json", "update/told.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        make(tmp_path / name)
        (tmp_path / "other").unlink(missing_ok=True)
    assert read_status(tmp_path / "status.json") is None
    assert read_record(tmp_path / "settings.json") == Record()
    assert list(problems(tmp_path, "en", 0.0)) == []


@pytest.mark.parametrize("make", TRAPS)
def test_status_of_an_identity_and_a_lock_that_are_traps_says_so_at_once(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    state = StateDirectory(tmp_path)
    for path in (state.identity, state.lock):
        make(path)
        (tmp_path / "other").unlink(missing_ok=True)
    with pytest.raises(NotEnrolledError, match="identity"):
        load_identity(state, finish=False)
    assert not is_running(state)
    assert not diagnose(state, "en").ok


def test_a_lock_is_looked_at_through_no_link(tmp_path: Path) -> None:
    """Else who owns the folder could have root hold any file for a moment."""
    state, elsewhere = StateDirectory(tmp_path), tmp_path / "elsewhere"
    held = os.open(elsewhere, os.O_RDWR | os.O_CREAT)
    try:
        assert hold(held)
        state.lock.symlink_to(elsewhere)
        assert not is_running(state)
    finally:
        os.close(held)


def test_a_plain_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_own(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="too large"):
        read_own(tmp_path / "a", 4)
    write_status(tmp_path / "status.json", Status(version="1", pid=1, started_at=1.0))
    assert read_status(tmp_path / "status.json") is not None
    write_record(tmp_path / "settings.json", Record(taken=7))
    assert read_record(tmp_path / "settings.json").taken == 7
    assert msgspec.json.decode(read_own(tmp_path / "settings.json", 1 << 10))["taken"] == 7


def test_what_is_written_replaces_a_link_in_its_way_and_leaves_alone_what_it_leads_to(tmp_path: Path) -> None:
    """Root enrols a machine in a folder of the agent's user."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"root's")
    (tmp_path / "agent.key.tmp").symlink_to(elsewhere)
    write_atomically(tmp_path / "agent.key", b"key")
    assert elsewhere.read_bytes() == b"root's"
    assert (tmp_path / "agent.key").read_bytes() == b"key"
    assert not (tmp_path / "agent.key").is_symlink()
    (tmp_path / "agent.key.tmp").write_bytes(b"what a crash has left, longer than the rest")
    write_atomically(tmp_path / "agent.key", b"new")
    assert (tmp_path / "agent.key").read_bytes() == b"new"
    assert not (tmp_path / "agent.key.tmp").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root's matter")
def test_root_does_not_run_or_enrol_in_a_folder_of_another_user(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    os.close(hold_state(state))
    state.lock.unlink()
    os.chown(state.root, 65534, 65534)
    with pytest.raises(NotEnrolledError, match="belongs to user 65534"):
        hold_state(state)
    assert not state.lock.exists()


def test_the_lock_of_a_state_directory_is_made_through_no_link(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotEnrolledError):
        hold_state(state)
    assert not (tmp_path / "elsewhere").exists()
