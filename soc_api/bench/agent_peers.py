"""The agent beside those of others on the same machine in the same minutes: memory and CPU of each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.trial import trial_server
from soc_api.bench.trial_agent import cpu_seconds, trial_agent
from soc_api.local import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_PACKAGES: Final = ("zabbix-agent2", "prometheus-node-exporter", "netdata", "fusioninventory-agent")
_SETTLE_SECONDS: Final = 90.0
_MEASURE_SECONDS: Final = float(os.environ.get("VONGGAC_BENCH_SECONDS", "1800"))
#: As Prometheus scrapes where nothing else is said in its examples.
_SCRAPE_SECONDS: Final = 15.0
_PATH: Final = os.pathsep.join(("/usr/sbin", "/usr/bin", "/sbin", "/bin"))


@dataclass
class _Watched:
    """A program and all it has started: the most that they held, and what they have used."""

    name: str
    process: psutil.Process
    log: Path
    memory: int = 0
    before: float = 0.0

    def look(self) -> None:
        self.memory = max(self.memory, sum(_resident(each) for each in self._all()))

    def cpu(self) -> float:
        return sum(_cpu(each) for each in self._all())

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@benchmark(
    "agent.peers",
    "memory and CPU beside zabbix-agent2, node exporter, netdata and fusioninventory-agent, in one run",
)
def peers(tell: Callable[[str], None]) -> Iterable[Figure]:
    """Each with Debian's settings, on loopback, all at the same time. Nobody asks zabbix-agent2 anything; the node
    exporter is scraped every 15 s; of FusionInventory, which works now and then, one inventory is measured."""
    programs = {name: _program(name) for name in ("zabbix_agent2", "prometheus-node-exporter", "netdata")}
    inventory = _inventory(_program("fusioninventory-inventory"))
    with trial_server() as (server, folder), ExitStack() as stack:
        agent = trial_agent(server, folder)
        agent.start()
        stack.callback(agent.stop)
        exporter = free_port()
        commands = {
            "zabbix_agent2": [programs["zabbix_agent2"], "-f", "-c", str(_zabbix(folder))],
            "prometheus-node-exporter": [
                programs["prometheus-node-exporter"],
                f"--web.listen-address=127.0.0.1:{exporter}",
            ],
            "netdata": [
                programs["netdata"],
                "-D",
                "-p",
                str(free_port()),
                "-i",
                "127.0.0.1",
                *_netdata(folder),
            ],
        }
        watched = [_Watched("vonggac-agent", psutil.Process(agent.pid), folder / "agent.log")]
        for name, command in commands.items():
            log = folder / f"{name}.log"
            with log.open("wb") as output:
                process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
            stack.callback(_end, process)
            watched.append(_Watched(name, psutil.Process(process.pid), log))
        _measure(watched, exporter, tell)
    ours = watched[0].memory
    for each in watched:
        yield Figure(round(each.memory / 1e6, 1), f"MB resident, {each.name}", "none", None)
        share = 100 * each.before / _MEASURE_SECONDS
        yield Figure(round(share, 3), f"% of one core, {each.name}", "none", None)
    yield Figure(
        round(inventory[0] / 1e6, 1), "MB resident, fusioninventory-agent, one inventory", "none", None
    )
    yield Figure(round(inventory[1], 2), "CPU-seconds, fusioninventory-agent, one inventory", "none", None)
    yield Figure(round(ours / 1e6, 1), "MB resident", "at most 25", ours <= 25e6)


def _measure(watched: list[_Watched], exporter: int, tell: Callable[[str], None]) -> None:
    """``before`` becomes what was used within the time that is measured."""
    tell(f"settling for {_SETTLE_SECONDS:.0f} s")
    time.sleep(_SETTLE_SECONDS)
    for each in watched:
        each.before = -each.cpu()
    began = time.monotonic()
    while (passed := time.monotonic() - began) < _MEASURE_SECONDS:
        with urllib.request.urlopen(f"http://127.0.0.1:{exporter}/metrics", timeout=10) as answer:
            answer.read()
        for each in watched:
            if not each.process.is_running() or each.process.status() == psutil.STATUS_ZOMBIE:
                raise RuntimeError(f"{each.name} has ended: {each.log.read_text(errors='replace')[-500:]}")
            each.look()
        tell(f"{passed:.0f} of {_MEASURE_SECONDS:.0f} s")
        time.sleep(min(_SCRAPE_SECONDS, _MEASURE_SECONDS - passed))
    for each in watched:
        each.before += each.cpu()


def _program(name: str) -> str:
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise RuntimeError(f"{name} is not on this machine: apt-get install {' '.join(_PACKAGES)}")
    return path


def _zabbix(folder: Path) -> Path:
    path = folder / "zabbix_agent2.conf"
    path.write_text(
        f"LogType=console\nServer=127.0.0.1\nListenIP=127.0.0.1\nListenPort={_low_port()}\nHostname=bench\n"
        f"PluginSocket={folder / 'zabbix.sock'}\nControlSocket={folder / 'zabbix.control'}\n"
        f"PidFile={folder / 'zabbix.pid'}\n",
        encoding="utf-8",
    )
    return path


def _low_port() -> int:
    """A free one that zabbix-agent2 accepts: below 32768."""
    for port in range(20_050, 32_768):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port below 32768")


def _netdata(folder: Path) -> list[str]:
    """Its own folders, so that it leaves nothing behind; who it runs as, and all it collects, is Debian's."""
    for name in ("cache", "lib"):
        (folder / f"netdata-{name}").mkdir(mode=0o777)
    folder.chmod(0o755)
    options = {"global": {"run as user": "root"}, "directories": {"cache": "cache", "lib": "lib"}}
    words = []
    for section, keys in options.items():
        for key, value in keys.items():
            place = value if section == "global" else str(folder / f"netdata-{value}")
            words += ["-W", "set", section, key, place]
    return words


def _inventory(program: str) -> tuple[int, float]:
    """Most memory and all CPU of one inventory, children included."""
    process = subprocess.Popen([program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{program} failed with {process.returncode}")
    return usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.memory_info().rss)
    return 0


def _cpu(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return cpu_seconds(process)
    return 0.0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()
    process.wait()
