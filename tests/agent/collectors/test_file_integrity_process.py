"""The real program watches files, is killed, and tells what happened meanwhile: each change once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from agent.collectors.registry import load_collectors
from tests.agent.collectors.support import write
from tests.agent.runtime.conftest import enrolled, state, stub  # noqa: F401 - fixtures
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.settings import StateDirectory
    from tests.agent.runtime.stub import StubCollector


@pytest.fixture
def start(
    tmp_path: Path,
    enrolled: StateDirectory,  # noqa: F811
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    others = [each.name for each in load_collectors() if each.name != "file_integrity"]
    config = write(
        tmp_path / "agent.toml",
        f'[agent]\nstate_dir = "{enrolled.root}"\n[host]\nroot = "{tmp_path / "root"}"\n'
        f"[collectors]\ndisabled = {json.dumps(others)}\nintervals = {{ file_integrity = 0.2 }}\n",
    )
    running: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "agent.cli", "run", "--config", str(config)]
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        return running[-1]

    yield begin
    for each in running:
        each.kill()
        each.wait()


def told(collector: StubCollector) -> list[tuple[str, str, str]]:
    return [
        (event.fields["event.action"], event.fields["TargetFilename"], event.fields["DetectedBy"])
        for batch in collector.batches()
        for event in batch.events
    ]


def test_what_happens_while_the_agent_is_dead_is_told_once_when_it_lives_again(
    tmp_path: Path,
    start: Callable[[], subprocess.Popen[bytes]],
    stub: StubCollector,  # noqa: F811
) -> None:
    root = tmp_path / "root"
    write(root / "etc/sudoers", "root ALL=(ALL) ALL\n")
    agent = start()
    wait_until(lambda: stub.batches(), seconds=20, what="how the files are")
    write(root / "etc/cron.d/x", "1")
    expected = [("created", "/etc/cron.d/x", "watch")]
    wait_until(lambda: len(told(stub)) == 1, seconds=20, what="the new file")
    write(root / "etc/sudoers", "an ALL=(ALL) ALL\n")
    expected.append(("modified", "/etc/sudoers", "watch"))
    wait_until(lambda: len(told(stub)) == 2, seconds=20, what="the changed file")
    agent.send_signal(signal.SIGKILL)
    agent.wait(timeout=20)
    (root / "etc/cron.d/x").unlink()
    (root / "etc/sudoers").chmod(0o666)
    start()
    expected += [("deleted", "/etc/cron.d/x", "comparison"), ("attributes", "/etc/sudoers", "comparison")]
    wait_until(lambda: len(told(stub)) >= 4, seconds=20, what="what happened meanwhile")
    assert told(stub) == expected
