"""How long it takes from something happening on an endpoint to the alert an analyst sees."""

from __future__ import annotations

import http.client
import os
import ssl
import statistics
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import zstandard
from sqlalchemy import select

from agent.messages import (
    BATCH_HEADER,
    BATCH_PATH,
    IMPORTANCE_HEADER,
    SCHEMA_VERSION,
    Batch,
    BatchHeader,
    Event,
    Importance,
    LogSource,
    encode_batch,
)
from collector.alerts import service as alerts
from collector.alerts.models import AlertFilters
from collector.alerts.models import Page as AlertPage
from collector.settings import DataDirectory, load
from collector.state.database import open_state
from collector.state.scope import EVERYTHING
from collector.state.tables import AlertEvidence
from soc_api.bench.load import BATCH_EVENTS, enrol_senders, loaded, rules_setting
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.sending import Stage
from soc_api.bench.trial import trial_server
from soc_api.local import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from collector.state.database import StateStore

_ROUNDS: Final = 60
_RATE: Final = 5000.0
_WARM_SECONDS: Final = 10.0
_BUSY_SECONDS: Final = min(60.0, float(os.environ.get("VONGGAC_BENCH_SECONDS", "60")))
_PATIENCE_SECONDS: Final = 60.0


@benchmark(
    "collector.latency",
    "from a line in the endpoint's log to the alert; event to alert and acknowledgements at 5,000 events/s",
)
def latency(tell: Callable[[str], None]) -> Iterable[Figure]:
    """First a quiet collector and a real agent, then a busy collector with all rules."""
    yield from _quiet(tell)
    yield from _busy(tell)


def _quiet(tell: Callable[[str], None]) -> Iterable[Figure]:
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
        data = DataDirectory(server.data)
        store = open_state(load(data), data)
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


def _busy(tell: Callable[[str], None]) -> Iterable[Figure]:
    """The load of ``collector.sustained`` at a third of its rate; beside it one endpoint that every second or so sends
    what its antivirus found, and the alerts' own query asked until it shows that."""
    stages = [
        Stage(_RATE / BATCH_EVENTS, _WARM_SECONDS),
        Stage(_RATE / BATCH_EVENTS, _BUSY_SECONDS, measured=True),
        Stage(_RATE / BATCH_EVENTS, 5.0),
    ]
    with trial_server(rules_setting()) as (server, folder):
        data = DataDirectory(server.data)
        store = open_state(load(data), data)
        (folder / "witness").mkdir()
        (identity,) = enrol_senders(data, folder / "witness", 1)
        witness = Witness(server.agents_port, server.authority, identity)
        try:
            with loaded(server, folder, stages) as (sending, _):
                time.sleep(_WARM_SECONDS)
                until = time.monotonic() + _BUSY_SECONDS
                seconds: list[float] = []
                while time.monotonic() < until and sending.running:
                    path = f"/home/bench/{len(seconds)}.exe"
                    witness.find(path)
                    seconds.append(_wait_for_path(store, path))
                    tell(f"{len(seconds)}: {seconds[-1]:.2f} s to the alert, {sending.acknowledged} events")
                    time.sleep(0.3 + 0.07 * (len(seconds) % 10))
                while sending.running:
                    time.sleep(0.1)
                sending.check()
                p99 = sending.latency(0.99) * 1000
        finally:
            witness.close()
            store.close()
    p95 = statistics.quantiles(seconds, n=20)[18]
    yield Figure(round(p95, 2), f"s event to alert at {_RATE:g}/s, p95", "at most 2", p95 <= 2)
    yield Figure(round(p99, 1), f"ms to the acknowledgement at {_RATE:g}/s, p99", "at most 50", p99 <= 50)


class Witness:
    """One endpoint that says what its antivirus found, one batch a finding."""

    def __init__(self, port: int, authority: Path, identity: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        context.load_cert_chain(identity)
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        self._stream = os.urandom(16).hex()
        self._seq = 0

    def find(self, path: str) -> None:
        """Return when the finding of ``path`` is acknowledged."""
        fields = {
            "event.action": "malware_found",
            "Signature": "Eicar-Test-Signature",
            "Filename": path,
            "Action": "detected",
            "Product": "clamav",
        }
        source = LogSource(product="linux", category="antivirus")
        now = time.time()
        event = Event(time=now, logsource=source, fields=fields)
        body = zstandard.compress(encode_batch(Batch(schema=SCHEMA_VERSION, created_at=now, events=[event])))
        self._seq += 1
        header = BatchHeader(stream=self._stream, seq=self._seq, sent_at=now).encode()
        headers = {BATCH_HEADER: header, IMPORTANCE_HEADER: Importance.STATUS.word}
        self._connection.request("POST", BATCH_PATH, body, headers)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != HTTPStatus.ACCEPTED:
            raise RuntimeError(f"the collector answered {answer.status}")

    def close(self) -> None:
        self._connection.close()


def _wait_for_path(store: StateStore, path: str) -> float:
    """Seconds until an alert of anybody has ``path`` among its evidence."""
    began = time.monotonic()
    while time.monotonic() - began < _PATIENCE_SECONDS:
        with store.read() as session:
            newest = select(AlertEvidence.event).order_by(AlertEvidence.id.desc()).limit(200)
            if any(path in str(event) for event in session.scalars(newest)):
                return time.monotonic() - began
        time.sleep(0.02)
    raise RuntimeError(f"no alert about {path} after {_PATIENCE_SECONDS:g} s")


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
