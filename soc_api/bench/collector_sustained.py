"""How many events a second go all the way: agents' HTTP, durable, matched by all rules, stored."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from soc_api.bench.load import BATCH_EVENTS, Load, loaded, rules_setting
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.sending import Stage
from soc_api.bench.trial import trial_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: ``VONGGAC_BENCH_SECONDS=60`` for a short run, ``VONGGAC_BENCH_RATE=5000`` for another rate.
_SECONDS: Final = float(os.environ.get("VONGGAC_BENCH_SECONDS", "600"))
_RATE: Final = float(os.environ.get("VONGGAC_BENCH_RATE", "15000"))
_WARM_SECONDS: Final = 15.0
_BURST: Final = 60_000
_AFTER_SECONDS: Final = 10.0


@benchmark(
    "collector.sustained",
    "15,000 events/s from agents' HTTP to the event store with all rules, ten minutes; 60,000 in a second",
)
def sustained(tell: Callable[[str], None]) -> Iterable[Figure]:
    """SigmaHQ's rules and ours; Windows events without their rendered text, one in a thousand fires a rule; batches
    of a hundred from 200 kept connections. A quarter of a minute warms up, then the time counts, then comes the
    burst. At the end every acknowledged event must be in the store exactly once.
    """
    batches = _RATE / BATCH_EVENTS
    stages = [
        Stage(batches, _WARM_SECONDS),
        Stage(batches, _SECONDS, measured=True),
        Stage(_BURST / BATCH_EVENTS, 1.0),
        Stage(_RATE / 10 / BATCH_EVENTS, _AFTER_SECONDS),
    ]
    with trial_server(rules_setting()) as (server, folder), loaded(server, folder, stages) as (load, costs):
        _watch(load, tell, _WARM_SECONDS)
        costs.cores()
        start = time.time()
        _watch(load, tell, _SECONDS)
        end = time.time()
        cores = costs.cores()
        rate = load.acknowledged_between(start, end) / (end - start)
        lag = load.worst_lag(start, end)
        while load.running:
            _watch(load, tell, 0.2)
        load.check()
        late = load.wait_until_stored(120)
        time.sleep(1.5)  # what is stored twice comes by then
        absorbed = load.worst_lag(end, time.time())
        wrong = load.stored - load.acknowledged
        memory = sum(costs.resident().values())
        yield Figure(
            round(rate), f"events/s for {_SECONDS:g} s", f"at least {_RATE:g}", rate >= _RATE * 0.995
        )
        yield Figure(round(lag, 1), "s behind at most", "at most 5", lag <= 5)
        yield Figure(round(absorbed, 1), f"s behind at most, after {_BURST} in a second", "none", None)
        yield Figure(round(late, 1), "s until all was stored, when the load was over", "none", None)
        yield Figure(load.refused, "batches refused and sent again", "none", None)
        yield Figure(wrong, "acknowledged events lost or stored twice", "0", wrong == 0)
        p99 = load.latency(0.99) * 1000
        yield Figure(round(p99, 1), "ms to the acknowledgement, p99", "none", None)
        yield Figure(round(memory / 1e6), "MB, all processes", "none", None)
        yield Figure(round(load.bytes_an_event), "bytes an event on the wire", "none", None)
        for name, used in sorted(cores.items()):
            if used >= 0.01:
                yield Figure(used, f"cores, {name.partition(':')[0]}", "none", None)


def _watch(load: Load, tell: Callable[[str], None], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and load.running:
        lag = load.lags[-1][1] if load.lags else 0.0
        tell(f"{load.acknowledged} events acknowledged, {load.stored} stored, {lag:.1f} s behind")
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))
