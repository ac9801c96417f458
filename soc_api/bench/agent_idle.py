"""What an agent costs its machine when nothing happens, and what its first report costs."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import psutil

from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.relay import Relay
from soc_api.bench.trial import trial_server
from soc_api.bench.trial_agent import cpu_seconds, trial_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SETTLE_SECONDS: Final = 90
_MEASURE_SECONDS: Final = float(os.environ.get("VONGGAC_BENCH_SECONDS", "1800"))


@benchmark(
    "agent.idle",
    "memory, CPU and wire of an agent with all default collectors, steady state; its first report",
)
def idle(tell: Callable[[str], None]) -> Iterable[Figure]:
    """The real agent, default settings, this machine's own host, against a real server over a counting relay.

    The first report is all that passes within 90 s of the start, the program's own start and TLS included.
    """
    with trial_server() as (server, folder):
        relay = Relay(server.agents_port)
        agent = trial_agent(server, folder, port=relay.port)
        enrolment = relay.total_bytes()
        agent.start()
        try:
            tell(f"the first report: {_SETTLE_SECONDS} s")
            time.sleep(_SETTLE_SECONDS)
            process = psutil.Process(agent.pid)
            wire, cpu, began = relay.total_bytes(), cpu_seconds(process), time.monotonic()
            first = (wire - enrolment, cpu)
            memory = 0
            while (passed := time.monotonic() - began) < _MEASURE_SECONDS:
                memory = max(memory, process.memory_info().rss)
                tell(f"{passed:.0f} of {_MEASURE_SECONDS:.0f} s")
                time.sleep(min(10.0, _MEASURE_SECONDS - passed))
            seconds = time.monotonic() - began
            used = 100 * (cpu_seconds(process) - cpu) / seconds
            sent = 60 * (relay.total_bytes() - wire) / seconds
        finally:
            agent.stop()
            relay.close()
    yield Figure(round(memory / 1e6, 1), "MB resident", "at most 25", memory <= 25e6)
    yield Figure(round(used, 3), "% of one core", "at most 0.1", used <= 0.1)
    yield Figure(round(sent), "bytes a minute on the wire", "at most 512", sent <= 512)
    yield Figure(round(first[0] / 1024, 1), "KB, the first report", "at most 40", first[0] <= 40 * 1024)
    yield Figure(round(first[1], 2), "CPU-seconds, start and first report", "at most 1", first[1] <= 1.0)
