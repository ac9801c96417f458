"""From one machine to a log on three, with the commands of docs/scale.md as they are written there.

Four machines are four network namespaces on one bridge, each with its own `/etc`, `/var/lib` and `/root`. Three
programs have stand-ins, because there is neither systemd nor sshd in there: `systemctl` starts and stops the one
service that the machine has, `scp` copies into the other machine's folders, `apt-get` sees that the package is there.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from collector.log.interface import LogRow
from collector.log.sqlite_writer import SqliteWriter
from collector.settings import DataDirectory
from soc_api.docs_tables import PROJECT
from tests.collector.log.rows import append
from tests.collector.pipeline import frame
from tests.support.collector import STREAM, make_site
from tests.support.nats_cluster import NODES, Network, possible
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.skipif(not possible(), reason="network namespaces and nats-server are needed"),
]

_COLLECTOR: Final = 9
_BLOCK: Final = re.compile(r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BATCHES: Final = 50
_OWN: Final = ("etc", "var/lib", "root")
_SYSTEMCTL: Final = """#!/bin/bash -eu
pid={folder}/$2.pid
case $1 in
  stop|restart) if [ -e $pid ]; then kill $(cat $pid); while kill -0 $(cat $pid) 2>/dev/null; do sleep 0.1; done; fi ;;&
  start|restart)
    case $2 in
      nats-server) setsid runuser -u nats -- /usr/sbin/nats-server -c /etc/nats-server.conf >{folder}/$2.log 2>&1 & ;;
      vonggac) setsid vonggac serve --data /var/lib/vonggac >{folder}/$2.log 2>&1 & ;;
    esac
    echo $! >$pid ;;
esac
"""
_SCP: Final = """#!/bin/bash -eu
number=${{3%%:*}}; number=${{number##*.}}
cp -r "$2" {folders}/machine-$number/etc/upper/${{3##*:/etc/}}
"""


class Machine:
    """A namespace with folders of its own, kept open by a process that sleeps in it."""

    def __init__(self, folder: Path, network: Network, number: int, programs: Path) -> None:
        self.folder = folder / f"machine-{number}"
        mounts = ""
        for own in _OWN:
            for part in ("upper", "work"):
                (self.folder / own / part).mkdir(parents=True)
            at = self.folder / own
            mounts += (
                f"mount -t overlay own -o lowerdir=/{own},upperdir={at}/upper,workdir={at}/work /{own}\n"
            )
        self.programs = self.folder / "bin"
        shutil.copytree(programs, self.programs)
        self._write("systemctl", _SYSTEMCTL.format(folder=self.folder))
        self._write("scp", _SCP.format(folders=folder))
        self._write("apt-get", "#!/bin/bash -eu\ndpkg -s ${!#} >/dev/null\n")
        self._holder = subprocess.Popen(
            network.on(number, "unshare", "-m", "bash", "-euc", f"{mounts}echo made; exec sleep infinity"),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "made\n"

    def path(self, inside: str) -> Path:
        """Where something below one of its own folders is, seen from outside."""
        own = next(own for own in _OWN if inside.startswith(f"/{own}/"))
        return self.folder / own / "upper" / inside.removeprefix(f"/{own}/")

    def run(self, script: str) -> str:
        """What a shell there says; an error of any of its commands is one of the test's."""
        environment = os.environ | {
            "PATH": f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT),
        }
        inside = [
            "nsenter",
            "-t",
            str(self._holder.pid),
            "-m",
            "-n",
            "bash",
            "-euo",
            "pipefail",
            "-c",
            script,
        ]
        done = subprocess.run(
            inside, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}{self.said()}"
        return done.stdout

    def said(self) -> str:
        return "".join(path.read_text()[-3000:] for path in self.folder.glob("*.log"))

    def end(self) -> None:
        for file in self.folder.glob("*.pid"):
            with suppress(ProcessLookupError):
                os.killpg(int(file.read_text()), signal.SIGKILL)
        self._holder.kill()
        self._holder.wait(10)
        if self._holder.stdout is not None:
            self._holder.stdout.close()

    def _write(self, name: str, text: str) -> None:
        program = self.programs / name
        program.write_text(text)
        program.chmod(0o755)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[dict[int, Machine]]:
    network = Network((*NODES, _COLLECTOR))
    made: dict[int, Machine] = {}
    empty = tmp_path / "programs"
    empty.mkdir()
    try:
        network.make()
        for number in (*NODES, _COLLECTOR):
            made[number] = Machine(tmp_path, network, number, empty)
        yield made
    finally:
        for machine in made.values():
            machine.end()
        network.remove()


def commands() -> dict[str, str]:
    return dict(_BLOCK.findall((PROJECT / "docs" / "scale.md").read_text(encoding="utf-8")))


def test_an_operator_leads_the_log_from_the_file_to_three_machines(
    machines: dict[int, Machine], tmp_path: Path
) -> None:
    collector = machines[_COLLECTOR]
    site = make_site(tmp_path / "site")
    endpoint = site.enrol(tmp_path / "endpoint")
    with closing(SqliteWriter(site.data.log)) as writer:
        now = time.time()
        event = {"time": now, "logsource": {"product": "linux"}, "fields": {"Image": "/bin/ls"}}
        body = frame({"schema": 1, "created_at": now, "events": [event]})
        append(
            writer,
            *(LogRow(0, "batch", endpoint.id, STREAM, n, now, now, body) for n in range(1, _BATCHES + 1)),
        )
    site.state.close()
    shutil.move(site.data.root, collector.path("/var/lib/vonggac"))

    steps = commands()
    collector.run(steps["collector"])
    for number in NODES:
        machines[number].run(steps["server"])
    collector.run(steps["switch"])

    stored = (
        "from pathlib import Path; from collector.store.client import StoreClient;"
        "print(StoreClient(Path('/var/lib/vonggac/run/store.sock')).query("
        "\"SELECT count() AS n, uniqExact(event_id) AS u FROM events WHERE product = 'linux'\")[0])"
    )

    def seen() -> str:
        return collector.run(f"python -c {shlex.quote(stored)} 2>&1 || true").strip()

    wanted = str({"n": _BATCHES, "u": _BATCHES})
    with suppress(AssertionError):
        wait_until(lambda: seen() == wanted, seconds=150, what=wanted, every=1)
    assert seen() == wanted, collector.said()
    said = json.loads(collector.run(steps["look"].strip() + " --json || true"))
    checks = {check["name"]: check for check in said["checks"]}
    assert checks["log"]["state"] == "ok"
    assert "on JetStream, 3 times" in checks["log"]["finding"]
    assert collector.path("/var/lib/vonggac/log.db.carried").exists()
    assert DataDirectory(collector.path("/var/lib/vonggac")).log.exists() is False
