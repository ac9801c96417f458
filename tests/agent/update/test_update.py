"""The whole way of an update: a release signed offline, brought to a real collector, fetched by a real agent in an
environment of its own, applied by root's command; and everything that must not change a machine."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from agent.runtime.diagnosis import is_running
from agent.settings import StateDirectory
from collector.state.base import utcnow
from collector.steering.releases import service
from collector.steering.releases.rollout import Pace
from tests.support.collector import Site, make_site
from tests.support.debian import root
from tests.support.releases import Signer, install, vonggac
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.agent.update.conftest import Wheels

pytestmark = pytest.mark.e2e

#: A version that writes its status every second need not be watched for a minute.
_SHORT = {
    "agent__update__health": "\n_DWELL_SECONDS = 2.0\n",
    "agent__runtime__runner": "\n_STATUS_SECONDS = 1.0\n_WATCH_SECONDS = 1.0\n",
}

_SERVICE = """
import os, subprocess, sys, pathlib, signal, time
folder = pathlib.Path(sys.argv[1])
pid = folder / "pid"
if pid.exists():
    number = int(pid.read_text())
    try:
        os.kill(number, signal.SIGTERM)
        for _ in range(200):
            os.kill(number, 0)
            time.sleep(0.05)
    except ProcessLookupError:
        pass
with (folder / "agent.log").open("ab") as log:
    started = subprocess.Popen(
        [folder / "opt/launch", "run", "--config", folder / "etc/agent.toml"],
        stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
    )
pid.write_text(str(started.pid))
"""


class Machine:
    """An installed agent 0.1.0 below ``folder``, and what restarts it in place of systemd."""

    def __init__(self, folder: Path, site: Site, wheels: Path, public: Path) -> None:
        self.folder = folder
        self.opt = folder / "opt"
        self.state = folder / "state"
        (folder / "etc").mkdir(parents=True)
        install(self.opt, wheels, "0.1.0")
        self.config = folder / "etc" / "agent.toml"
        self.key = folder / "etc" / "release.pub"
        self.key.write_bytes(public.read_bytes())
        self.config.write_text(
            f'[agent]\nstate_dir = "{self.state}"\nheartbeat_seconds = 1\n'
            f'[collectors]\ndisabled = ["processes", "software", "file_integrity", "assessment"]\n'
            f'[update]\nkey = "{self.key}"\nbytes_per_second = 1000000000\n'
        )
        self.run("enroll", "--collector", f"https://127.0.0.1:{site.port}", "--token", site.token())
        (folder / "service.py").write_text(_SERVICE)
        placing = [str(self.opt / "current/venv/bin/vonggac-agent"), "update", "launcher"]
        subprocess.run(placing, check=True, timeout=60)
        self.restart = [sys.executable, str(folder / "service.py"), str(folder)]

    def run(self, *arguments: str, status: int = 0) -> str:
        command = [str(self.opt / "current/venv/bin/vonggac-agent"), *arguments, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def apply(self, *arguments: str, status: int = 0, seconds: float = 90) -> dict[str, Any]:
        options = ["--restart", shlex.join(self.restart), "--health-seconds", str(seconds), "--json"]
        said: dict[str, Any] = json.loads(self.run("update", "apply", *arguments, *options, status=status))
        return said

    def start(self) -> None:
        subprocess.run(self.restart, check=True)

    def stop(self) -> None:
        with suppress(OSError, ValueError, ProcessLookupError):
            os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)

    def told(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            said: dict[str, Any] = json.loads((self.state / "update" / "told.json").read_text())
            return said
        return {}

    @property
    def version(self) -> str:
        return (self.opt / "current").readlink().name

    def versions(self) -> list[str]:
        return sorted(each.name for each in (self.opt / "versions").iterdir())


def told_to_the_collector(site: Site) -> list[dict[str, Any]]:
    """The agent's documents in the durable log, the oldest first."""
    import sqlite3

    found = []
    with sqlite3.connect(f"file:{site.data.log}?mode=ro", uri=True) as log:
        for (body,) in log.execute("SELECT body FROM record WHERE length(body) > 0 ORDER BY rowid"):
            batch = json.loads(zstandard.decompress(body))
            found += [each["body"] for each in batch.get("documents", []) if each["kind"] == "agent"]
    return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = make_site(tmp_path / "data")
    process = made.start_ingest()
    yield made
    process.terminate()
    process.wait(timeout=30)


def roll_out(site: Site, release: Path, version: str) -> None:
    vonggac("release", "add", str(release), "--data", str(site.data.root))
    with site.state.write() as session:
        service.start(session, version, Pace(wait_seconds=0, spread_seconds=0), "test", utcnow())


def test_a_good_release_is_taken_and_a_broken_one_is_rolled_back(
    tmp_path: Path, site: Site, wheels: Wheels, signer: Signer
) -> None:
    root("the command is root's")
    site.data.release_key.write_bytes(signer.public.read_bytes())
    machine = Machine(tmp_path / "machine", site, wheels.of("0.1.0", **_SHORT), signer.public)
    roll_out(site, signer.make(wheels.of("0.2.0", **_SHORT)), "0.2.0")
    machine.start()
    try:
        wait_until(
            lambda: machine.told().get("state") == "ready", seconds=90, what="the release to be fetched"
        )
        applied = machine.apply()
        assert (applied["state"], applied["version"], applied["before"]) == ("done", "0.2.0", "0.1.0")
        assert machine.version == "0.2.0"
        assert machine.versions() == ["0.1.0", "0.2.0"]
        assert not (machine.state / "update" / "ready").exists()
        assert json.loads(machine.run("status", "--json"))["status"]["version"] == "0.2.0"
        wait_until(
            lambda: ("0.2.0", "done") in told_of(site),
            seconds=60,
            what="the new version to tell the collector",
        )

        broken = wheels.of("0.3.0", agent__runtime__runner="\nraise RuntimeError('broken release')\n")
        carried = signer.make(broken)  # on a stick
        undone = machine.apply(str(carried), status=1, seconds=4)
        assert (undone["state"], undone["code"], undone["failed"]) == (
            "rolled_back",
            "silent",
            {"0.3.0": "silent"},
        )
        assert machine.version == "0.2.0"
        assert machine.versions() == ["0.1.0", "0.2.0"]
        wait_until(
            lambda: ("0.2.0", "rolled_back") in told_of(site), seconds=60, what="the roll-back to be told"
        )
        again = machine.apply(str(carried), status=1)
        assert (again["state"], again["code"]) == ("refused", "failed_before")
        assert "0.3.0" in machine.run("status", "--lang", "vi", status=1)
    finally:
        machine.stop()
    wait_until(lambda: not is_running(StateDirectory(machine.state)), seconds=30, what="the agent to end")
    assert str(machine.opt / "versions") in machine.run("remove", "--dry-run")
    machine.run("remove", status=2)
    machine.run("remove", "--yes")
    assert not [each for each in (machine.opt, machine.config.parent, machine.state) if each.exists()]


def told_of(site: Site) -> set[tuple[str, str]]:
    said = told_to_the_collector(site)
    return {(each["version"], each.get("update", {}).get("last", {}).get("state", "")) for each in said}
