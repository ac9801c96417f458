"""How long it takes an agent that was offline for three days to tell what it kept."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from agent.settings import StateDirectory
from collector.settings import DataDirectory
from collector.store.client import StoreClient
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.trial import trial_server
from soc_api.bench.trial_agent import trial_agent
from soc_api.local import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_HOURS: Final = float(os.environ.get("VONGGAC_BENCH_HOURS", "72"))
_EVENTS: Final = int(_HOURS * 3_600)
_PATIENCE_SECONDS: Final = 600.0
_NUMBERS: Final = (
    "SELECT log_offset, toInt64(JSONExtractUInt(body, 'number')) AS number FROM events"
    " WHERE position(body, '\"offline\"') > 0"
)
_COUNTED: Final = f"SELECT count() AS n, uniqExact(number) AS numbers FROM ({_NUMBERS})"  # noqa: S608 - our own
_BACKWARDS: Final = (
    "SELECT countIf(first <= before) AS n FROM (SELECT min(number) AS first,"  # noqa: S608 - our own
    " lagInFrame(max(number), 1, toInt64(-1)) OVER (ORDER BY log_offset) AS before"
    f" FROM ({_NUMBERS}) GROUP BY log_offset)"
)


@benchmark("agent.offline", "72 hours offline with one event a second: how long until all of it is delivered")
def offline(tell: Callable[[str], None]) -> Iterable[Figure]:
    """The spool is filled by the agent's own outbox with a clock that is put on; then the real agent starts, against a
    real server. Delivered is what the collector has acknowledged."""
    with trial_server() as (server, folder):
        agent = trial_agent(server, folder, only=("host",))
        state = StateDirectory(agent.state)
        tell(f"spooling {_EVENTS} events")
        size = int(run("agent.simulator.offline", str(agent.state), str(_EVENTS)))
        began = time.monotonic()
        agent.start()
        try:
            while any(state.spool.glob("*.zst")) and time.monotonic() - began < _PATIENCE_SECONDS:
                time.sleep(0.2)
            took = time.monotonic() - began
            with StoreClient(DataDirectory(server.data).store_socket) as store:
                wrong = _wrong(store)
        finally:
            agent.stop()
    yield Figure(round(size / 1e6, 1), "MB on disk", "none", None)
    yield Figure(round(took, 1), "s until all was acknowledged", "at most 60", took <= 60)
    yield Figure(wrong, "events lost, told twice or out of order", "0", wrong == 0)


def _wrong(store: StoreClient) -> int:
    """Events that are not in the store exactly once, and those that follow a later one in the log."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        (row,) = store.query(_COUNTED)
        if int(row["numbers"]) >= _EVENTS or time.monotonic() > until:
            break
        time.sleep(0.5)
    (order,) = store.query(_BACKWARDS)
    return abs(_EVENTS - int(row["numbers"])) + int(row["n"]) - int(row["numbers"]) + int(order["n"])
