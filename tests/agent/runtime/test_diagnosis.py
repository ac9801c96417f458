"""What ``status`` advises: commands that work on this machine, and where it looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.runtime.diagnosis import Asked, diagnose
from agent.settings import DEFAULT_CONFIG, StateDirectory

if TYPE_CHECKING:
    from pathlib import Path


def test_where_systemd_runs_the_agent_is_started_as_a_service(tmp_path: Path) -> None:
    assert Asked().start_command(tmp_path) == "systemctl start vonggac-agent"
    assert Asked(config=DEFAULT_CONFIG).start_command(tmp_path) == "systemctl start vonggac-agent"


def test_without_systemd_the_program_itself_is_started(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert Asked().start_command(absent) == "vonggac-agent run"
    assert Asked(config=tmp_path / "a b.toml").start_command(absent) == (
        f"vonggac-agent run --config '{tmp_path}/a b.toml'"
    )


def test_an_agent_with_settings_of_its_own_is_not_the_service(tmp_path: Path) -> None:
    asked = Asked(config=tmp_path / "agent.toml", state=tmp_path / "state")
    assert asked.start_command(tmp_path) == (
        f"vonggac-agent run --config {tmp_path}/agent.toml --state {tmp_path}/state"
    )


def test_an_agent_that_does_not_run_is_started_with_the_settings_asked_about(
    enrolled: StateDirectory, tmp_path: Path
) -> None:
    config = tmp_path / "agent.toml"
    (problem,) = diagnose(enrolled, "vi", asked=Asked(config=config)).problems
    assert problem.code == "not_running"
    assert problem.to_do == f"Khởi động: vonggac-agent run --config {config}"


@pytest.mark.parametrize(("lang", "absent"), [("vi", "(không có)"), ("en", "(absent)")])
def test_status_that_finds_nothing_says_where_it_looked(tmp_path: Path, lang: str, absent: str) -> None:
    nowhere = StateDirectory(tmp_path / "nowhere")
    (problem,) = diagnose(nowhere, "vi" if lang == "vi" else "en").problems
    assert problem.code == "not_enrolled"
    assert str(DEFAULT_CONFIG) in problem.what
    assert f"{nowhere.root} {absent}" in problem.what
    (told,) = diagnose(nowhere, "en", asked=Asked(config=tmp_path / "agent.toml")).problems
    assert "Looked at" not in told.what
