"""How much of a core it takes an agent to follow a log that grows fast, and whether it loses a line."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING, Final

import psutil

from collector.settings import DataDirectory
from collector.store.client import StoreClient
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.trial import trial_server
from soc_api.bench.trial_agent import cpu_seconds, trial_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_RATE: Final = 2_000
_SECONDS: Final = min(60.0, float(os.environ.get("VONGGAC_BENCH_SECONDS", "60")))
_PATIENCE_SECONDS: Final = 60.0
_LINE: Final = (
    "{stamp} bench sshd[{number}]: Failed password for invalid user u{number} from 192.0.2.7 port 4711 ssh2\n"
)


@benchmark(
    "agent.tail",
    "2,000 events/s from a log file for a minute, over a rotation, a copytruncate and a restart: CPU, lost lines",
)
def tail(tell: Callable[[str], None]) -> Iterable[Figure]:
    """A real agent against a real server. At a quarter of the time the log is renamed, at half of it copied and
    truncated (while nothing is written, for what is written in between is lost to everybody), at three quarters the
    agent is stopped and started again."""
    with trial_server() as (server, folder):
        log = folder / "auth.log"
        log.write_text("", encoding="utf-8")
        agent = trial_agent(server, folder, f'auth_logs = ["{log}"]\n', only=("auth_log",))
        agent.start()
        time.sleep(10)
        cpu = -cpu_seconds(psutil.Process(agent.pid))
        written = lag = 0
        began = time.monotonic()
        marks = iter((_SECONDS / 4, _SECONDS / 2, _SECONDS * 3 / 4, float("inf")))
        events = iter((_rotate, _copy_and_truncate))
        mark = next(marks)
        try:
            while (passed := time.monotonic() - began) < _SECONDS:
                if passed >= mark:
                    mark = next(marks)
                    happen = next(events, None)
                    if happen is not None:
                        happen(log)
                    else:
                        cpu += cpu_seconds(psutil.Process(agent.pid))
                        agent.stop()
                        agent.start()
                written = _write(log, written, int(passed * _RATE))
                tell(f"{passed:.0f} of {_SECONDS:.0f} s, {written} lines")
                time.sleep(0.1)
            busy = cpu + cpu_seconds(psutil.Process(agent.pid))
            with StoreClient(DataDirectory(server.data).store_socket) as store:
                lag = _stored(store, written)
        finally:
            agent.stop()
    share = 100 * busy / _SECONDS
    yield Figure(round(written / _SECONDS), "lines a second written", "none", None)
    yield Figure(round(share, 1), "% of one core", "at most 15", share <= 15)
    yield Figure(lag, "lines lost or told twice", "0", lag == 0)


def _write(log: Path, first: int, until: int) -> int:
    stamp = time.strftime("%b %e %H:%M:%S")
    with log.open("a", encoding="utf-8") as file:
        file.write("".join(_LINE.format(stamp=stamp, number=number) for number in range(first, until)))
    return max(first, until)


def _rotate(log: Path) -> None:
    log.rename(log.with_name("auth.log.1"))
    log.touch()


def _copy_and_truncate(log: Path) -> None:
    shutil.copy(log, log.with_name("auth.log.2"))
    os.truncate(log, 0)


def _stored(store: StoreClient, written: int) -> int:
    """How many of the lines are not in the store exactly once, when nothing more comes."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        (row,) = store.query(
            "SELECT count() AS n, uniqExact(JSONExtractString(body, 'User')) AS users FROM events"
            " WHERE product = 'linux' AND position(body, 'ssh_login_failed') > 0"
        )
        if int(row["users"]) >= written or time.monotonic() > until:
            return abs(written - int(row["users"])) + int(row["n"]) - int(row["users"])
        time.sleep(0.5)
