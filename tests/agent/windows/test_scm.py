"""The service's command, what Windows does when it fails, and waiting for it."""

from __future__ import annotations

import itertools

import pytest

from agent.windows import scm
from agent.windows.scm import RESTART, RUN_COMMAND, Commands, command_line, program_of
from agent.windows.service import RUNNING, START_PENDING, STOP_PENDING, STOPPED
from tests.agent.windows.service_manager import FakeManager

PYTHON = r"C:\Program Files\vonggac-agent\versions\0.1.0\python.exe"


def test_the_program_is_quoted_always() -> None:
    command = command_line(PYTHON, ["-m", "agent.cli", "--state", "D:\\Dữ liệu\\"])
    assert command == f'"{PYTHON}" -m agent.cli --state "D:\\Dữ liệu\\\\"'
    assert command_line(r"C:\agent\python.exe", []) == r'"C:\agent\python.exe"'
    assert program_of(command) == (PYTHON, '-m agent.cli --state "D:\\Dữ liệu\\\\"')


@pytest.mark.parametrize("word", ["", 'a"b', "%TEMP%", "a\nb", "a\0b"])
def test_what_would_mean_something_else_in_a_command_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="no quotation marks"):
        command_line(PYTHON, ["--config", word])
    with pytest.raises(ValueError, match="no quotation marks"):
        command_line(word, [])


@pytest.mark.parametrize("command", ["", PYTHON, f'"{PYTHON}', f'"{PYTHON}"-m x', '"" x'])
def test_the_command_of_another_program_is_none_of_ours(command: str) -> None:
    assert program_of(command) == ("", "")


def test_the_version_before_is_run_at_the_third_failure() -> None:
    assert [kind for kind, _ in Commands("run").failure_actions] == [RESTART] * 3
    kinds = [kind for kind, _ in Commands("run", "rescue").failure_actions]
    assert kinds == [RESTART, RESTART, RUN_COMMAND, RESTART]


class Slow(FakeManager):
    """Says these states, one a question; the last again and again."""

    def __init__(self, *states: int) -> None:
        super().__init__()
        self._states = itertools.chain(states, itertools.repeat(states[-1]))

    def state(self) -> int:
        return next(self._states)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scm, "_LOOK_SECONDS", 0.0)


def test_a_restart_waits_for_the_end_and_for_the_start() -> None:
    manager = Slow(START_PENDING, RUNNING, STOP_PENDING, STOPPED, STOPPED, START_PENDING, RUNNING)
    scm.restart(manager)
    assert manager.log == ["stop", "start"]


def test_a_service_that_ends_at_once_was_not_started() -> None:
    with pytest.raises(OSError, match="ended as soon as"):
        scm.restart(Slow(STOPPED))


def test_a_service_that_does_not_stop_is_not_waited_for_for_ever() -> None:
    clock = itertools.count(0.0, 10.0)
    manager = Slow(STOP_PENDING)
    with pytest.raises(OSError, match="still in state 3"):
        scm.stop(manager, lambda: next(clock))
    assert manager.log == ["stop"]
