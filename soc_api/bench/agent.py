"""What an agent costs its machine when nothing happens."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import psutil

from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.relay import Relay
from soc_api.bench.trial import trial_server
from soc_api.local import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SETTLE_SECONDS: Final = 90
_MEASURE_SECONDS: Final = float(os.environ.get("VONGGAC_BENCH_SECONDS", "600"))


@benchmark(
    "agent.idle", "resident memory, CPU and wire of an agent with all default collectors, steady state"
)
def idle(tell: Callable[[str], None]) -> Iterable[Figure]:
    """The real agent, default settings, this machine's own host, against a real server over a counting relay.

    The first report and what follows it settle before anything is counted.
    """
    with trial_server() as (server, folder):
        relay = Relay(server.agents_port)
        state = folder / "agent"
        configuration = folder / "agent.toml"
        configuration.write_text(f'[agent]\nstate_dir = "{state}"\n', encoding="utf-8")
        agent = Agent(configuration, state, f"https://127.0.0.1:{relay.port}", folder / "agent.log")
        agent.enroll(server.token("so-tai-chinh"))
        agent.start()
        try:
            tell(f"settling for {_SETTLE_SECONDS} s")
            time.sleep(_SETTLE_SECONDS)
            process = psutil.Process(agent.pid)
            wire, cpu, began = relay.total_bytes(), _cpu_seconds(process), time.monotonic()
            memory = 0
            while (passed := time.monotonic() - began) < _MEASURE_SECONDS:
                memory = max(memory, process.memory_info().rss)
                tell(f"{passed:.0f} of {_MEASURE_SECONDS:.0f} s")
                time.sleep(min(10.0, _MEASURE_SECONDS - passed))
            seconds = time.monotonic() - began
            used = 100 * (_cpu_seconds(process) - cpu) / seconds
            sent = 60 * (relay.total_bytes() - wire) / seconds
        finally:
            agent.stop()
            relay.close()
    yield Figure(round(memory / 1e6, 1), "MB resident", "at most 30", memory <= 30e6)
    yield Figure(round(used, 3), "% of one core", "at most 0.2", used <= 0.2)
    yield Figure(round(sent), "bytes a minute on the wire", "at most 1024", sent <= 1024)


def _cpu_seconds(process: psutil.Process) -> float:
    """User and system time of the process and of every child it has waited for."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)
