"""A version that cannot start, and nobody left who would go back: what is started before every version does."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import agent
from agent.update import environment, launcher
from agent.update.applying import Apply, put_launcher
from agent.update.errors import ReleaseError
from agent.update.launcher import STARTS
from agent.update.place import DONE, GOING_BACK, ROLLED_BACK, SWITCHING, Installation, Record

if TYPE_CHECKING:
    from pathlib import Path

_OPEN = Record(version="0.2.0", before="0.1.0", state=SWITCHING, had_link=True, at=1e9, newest=5.0)


class Working:
    """A health that finds every version well."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def after(self, restart: Any, version: str, **_: Any) -> tuple[str, str]:
        restart()
        self.started.append(version)
        return "", ""


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    """0.1.0 works; 0.2.0, which is current, ends with an error whatever is asked of it."""
    made = Installation(tmp_path / "opt")
    for version, does in (("0.1.0", 'echo "0.1.0 $*"'), ("0.2.0", "exit 7")):
        program = made.environment(version) / "bin" / "vonggac-agent"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    made.switch("0.2.0")
    assert put_launcher(made)
    return made


def launch(place: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([place.launcher, *arguments], capture_output=True, text=True, timeout=30)


def test_a_switched_version_that_cannot_start_is_left_for_the_one_before(place: Installation) -> None:
    place.write_record(_OPEN)
    for _ in range(STARTS - 1):
        assert launch(place, "run").returncode == 7
    assert place.current_version == "0.2.0"
    done = launch(place, "run", "--config", "a b")
    assert (done.returncode, done.stdout) == (0, "0.1.0 run --config a b\n")
    assert place.current_version == "0.1.0"
    record = place.read_record()
    assert (record.state, record.code, record.had_link, record.newest) == (GOING_BACK, "silent", True, 5.0)
    assert "6 times" in record.detail

    # The unit of updates is the version before's from here on, and ends it as any way back.
    health = Working()
    work = Apply(
        place,
        place.root / "no.pub",
        health,  # type: ignore[arg-type] # what of it is asked
        config=None,
        restart=lambda: None,
        say=lambda _line: None,
    )
    ended = work.finish()
    assert ended is not None
    assert (ended.state, ended.failed, health.started) == (ROLLED_BACK, {"0.2.0": "silent"}, ["0.1.0"])
    assert [each.name for each in place.versions.iterdir()] == ["0.1.0"]


def test_the_units_count_together_without_starting_anything(place: Installation) -> None:
    place.write_record(_OPEN)
    for number in range(1, STARTS):
        assert launch(place).returncode == 0
        assert json.loads((place.root / "launches.json").read_text())["starts"] == number
    assert "back to 0.1.0" in launch(place).stderr
    assert place.current_version == "0.1.0"


def test_a_way_back_that_was_cut_off_is_gone_at_once(place: Installation) -> None:
    record = Record(version="0.2.0", before="0.1.0", state=GOING_BACK, code="unreachable", at=1e9)
    place.write_record(record)
    launch(place)
    assert place.current_version == "0.1.0"
    assert place.read_record() == record


def test_another_switch_is_counted_anew(place: Installation) -> None:
    place.write_record(_OPEN)
    for _ in range(STARTS - 1):
        launch(place)
    place.write_record(Record(version="0.2.0", before="0.1.0", state=SWITCHING, at=2e9))
    launch(place)
    assert place.current_version == "0.2.0"
    assert json.loads((place.root / "launches.json").read_text()) == {
        "version": "0.2.0",
        "at": 2e9,
        "starts": 1,
    }


def test_nothing_is_done_while_an_update_is_at_work(place: Installation) -> None:
    place.write_record(Record(version="0.2.0", before="0.1.0", state=GOING_BACK))
    with place.lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        launch(place)
        assert place.current_version == "0.2.0"
    launch(place)
    assert place.current_version == "0.1.0"


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"[]",
        b"{",
        b'{"version": 3}',
        b"[" * 100_000,
        json.dumps({"version": "0.2.0", "before": "0.1.0", "state": DONE}).encode(),
        json.dumps({"version": "0.3.0", "before": "0.1.0", "state": GOING_BACK}).encode(),
        json.dumps({"version": "0.2.0", "before": "0.2.0", "state": GOING_BACK}).encode(),
        json.dumps({"version": "0.2.0", "before": "0.0.9", "state": GOING_BACK}).encode(),
        json.dumps({"version": "0.2.0", "before": "../0.1.0", "state": GOING_BACK}).encode(),
        json.dumps({"version": "0.2.0", "before": ["0.1.0"], "state": GOING_BACK}).encode(),
    ],
)
def test_what_asks_for_no_way_back_changes_nothing_and_keeps_nothing_from_starting(
    record: bytes, place: Installation
) -> None:
    place.record.write_bytes(record)
    assert launch(place, "run").returncode == 7  # the program's own
    assert place.current_version == "0.2.0"


def test_a_lock_that_is_a_link_is_not_followed(place: Installation, tmp_path: Path) -> None:
    place.lock.symlink_to(tmp_path / "elsewhere")
    assert launch(place, "run").returncode == 7
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("fault", [PermissionError(13, "Permission denied"), ValueError("unforeseen")])
def test_a_look_that_fails_keeps_nothing_from_starting(
    fault: Exception, place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is for the agent's own user, who may not write beside the versions."""
    became: list[Any] = []

    def failing(_root: Path) -> str:
        raise fault

    monkeypatch.setattr(launcher, "guard", failing)
    monkeypatch.setattr(launcher, "__file__", str(place.launcher))
    monkeypatch.setattr(os, "execv", lambda path, words: became.append((path, words)))
    monkeypatch.setattr(sys, "argv", ["launch", "run", "--config", "a b"])
    launcher.main()
    program = str(place.current / "venv" / "bin" / "vonggac-agent")
    assert became == [(program, [program, "run", "--config", "a b"])]


def test_the_launcher_imports_nothing_of_the_agent(place: Installation) -> None:
    code = (
        "import runpy, sys; sys.argv = ['launch']\n"
        "try: runpy.run_path(%r, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('agent', 'msgspec')))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code % str(place.launcher)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_update_keeps_the_launcher_of_a_version_that_has_proven_itself(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Apply(
        place,
        place.root / "no.pub",
        Working(),  # type: ignore[arg-type]
        config=None,
        restart=lambda: None,
        say=lambda _line: None,
    )
    sound = place.launcher.read_bytes()
    place.launcher.write_bytes(b"of an earlier version")
    monkeypatch.setattr(agent, "__version__", "0.1.0")  # this is not what current leads to
    work.keep_launcher()
    assert place.launcher.read_bytes() == b"of an earlier version"
    monkeypatch.setattr(agent, "__version__", "0.2.0")
    work.keep_launcher()
    assert place.launcher.read_bytes() == sound
    assert place.launcher.stat().st_mode & 0o777 == 0o755
    assert not put_launcher(place)


def test_a_python_that_no_file_can_name_is_said(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "base_python", lambda: "/with a space/python3")
    with pytest.raises(ReleaseError, match="space"):
        put_launcher(place)
