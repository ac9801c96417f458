from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import reasons
from agent.collectors import services
from agent.collectors.registry import NothingToReport
from agent.collectors.services import parse_unit
from tests.agent.collectors.support import context, write

if TYPE_CHECKING:
    from pathlib import Path

SSH = "[Unit]\nDescription=OpenBSD Secure Shell server\n[Service]\n"
SSH += "ExecStartPre=/usr/sbin/sshd -t\nExecStart=-/usr/sbin/sshd -D $SSHD_OPTS\n"


def units(root: Path) -> dict[str, dict[str, Any]]:
    (document,) = services.collect(context(root)).documents
    assert document.body is not None
    return {row["name"]: row for row in document.body["units"]}


def enable(root: Path, name: str, target: str = "multi-user.target") -> None:
    folder = root / f"etc/systemd/system/{target}.wants"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(f"/lib/systemd/system/{name}")


def test_enabled_units_are_told_with_what_they_run(tmp_path: Path) -> None:
    write(tmp_path / "lib/systemd/system/ssh.service", SSH)
    write(tmp_path / "lib/systemd/system/getty@.service", "[Service]\nExecStart=/sbin/agetty %I\n")
    write(tmp_path / "lib/systemd/system/off.service", SSH)
    enable(tmp_path, "ssh.service")
    enable(tmp_path, "ssh.service", "cloud-init.target")
    enable(tmp_path, "getty@tty1.service", "getty.target")
    enable(tmp_path, "gone.timer", "timers.target")
    found = units(tmp_path)
    assert found == {
        "getty@tty1.service": {
            "name": "getty@tty1.service",
            "wanted_by": ["getty.target"],
            "path": "/lib/systemd/system/getty@.service",
            "command": "/sbin/agetty %I",
        },
        "gone.timer": {"name": "gone.timer", "wanted_by": ["timers.target"], "path": ""},
        "ssh.service": {
            "name": "ssh.service",
            "wanted_by": ["cloud-init.target", "multi-user.target"],
            "path": "/lib/systemd/system/ssh.service",
            "description": "OpenBSD Secure Shell server",
            "command": "/usr/sbin/sshd -D $SSHD_OPTS",
        },
    }


def test_of_very_many_units_it_is_said_that_not_all_are_told(tmp_path: Path) -> None:
    for number in range(services.MAX_UNITS):
        enable(tmp_path, f"u{number}.service")
    (whole,) = services.collect(context(tmp_path)).documents
    enable(tmp_path, "one-more.service")
    (cut,) = services.collect(context(tmp_path)).documents
    assert whole.body is not None
    assert cut.body is not None
    assert (whole.body["state"], whole.body["reason"]) == ("ok", "")
    assert (cut.body["state"], cut.body["count"]) == ("partial", services.MAX_UNITS + 1)
    assert cut.body["reason"] == reasons.TABLE_CUT(number=services.MAX_UNITS)


def test_the_administrators_own_file_counts_first(tmp_path: Path) -> None:
    write(tmp_path / "lib/systemd/system/ssh.service", SSH)
    write(
        tmp_path / "etc/systemd/system/ssh.service", "[Service]\nExecStart=/tmp/x --password=abc\nUser=an\n"
    )
    enable(tmp_path, "ssh.service")
    assert units(tmp_path)["ssh.service"] == {
        "name": "ssh.service",
        "wanted_by": ["multi-user.target"],
        "path": "/etc/systemd/system/ssh.service",
        "command": "/tmp/x --password=***",
        "user": "an",
    }


def test_without_systemd_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(NothingToReport):
        services.collect(context(tmp_path))


def test_a_command_over_several_lines_is_one() -> None:
    assert parse_unit("ExecStart=/bin/x \\\n  --all\n") == {"command": "/bin/x    --all"}


@given(st.text(max_size=300))
def test_no_unit_breaks_the_reader(text: str) -> None:
    for value in parse_unit(f"ExecStart={text}\nUser={text}\n{text}").values():
        assert value.isprintable()
