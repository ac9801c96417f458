"""A probe on a /24: how soon it has found who is there; what it costs at rest, with the agent that it belongs to."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Final

import psutil

from agent.probe.contract import Hello, Kept, Said, read_frame, write_frame
from soc_api.bench.namespaces import inside, lan
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.trial import trial_server
from soc_api.bench.trial_agent import cpu_seconds, trial_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOSTS: Final = 100
_SETTLE_SECONDS: Final = 90
_REST_SECONDS: Final = float(os.environ.get("VONGGAC_BENCH_SECONDS", "300"))
_PATIENCE_SECONDS: Final = 30.0


@benchmark(
    "discovery.lan", "a probe on a /24: time to find all hosts, packets a second; memory and CPU at rest"
)
def measure(tell: Callable[[str], None]) -> Iterator[Figure]:
    """Real hosts, each a network namespace of its own; the probe's part with its default settings."""
    with lan(_HOSTS) as namespace:
        tell(f"a scan of 254 addresses, {_HOSTS} of them hosts")
        before = _sent(namespace)
        seconds, found = _scan(namespace)
        rate = (_sent(namespace) - before) / seconds
        yield Figure(
            round(seconds, 1), "s until all are known, the part's start included", "at most 5", seconds <= 5
        )
        yield Figure(
            round(100 * found / _HOSTS, 1), "% of the hosts found", "at least 99", found >= 0.99 * _HOSTS
        )
        yield Figure(round(rate), "packets a second", "at most 100", rate <= 100)
        yield from _rest(namespace, tell)


def _scan(namespace: str) -> tuple[float, int]:
    began = time.monotonic()
    with inside(namespace), tempfile.TemporaryDirectory() as folder:
        part = subprocess.Popen(
            [sys.executable, "-P", "-m", "agent.probe.process", "lan"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if part.stdin is None or part.stdout is None:
            raise RuntimeError("no streams")
        known: set[str] = set()
        last = began
        try:
            settings = {"watch": {"dhcp_probe_seconds": 0}, "scan": {"ipv6": False}}
            write_frame(part.stdin, Hello("lan", settings, folder))
            while len(known) < _HOSTS and time.monotonic() - began < _PATIENCE_SECONDS:
                said = read_frame(part.stdout, Said)
                if said is None:
                    break
                write_frame(part.stdin, Kept(said.number))
                for document in said.found().documents:
                    entries = (document.body or {}).get("entries", [])
                    now = {each["ip"] for each in entries if each["ip"].startswith("10.78.0.")}
                    if not now <= known:
                        known |= now
                        last = time.monotonic()
        finally:
            part.stdin.close()
            part.wait(10)
            part.stdout.close()
    if not known:
        raise RuntimeError("the probe's part told of nobody")
    return last - began, len(known)


def _rest(namespace: str, tell: Callable[[str], None]) -> Iterator[Figure]:
    with inside(namespace), trial_server() as (server, folder):
        agent = trial_agent(server, folder, ahead='[probe]\nparts = ["lan"]\n')
        agent.start()
        try:
            tell(f"at rest, behind {_SETTLE_SECONDS} s to settle: {_REST_SECONDS:.0f} s")
            time.sleep(_SETTLE_SECONDS)
            processes = [psutil.Process(agent.pid), *psutil.Process(agent.pid).children()]
            spent, began, memory = sum(map(cpu_seconds, processes)), time.monotonic(), 0
            while (passed := time.monotonic() - began) < _REST_SECONDS:
                memory = max(memory, sum(each.memory_info().rss for each in processes))
                time.sleep(min(10.0, _REST_SECONDS - passed))
            share = 100 * (sum(map(cpu_seconds, processes)) - spent) / (time.monotonic() - began)
        finally:
            agent.stop()
    yield Figure(round(memory / 1e6, 1), "MB resident at rest, agent and part", "at most 80", memory <= 80e6)
    yield Figure(round(share, 2), "% of a core at rest, agent and part", "at most 1", share <= 1)


def _sent(namespace: str) -> int:
    with inside(namespace), open("/proc/thread-self/net/dev", encoding="ascii") as table:  # noqa: PTH123
        for line in table:
            name, _, numbers = line.partition(":")
            if name.strip() == "eth0":
                return int(numbers.split()[9])
    raise RuntimeError("no eth0")
