"""A whole province connected: what it costs the collector's machine, and what happens when all come back at once."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import psutil

from collector.enrolment import service
from collector.enrolment.files import open_authority
from collector.registry import service as registry
from collector.settings import DataDirectory, load
from collector.state.base import utcnow
from collector.state.database import open_state
from collector.state.scope import EVERYTHING
from soc_api.bench.load import Costs, rules_setting
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.trial import trial_server
from soc_api.local import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from soc_api.local import Server

#: ``VONGGAC_BENCH_AGENTS=1000`` for fewer.
_AGENTS: Final = int(os.environ.get("VONGGAC_BENCH_AGENTS", "10000"))
_SPREAD_SECONDS: Final = 60.0
_HEARTBEAT_SECONDS: Final = 60.0
_STEADY_SECONDS: Final = 90.0
_PATIENCE_SECONDS: Final = 900.0


class Simulated:
    """The simulator as a process, and what it says of itself."""

    def __init__(self, server: Server, folder: Path, count: int) -> None:
        tokens = folder / "tokens.jsonl"
        tokens.write_text("".join(_tokens(server, count)), encoding="utf-8")
        arguments = ["agent.simulator", "--collector", server.agents, "--tokens", str(tokens)]
        arguments += ["--state", str(folder / "simulated"), "--mix", "working_day"]
        arguments += ["--spread", str(_SPREAD_SECONDS), "--heartbeat", str(_HEARTBEAT_SECONDS)]
        self._log = folder / "simulator.log"
        self._part = Part("simulator", arguments, self._log)
        self._part.start()

    @property
    def pid(self) -> int:
        return self._part.pid

    def last(self, event: str) -> dict[str, Any]:
        """The newest line about ``event``, empty where there is none yet."""
        if self._part.exit_code() is not None:
            raise RuntimeError(f"the simulator ended: {self._log.read_text()[-500:]}")
        lines = [line for line in self._log.read_text().splitlines() if f'"{event}"' in line]
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return found

    def wait_for(self, what: str, ready: Callable[[], Any], tell: Callable[[str], None]) -> float:
        """Seconds until ``ready()``."""
        began = time.monotonic()
        while not ready():
            passed = time.monotonic() - began
            if passed > _PATIENCE_SECONDS:
                raise RuntimeError(f"{what}: not after {passed:.0f} s")
            tell(f"{what}: {passed:.0f} s")
            time.sleep(0.5)
        return time.monotonic() - began

    def stop(self) -> None:
        self._part.stop()


def _tokens(server: Server, count: int) -> Iterable[str]:
    data = DataDirectory(server.data)
    authority, now = open_authority(data.ca), utcnow()
    state = open_state(load(data), data)
    try:
        with state.write() as session:
            agencies = registry.list_agencies(session, EVERYTHING)
            for number in range(count):
                agency = agencies[number % len(agencies)]
                token = service.create_token(
                    session,
                    agency_id=agency.id,
                    simulated=True,
                    created_by="bench",
                    now=now,
                    lifetime=timedelta(hours=4),
                    ca_sha256=authority.sha256,
                )
                line = {"token": token, "agency_code": agency.code, "agency_name": agency.name}
                yield json.dumps(line, ensure_ascii=False) + "\n"
    finally:
        state.close()


@benchmark(
    "collector.agents", "10,000 enrolled agents over mutual TLS from one process: memory, enrolment, herd"
)
def agents(tell: Callable[[str], None]) -> Iterable[Figure]:
    """The mix of a working day, signs of life every minute. When all have reported, a minute and a half is measured;
    then ingest is killed, so that every agent finds its connection gone within the minute of its next sign of life.
    """
    with trial_server(rules_setting()) as (server, folder):
        simulated = Simulated(server, folder, _AGENTS)
        try:
            seconds = simulated.wait_for("enrolling", lambda: simulated.last("enrolled"), tell)
            enrolled = simulated.last("enrolled")["endpoints"]
            yield Figure(round(enrolled / seconds), "enrolments a second", "none", None)
            simulated.wait_for(
                "first reports", lambda: simulated.last("figures").get("batches", 0) >= enrolled, tell
            )
            costs, before = Costs(server), simulated.last("figures")
            memory = _largest(costs, simulated, _STEADY_SECONDS, tell)
            cores, after = costs.cores(), simulated.last("figures")
            yield Figure(after["speaking"], "agents connected and reporting", "none", None)
            total = sum(memory.values())
            yield Figure(round(total / 1e6), "MB, all processes", "at most 2,500", total <= 2.5e9)
            for name, used in sorted(memory.items()):
                yield Figure(round(used / 1e6), f"MB, {name.partition(':')[0]}", "none", None)
            for name, busy in sorted(cores.items()):
                if busy >= 0.01:
                    yield Figure(busy, f"cores, {name.partition(':')[0]}", "none", None)
            events = (after["events"] - before["events"]) / _STEADY_SECONDS
            yield Figure(round(events), "events/s meanwhile", "none", None)
            own = psutil.Process(simulated.pid).memory_info().rss
            yield Figure(
                round(own / 1e3 / enrolled),
                "KB an agent, the simulator",
                "at most 60",
                own <= 60e3 * enrolled,
            )
            yield from _herd(server, simulated, tell)
        finally:
            simulated.stop()


def _herd(server: Server, simulated: Simulated, tell: Callable[[str], None]) -> Iterable[Figure]:
    before = simulated.last("figures")
    ingest = next(p for p in psutil.Process(server.pid).children(recursive=True) if "ingest" in p.cmdline())
    ingest.send_signal(signal.SIGKILL)

    def back() -> bool:
        now = simulated.last("figures")
        opened = sum(now[each] - before[each] for each in ("handshakes", "resumed"))
        return bool(opened >= before["speaking"])

    seconds = simulated.wait_for("coming back", back, tell)
    after = simulated.last("figures")
    again = after["held_back_again"] - before["held_back_again"]
    yield Figure(round(seconds), "s until all were back after ingest was killed", "none", None)
    yield Figure(after["held_back"] - before["held_back"], "sent away once, told when to come", "none", None)
    yield Figure(again, "sent away twice", "0", again == 0)
    yield Figure(after["unanswered"] - before["unanswered"], "requests that nobody answered", "none", None)


def _largest(
    costs: Costs, simulated: Simulated, seconds: float, tell: Callable[[str], None]
) -> dict[str, int]:
    """The memory of each process when all of them together had most."""
    most: dict[str, int] = {}
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        now = costs.resident()
        if sum(now.values()) > sum(most.values()):
            most = now
        tell(f"measuring: {left:.0f} s left, {simulated.last('figures').get('speaking', 0)} agents")
        time.sleep(min(2.0, left))
    return most
