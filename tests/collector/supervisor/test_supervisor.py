from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from collector import locks
from collector.settings import Detect, Settings
from collector.supervisor import CannotStartError, Supervisor, worker_count
from soc_api.local import free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Writes one line a start, then waits for a signal.
CHILD = """
import os, signal, sys
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()}\\n")
signal.sigwait({signal.SIGTERM}) if len(sys.argv) < 3 else getattr(signal, "pause")()
"""
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + CHILD.replace(
    "signal.sigwait({signal.SIGTERM}) if len(sys.argv) < 3 else ", "while True: "
)
# A supervisor as its own process, as it really runs.
SUPERVISOR = """
import json, sys
from pathlib import Path
from collector.logging import set_up
from collector.supervisor import Supervisor
set_up("supervisor")
ready = Path(sys.argv[3])
supervisor = Supervisor(json.loads(sys.argv[1]), lock=Path(sys.argv[2]), on_ready=lambda: ready.write_text("ready"))
sys.exit(supervisor.run())
"""


class Run:
    """A supervisor process over children that note their process ids."""

    def __init__(self, folder: Path, programs: dict[str, str]) -> None:
        self.folder = folder
        commands = {
            name: [sys.executable, "-c", program, str(folder / name)] for name, program in programs.items()
        }
        self.ready = folder / "ready"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, json.dumps(commands), str(folder / "lock"), str(self.ready)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in programs:
            self.wait_for_start(name, 1)

    def starts(self, name: str) -> list[int]:
        path = self.folder / name
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for_start(self, name: str, number: int) -> int:
        wait_until(
            lambda: len(self.starts(name)) >= number, seconds=30, what=f"start {number} of {name}", every=0.02
        )
        return self.starts(name)[-1]

    def end(self, kind: signal.Signals = signal.SIGTERM) -> tuple[int, list[dict[str, object]]]:
        self.process.send_signal(kind)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, [json.loads(line) for line in errors.splitlines()]


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    made: list[Run] = []
    yield made
    for run in made:
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait()
        if run.process.stderr is not None:
            run.process.stderr.close()


def test_children_run_until_a_signal_and_end_with_it(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, {"store": CHILD, "web": CHILD}))
    children = [run.starts("store")[0], run.starts("web")[0]]
    wait_until(run.ready.exists, seconds=10, what="on_ready", every=0.02)

    status, lines = run.end()

    assert status == 0
    assert [line["child"] for line in lines if line["message"] == "process started"] == ["store", "web"]
    assert not any(psutil.pid_exists(pid) for pid in children)


def test_a_child_that_dies_is_started_again_after_a_pause(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, {"store": CHILD, "web": CHILD}))
    first = run.starts("web")[0]
    killed_at = time.monotonic()
    os.kill(first, signal.SIGKILL)

    second = run.wait_for_start("web", 2)

    assert second != first
    assert time.monotonic() - killed_at >= 0.4
    assert len(run.starts("store")) == 1
    _, lines = run.end()
    ended = next(line for line in lines if line["message"] == "process ended")
    assert (ended["child"], ended["status"], ended["level"]) == ("web", -9, "error")


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, {"store": CHILD, "web": CHILD}))
    children = [run.starts("store")[0], run.starts("web")[0]]

    run.end(signal.SIGKILL)

    wait_until(
        lambda: not any(psutil.pid_exists(pid) for pid in children), seconds=10, what="the children to end"
    )


def test_a_child_that_does_not_end_is_killed_within_ten_seconds(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, {"store": STUBBORN, "web": STUBBORN}))
    children = [run.starts("store")[0], run.starts("web")[0]]
    began = time.monotonic()

    status, _ = run.end()

    assert status == 0
    assert time.monotonic() - began < 10
    assert not any(psutil.pid_exists(pid) for pid in children)


def test_a_second_supervisor_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    supervisor = Supervisor({}, lock=tmp_path / "lock")

    with (
        locks.hold(tmp_path / "lock", "vonggac serve"),
        pytest.raises(locks.AlreadyRunningError, match=f"process {os.getpid()}"),
    ):
        supervisor.run()


def test_a_child_that_cannot_start_ends_everything(tmp_path: Path) -> None:
    commands = {"store": [sys.executable, "-c", "raise SystemExit(78)"]}

    with pytest.raises(CannotStartError, match="store"):
        Supervisor(commands, lock=tmp_path / "lock").run()


def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    import socket

    from tests.support.collector import make_site

    site = make_site(tmp_path / "data")
    site.state.close()
    with socket.socket() as occupier:
        occupier.bind(("127.0.0.1", site.port))
        occupier.listen()
        command = [sys.executable, "-m", "collector.process", "ingest", "--data", str(site.data.root)]
        refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert refused.returncode == 78
    line = json.loads(refused.stderr.splitlines()[-1])
    assert line["level"] == "critical"
    assert f"port {site.port} on 127.0.0.1 is in use" in line["reason"]


def test_wrong_settings_are_said_plainly(tmp_path: Path) -> None:
    config = tmp_path / "vonggac.toml"
    config.write_text(f"[ingest]\nprot = {free_port()}\n")
    command = [sys.executable, "-m", "collector.process", "ingest", "--data", str(tmp_path / "data")]
    refused = subprocess.run(
        [*command, "--config", str(config)], capture_output=True, text=True, check=False, timeout=60
    )

    assert refused.returncode == 78
    assert "did you mean 'ingest.port'" in json.loads(refused.stderr.splitlines()[-1])["reason"]


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (3, 2), (4, 2), (8, 4)])
def test_there_is_a_worker_for_every_two_cores_and_two_where_they_can_take_turns(
    cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert worker_count(Settings()) == workers
    assert worker_count(Settings(detect=Detect(workers=7))) == 7
