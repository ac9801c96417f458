"""How long it takes from something happening on an endpoint to the alert an analyst sees."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

from collector.alerts import service as alerts
from collector.alerts.models import AlertFilters
from collector.alerts.models import Page as AlertPage
from collector.settings import DataDirectory
from collector.state.database import StateStore
from collector.state.scope import EVERYTHING
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.trial import trial_server
from soc_api.local import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ROUNDS: Final = 60


@benchmark(
    "collector.latency", "from a line in the endpoint's log to the alert in the console, default intervals"
)
def latency(tell: Callable[[str], None]) -> Iterable[Figure]:
    """A real agent at its default intervals tails a log; each round writes one malware finding of another file
    and waits until the alerts' own query, the one behind console and API, shows it.
    """
    with trial_server() as (server, folder):
        log = folder / "clamav.log"
        log.write_text("", encoding="utf-8")
        state = folder / "agent"
        configuration = folder / "agent.toml"
        configuration.write_text(
            f'[agent]\nstate_dir = "{state}"\n[collectors]\nclamd_logs = ["{log}"]\n', encoding="utf-8"
        )
        agent = Agent(configuration, state, server.agents, folder / "agent.log")
        agent.enroll(server.token("so-tai-chinh"))
        agent.start()
        store = StateStore(DataDirectory(server.data).state)
        try:
            time.sleep(15)  # the first report is not what is measured
            seconds = []
            for number in range(_ROUNDS):
                path = f"/home/bench/{number}.exe"
                with log.open("a", encoding="utf-8") as file:
                    file.write(
                        f"{time.strftime('%a %b %e %H:%M:%S %Y')} -> {path}: Eicar-Test-Signature FOUND\n"
                    )
                seconds.append(_wait_for_count(store, agent.endpoint_id, path))
                tell(f"{number + 1} of {_ROUNDS}: {seconds[-1]:.2f} s")
                time.sleep(0.1 + 0.03 * (number % 30))  # other phases of every interval on the way
        finally:
            agent.stop()
            store.close()
    p95 = statistics.quantiles(seconds, n=20)[18]
    yield Figure(round(p95, 2), "s at the 95th percentile", "at most 5", p95 <= 5)
    yield Figure(round(statistics.median(seconds), 2), "s median", "none", None)


def _wait_for_count(store: StateStore, endpoint_id: str, path: str) -> float:
    """Seconds until an alert of the endpoint has ``path`` among its evidence."""
    began = time.monotonic()
    while True:
        with store.read() as session:
            filters = AlertFilters(endpoint_id=endpoint_id)
            for alert in alerts.list_alerts(session, EVERYTHING, filters, AlertPage(size=100)).alerts:
                evidence = alerts.get_alert(session, EVERYTHING, alert.id).evidence
                if any(path in str(row.event) for row in evidence):
                    return time.monotonic() - began
        if time.monotonic() - began > 60:
            raise RuntimeError(f"no alert about {path} after 60 s")
        time.sleep(0.05)
