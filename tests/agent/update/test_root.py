"""What root's command takes from where it is called: nothing of the caller's folder, and the agent's word only once."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from agent.settings import StateDirectory
from agent.update import commands, environment
from agent.update.errors import ReleaseError
from agent.update.following import FOLDER, READY
from agent.update.place import SWITCHING, Installation, Record

if TYPE_CHECKING:
    from pathlib import Path


def test_modules_in_the_callers_folder_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap, sprung = tmp_path / "trap", tmp_path / "sprung"
    trap.mkdir()
    for name in ("venv", "pip", "sysconfig", "sitecustomize", "msgspec"):
        (trap / f"{name}.py").write_text(f"open({str(sprung)!r}, 'w')\n")
    (trap / "pip.conf").write_text("[install]\nfind-links = elsewhere\n")
    monkeypatch.chdir(trap)
    monkeypatch.setenv("PYTHONPATH", str(trap))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(trap / "pip.conf"))
    monkeypatch.setenv("HOME", str(trap))
    (tmp_path / "wheels").mkdir()
    with pytest.raises(
        ReleaseError, match="vonggac"
    ):  # pip finds no wheel of the agent there: it was the real one
        environment.build(tmp_path / "made", tmp_path / "wheels", "0.2.0")
    assert (tmp_path / "made" / "pyvenv.cfg").exists()
    assert not sprung.exists()


def test_a_probe_gets_the_packages_of_its_parts(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    assert environment._extra(None) == ""
    config.write_text('[probe]\nparts = ["ssh"]\n')
    assert environment._extra(config) == "probe"
    config.write_text("[probe]\nparts = 7\n")
    assert environment._extra(config) == ""  # the new version says what is wrong
    with pytest.raises(ReleaseError, match=r"vonggac\[probe\]"):
        environment.build(tmp_path / "made", tmp_path, "0.2.0", "probe")


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "state")
    (made.root / FOLDER).mkdir(parents=True)
    return made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_LOCK_SECONDS", 0.3)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    made = Installation(tmp_path / "opt")
    made.environment("0.1.0").mkdir(parents=True)
    made.switch("0.1.0")
    monkeypatch.setattr(commands, "own_installation", lambda: made)
    return made


def arguments(tmp_path: Path) -> argparse.Namespace:
    return argparse.Namespace(
        file=None, key=tmp_path / "none.pub", config=None, restart="false", health_seconds=1.0, again=False
    )


def test_the_word_is_taken_away_although_there_is_nothing_to_update(
    tmp_path: Path, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "own_installation", lambda: None)
    ready = state.root / FOLDER / READY
    ready.write_text("0.2.0")
    with pytest.raises(ReleaseError):
        commands.apply(arguments(tmp_path), state)
    assert not ready.exists()


def test_the_word_is_taken_away_although_the_record_cannot_be_written(
    tmp_path: Path, state: StateDirectory, place: Installation
) -> None:
    ready = state.root / FOLDER / READY
    ready.write_text("0.2.0")
    place.record.with_name("update.json.tmp").mkdir()
    with pytest.raises(OSError, match="directory"):
        commands.apply(arguments(tmp_path), state)
    assert not ready.exists()


@pytest.mark.parametrize("folder", [True, False], ids=["folder", "link"])
def test_a_word_that_is_a_folder_or_a_link_is_taken_away_and_nothing_else(
    folder: bool, tmp_path: Path, state: StateDirectory, place: Installation
) -> None:
    ready, kept = state.root / FOLDER / READY, tmp_path / "kept"
    kept.write_text("0.2.0")
    if folder:
        (ready / "inner").mkdir(parents=True)
        (ready / "link").symlink_to(kept)
    else:
        ready.symlink_to(kept)
    record, line = commands.apply(arguments(tmp_path), state)
    assert record is None
    assert line.startswith("nothing to do: 0.1.0 runs")
    assert not os.path.lexists(ready)
    assert kept.exists()


def test_another_update_is_waited_for_only_so_long(
    tmp_path: Path, state: StateDirectory, place: Installation
) -> None:
    (state.root / FOLDER / READY).write_text("0.2.0")
    holding = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holding, place.lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(ReleaseError) as caught:
            commands.apply(arguments(tmp_path), state)
        assert caught.value.code == "busy"
        assert not (state.root / FOLDER / READY).exists()
        other.communicate(b"\n")


def test_what_was_interrupted_is_finished_although_nothing_is_offered(
    tmp_path: Path, state: StateDirectory, place: Installation
) -> None:
    place.environment("0.2.0").mkdir(parents=True)
    place.write_record(Record(version="0.2.0", before="0.1.0", state=SWITCHING, had_link=True))
    place.switch("0.2.0")
    record, line = commands.apply(arguments(tmp_path), state)
    assert record is not None
    assert (record.state, record.failed, place.current_version) == (
        "rolled_back",
        {"0.2.0": "restart"},
        "0.1.0",
    )
    assert line.startswith("rolled_back: 0.2.0")
