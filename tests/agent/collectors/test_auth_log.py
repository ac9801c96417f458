from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent.collectors.auth_log import collect
from agent.collectors.registry import NothingToReport
from agent.settings import CollectorSettings
from tests.agent.collectors.support import context, fixture_text, write

if TYPE_CHECKING:
    from pathlib import Path

LINE = "Nov 21 20:36:22 may sshd[12]: Failed password for root from 192.0.2.9 port 22 ssh2\n"


def actions(root: Path, state: dict[str, Any], settings: CollectorSettings | None = None) -> list[str]:
    return [e.fields["event.action"] for e in collect(context(root, state=state, settings=settings)).events]


def test_a_log_is_followed_line_by_line(tmp_path: Path) -> None:
    log = write(tmp_path / "var/log/auth.log", fixture_text("auth/debian12_3164.log"))
    state: dict[str, Any] = {}
    assert actions(tmp_path, state) == []
    with log.open("a") as file:
        file.write(LINE)
    assert actions(tmp_path, state) == ["ssh_login_failed"]
    assert actions(tmp_path, state) == []


def test_a_log_that_was_cut_or_removed_is_an_event(tmp_path: Path) -> None:
    log = write(tmp_path / "var/log/auth.log", LINE * 3)
    state: dict[str, Any] = {}
    actions(tmp_path, state)
    log.write_text("")
    assert actions(tmp_path, state) == ["auth_log_truncated"]
    log.unlink()
    assert actions(tmp_path, state) == ["log_cleared"]
    assert actions(tmp_path, state) == []


def test_red_hats_log_is_found_too(tmp_path: Path) -> None:
    write(tmp_path / "var/log/secure", "")
    assert actions(tmp_path, {}) == []


def test_a_log_that_is_made_after_the_first_look_is_read_whole(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    with pytest.raises(NothingToReport, match="rsyslog"):
        actions(tmp_path, state)
    write(tmp_path / "var/log/auth.log", LINE)
    assert actions(tmp_path, state) == ["ssh_login_failed"]


def test_a_log_that_somebody_named_is_read_beside_a_journal(tmp_path: Path) -> None:
    write(tmp_path / "run/log/journal/0/system.journal", "")
    write(tmp_path / "usr/lib/libsystemd.so.0", "")
    write(tmp_path / "var/log/auth.log", "")
    write(tmp_path / "own.log", "")
    with pytest.raises(NothingToReport, match="journal"):
        actions(tmp_path, {})
    assert actions(tmp_path, {}, CollectorSettings(auth_logs=("/own.log",))) == []
