"""A hundred times kill -9, of any process and now and then of all at once, at any moment, while agents send: every
acknowledged event is stored once, alerts are neither missing nor doubled."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

import pytest
import zstandard

from agent.messages import SCHEMA_VERSION, Batch, Event, LogSource, encode_batch
from collector.store.client import StoreClient
from collector.store.errors import StoreError
from tests.support.collector import Endpoint, Site, make_site, send_batch
from tests.support.marks import MARKED, TOGETHER, counted, mark_rules
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.long]

_ROUNDS: Final = 100
_SEED: Final = 20261122
_SENDERS: Final = 6
#: So many kills, then everybody gets a few batches through.
_BREATH: Final = 10
_EVENTS_A_BATCH: Final = 12
#: An account's sign-ins come from so many agents, one each.
_TOGETHER: Final = 3
_RULES: Final = mark_rules(f"type: event_count, timespan: 1h, condition: {{gte: {_TOGETHER}}}")
_PROCESSES: Final = {
    "store": ("store",),
    "ingest": ("ingest",),
    "detect-1": ("detect", "--number", "1"),
    "detect-2": ("detect", "--number", "2"),
    "correlate": ("correlate",),
}


class _Processes:
    """The collector's processes, each begun again as soon as it was killed."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._log = (site.data.logs / "all.log").open("ab")
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for name in _PROCESSES:
            self._start(name)

    def _start(self, name: str) -> None:
        command = [
            sys.executable,
            "-m",
            "collector.process",
            *_PROCESSES[name],
            "--data",
            str(self._site.data.root),
        ]
        self._running[name] = subprocess.Popen(command, stderr=self._log)

    def kill(self, names: list[str]) -> None:
        for name in names:
            assert self._running[name].poll() is None, f"{name} ended by itself"
            self._running[name].kill()
        for name in names:
            self._running[name].wait()
            self._start(name)

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()
        self._log.close()


class _Sender:
    """An agent that sends batch after batch, each until it is acknowledged."""

    def __init__(self, number: int, endpoint: Endpoint, stop: threading.Event) -> None:
        self.number = number
        self.endpoint = endpoint
        self.acknowledged = 0
        self._stop = stop
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _send(self) -> None:
        connection = self.endpoint.connect()
        connection.timeout = 5
        seq = 1
        while True:
            if self._stop.is_set():
                break
            body = self._body(seq)
            while True:  # what was begun is brought to its end, also when it is time to stop
                try:
                    if send_batch(connection, seq, body).status == 202:
                        break
                    time.sleep(0.05)
                except (OSError, HTTPException):
                    connection.close()
                    time.sleep(0.05)
            self.acknowledged = seq
            seq += 1
            time.sleep(0.02)
        connection.close()

    def users(self, seq: int) -> list[str]:
        """The accounts in batch ``seq``; the last signs in at two other machines too."""
        own = [f"s{self.number}x{seq}x{place}" for place in range(_EVENTS_A_BATCH - 1)]
        return [*own, f"g{self.number // _TOGETHER}x{seq}"]

    def _body(self, seq: int) -> bytes:
        source = LogSource(product="trial")
        events = [Event(time.time(), source, {"mark": 1, "User": user}) for user in self.users(seq)]
        return zstandard.compress(encode_batch(Batch(SCHEMA_VERSION, time.time(), events)))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "trial.yml").write_text(_RULES)
    made = make_site(tmp_path / "data", f'[detect]\nrule_folders = ["{rules}"]\n')
    yield made
    made.state.close()


def test_a_hundred_kills_lose_nothing_and_double_nothing(site: Site, tmp_path: Path) -> None:
    choose = random.Random(_SEED)
    stop = threading.Event()
    killed: Counter[str] = Counter()
    endpoints = [site.enrol(tmp_path / f"agent-{number}") for number in range(_SENDERS)]
    processes = _Processes(site)
    senders: list[_Sender] = []
    try:
        senders = [_Sender(number, endpoint, stop) for number, endpoint in enumerate(endpoints)]
        wait_until(lambda: all(each.acknowledged for each in senders), seconds=60, what="the first batches")
        for number in range(_ROUNDS):
            time.sleep(choose.uniform(0.0, 0.9))
            names = list(_PROCESSES) if choose.random() < 0.1 else [choose.choice(list(_PROCESSES))]
            processes.kill(names)
            killed.update(names)
            if number % _BREATH == _BREATH - 1:  # so that there is always something to lose
                _let_through(senders)
        stop.set()
        for sender in senders:
            sender.join()
        expected = sum(sender.acknowledged for sender in senders) * _EVENTS_A_BATCH
        wait_until(lambda: _stored(site) >= expected, seconds=180, what="every event", every=0.5)
        for sender in senders:
            assert _names(site, sender.endpoint) == Counter(
                user for seq in range(1, sender.acknowledged + 1) for user in sender.users(seq)
            )
        assert counted(site.state, MARKED) == {
            sender.endpoint.id: sender.acknowledged * _EVENTS_A_BATCH for sender in senders
        }
        together = sum(
            min(sender.acknowledged for sender in senders[first : first + _TOGETHER])
            for first in range(0, _SENDERS, _TOGETHER)
        )
        wait_until(
            lambda: sum(counted(site.state, TOGETHER).values()) >= together,
            seconds=60,
            what="correlations",
            every=0.5,
        )
        time.sleep(1.0)  # room for one too many
        assert sum(counted(site.state, TOGETHER).values()) == together
        assert min(killed[name] for name in _PROCESSES) >= 10
    finally:
        stop.set()
        processes.end()
        for sender in senders:
            sender.join()


def _let_through(senders: list[_Sender]) -> None:
    """Wait until each has a few more batches acknowledged."""
    wanted = [sender.acknowledged + 3 for sender in senders]

    def reached() -> bool:
        return all(sender.acknowledged >= seq for sender, seq in zip(senders, wanted, strict=True))

    wait_until(reached, seconds=120, what="batches of everybody")


def _stored(site: Site) -> int:
    """How many events of senders the event store holds (none while it restarts)."""
    with StoreClient(site.data.store_socket) as client, suppress(StoreError):
        return int(client.query("SELECT count() AS n FROM events WHERE product = 'trial'")[0]["n"])
    return 0


def _names(site: Site, endpoint: Endpoint) -> Counter[str]:
    """How often each account is in the stored events of an endpoint."""
    found: Counter[str] = Counter()
    with StoreClient(site.data.store_socket) as client:
        for part in range(16):  # an answer has at most 10,000 rows
            rows = client.query(
                "SELECT JSONExtractString(body, 'User') AS name, count() AS times FROM events"
                " WHERE product = 'trial' AND endpoint_id = {endpoint:String}"
                " AND cityHash64(name) % 16 = {part:UInt8} GROUP BY name",
                {"endpoint": endpoint.id, "part": part},
            )
            found.update({row["name"]: int(row["times"]) for row in rows})
    return found
