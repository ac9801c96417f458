"""Workers and ``correlate`` as real processes on the real log and stores, killed with -9, paused and joined while
batches come in."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from collector.detect.checkpoints import load_places
from collector.detect.handover import oldest_waiting
from collector.log.interface import LogRow
from collector.log.sqlite_reader import SqliteReader
from collector.log.sqlite_writer import SqliteWriter
from collector.settings import DataDirectory
from collector.state.database import StateStore
from collector.state.migrate import upgrade
from collector.state.tables import (
    Alert,
    AlertEvidence,
    Document,
    DocumentChange,
    Endpoint,
    Lease,
    Stream,
)
from collector.store.client import StoreClient
from tests.collector.detect.test_worker import BAD_PROCESS, BURST
from tests.collector.pipeline import STREAM, Pipeline, add_agency, add_endpoint, document, event, frame
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

ENDPOINTS = 8
BATCHES = 45
KILLS = 5
SILENT = """
title: Silent
id: 00000000-0000-4000-8000-000000000009
status: test
level: low
logsource: {product: vonggac, category: silence}
detection: {selection: {silence.seconds|gte: 900}, condition: selection}
"""
SETTINGS = """
[detect]
batch_rows = 7
poll_seconds = 0.02
rule_folders = ["{rules}"]
"""


class Process:
    """One of the collector's processes, of the test's own data directory."""

    def __init__(self, data: DataDirectory, name: str) -> None:
        kind, _, number = name.partition("-")
        self._command = [sys.executable, "-m", "collector.process", kind, "--data", str(data.root)]
        self._command += ["--number", number] if number else []
        self._log = data.root / f"{name}.test.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is None:
            with self._log.open("ab") as output:
                self._process = subprocess.Popen(self._command, stderr=output, stdout=output)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self.signal(number)
            self._process.wait(30)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def printed(self) -> str:
        return self._log.read_text(encoding="utf-8")


class Site:
    """A data directory with endpoints, and processes over it."""

    def __init__(self, folder: Path) -> None:
        rules = folder / "rules"
        rules.mkdir()
        (rules / "bad.yml").write_text(BAD_PROCESS)
        (rules / "burst.yml").write_text(BURST)
        self.data = DataDirectory(folder / "data")
        self.data.create()
        self.data.settings.write_text(SETTINGS.format(rules=rules))
        upgrade(self.data.state)
        self.state = StateStore(self.data.state)
        self.store = StoreClient(self.data.store_socket)
        self.processes = {
            name: Process(self.data, name)
            for name in ("store", "detect-1", "detect-2", "detect-3", "correlate")
        }

    def start(self, *names: str) -> None:
        for name in names:
            self.processes[name].start()

    def wait_for_store(self) -> None:
        wait_until(self.store.healthy, seconds=60, what="the event store")

    def position(self) -> int:
        with self.state.read() as session:
            return max(place.log_offset for place in load_places(session).values())

    def finished(self, made: list[LogRow]) -> bool:
        """Whether all rows are worked on and all that was handed over was taken."""
        reader = SqliteReader(self.data.log)
        with closing(reader), self.state.read() as session:
            positions = {each: place.log_offset for each, place in load_places(session).items()}
            return (
                reader.last_offset() == len(made)
                and reader.waiting(positions) == 0
                and oldest_waiting(session) is None
            )

    def paused_between_transactions(self, process: Process) -> bool:
        """Pause it; but not while it writes to the state store, where SQLite would let nobody else."""
        process.signal(signal.SIGSTOP)
        with closing(sqlite3.connect(self.data.state, timeout=0.5, isolation_level=None)) as probe:
            try:
                probe.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.signal(signal.SIGCONT)
                return False
            probe.execute("ROLLBACK")
        return True

    def held(self) -> dict[str, int]:
        """How many partitions each worker holds."""
        with self.state.read() as session:
            rows = session.scalars(select(Lease.owner).where(Lease.name.startswith("partition/"))).all()
        return Counter(owner.rpartition("/")[2] for owner in rows if owner)

    def close(self) -> None:
        for name in ("detect-1", "detect-2", "detect-3", "correlate", "store"):
            self.processes[name].signal(signal.SIGCONT)
            self.processes[name].end(signal.SIGKILL if name != "store" else signal.SIGTERM)
        self.store.close()
        self.state.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.close()


def rows() -> list[LogRow]:
    """Of each batch: a process that is bad in every third, a failed sign-in, a document that changes."""
    made = []
    now = time.time()
    for number in range(BATCHES):
        for endpoint in range(ENDPOINTS):
            failed = event(now, "auth")
            failed["fields"] = {"event.action": "ssh_login_failed"} if number % 30 < 3 else {}
            body = frame(
                {
                    "schema": 1,
                    "created_at": now,
                    "events": [event(now, Image="/tmp/evil" if number % 3 == 0 else "/bin/ls"), failed],
                    "documents": [document("storage", {"mount": "/", "used_percent": number % 2}, "/", now)],
                    "metrics": [
                        {"name": "host.x_ratio", "time": now, "value": number / 1.0, "unit": "ratio"}
                    ],
                }
            )
            made.append(LogRow(0, "batch", f"ep-{endpoint}", STREAM, number + 1, now, now, body))
    return made


def feed(data: DataDirectory, made: list[LogRow]) -> None:
    """Append the batches slowly enough that the worker is killed while they come."""

    async def append() -> None:
        writer = SqliteWriter(data.log)
        for row in made:
            await writer.append(row)
        writer.close()

    asyncio.run(append())


@contextmanager
def feeding(site: Site) -> Iterator[list[LogRow]]:
    """Endpoints report while the block runs, and until all is worked on behind it."""
    agency = add_agency(site.state)
    for number in range(ENDPOINTS):
        add_endpoint(site.state, f"ep-{number}", agency)
    made = rows()
    feeder = threading.Thread(target=feed, args=(site.data, made))
    feeder.start()
    try:
        yield made
    finally:
        feeder.join(60)
    wait_until(lambda: site.finished(made), seconds=150, what="everything to be worked on", every=0.1)


def check_everything(site: Site, made: list[LogRow]) -> None:
    """Nothing is missing and nothing counts twice, in either store."""
    client = site.store
    (events,) = client.query(
        "SELECT count() AS n, uniqExact(event_id) AS ids FROM events WHERE product = 'linux'"
    )
    assert (int(events["n"]), int(events["ids"])) == (2 * len(made), 2 * len(made))
    (changes,) = client.query(
        "SELECT count() AS n, uniqExact(event_id) AS ids FROM events WHERE category = 'storage'"
    )
    assert (int(changes["n"]), int(changes["ids"])) == (len(made), len(made))
    (metrics,) = client.query("SELECT count() AS n, uniqExact(endpoint_id, value) AS ids FROM metrics")
    assert (int(metrics["n"]), int(metrics["ids"])) == (len(made), len(made))
    with site.state.read() as session:
        per_rule = {
            (alert.rule_id[-1], alert.endpoint_id): alert.count
            for alert in session.scalars(select(Alert).where(Alert.rule_id.startswith("00000000-0000-4000")))
        }
        assert {key: count for key, count in per_rule.items() if key[0] == "1"} == {
            ("1", f"ep-{number}"): BATCHES // 3 for number in range(ENDPOINTS)
        }
        # Six failures at nearly one time: the third and each after it completes the burst.
        assert {key: count for key, count in per_rule.items() if key[0] == "4"} == {
            ("4", f"ep-{number}"): 4 for number in range(ENDPOINTS)
        }
        evidence = session.scalar(
            select(func.count()).select_from(AlertEvidence).join(Alert).where(Alert.rule_id.endswith("0001"))
        )
        assert evidence == min(20, BATCHES // 3) * ENDPOINTS
        streams = session.scalars(select(Stream)).all()
        assert [(stream.last_seq, stream.missing) for stream in streams] == [(BATCHES, 0)] * ENDPOINTS
        storage = session.scalars(select(Document.body).where(Document.kind == "storage")).all()
        assert [body["used_percent"] for body in storage] == [(BATCHES - 1) % 2] * ENDPOINTS
        history = session.scalar(
            select(func.count()).select_from(DocumentChange).where(DocumentChange.kind == "storage")
        )
        assert history == BATCHES * ENDPOINTS
        assert session.scalar(select(func.max(Endpoint.dead_letters))) == 0


def test_processes_killed_again_and_again_miss_nothing_and_count_nothing_twice(site: Site) -> None:
    site.start("store", "detect-1", "detect-2", "correlate")
    site.wait_for_store()
    chance = random.Random(20261121)
    with feeding(site) as made:
        for _ in range(KILLS):
            goal = min(site.position() + chance.randint(1, 80), len(made) - 1)
            wait_until(
                lambda goal=goal: site.position() >= goal,  # type: ignore[misc] # bound now
                seconds=120,
                what=f"offset {goal}",
                every=chance.choice((0.001, 0.005, 0.013)),
            )
            victim = site.processes[chance.choice(("detect-1", "detect-2", "correlate", "store"))]
            victim.end(signal.SIGKILL)
            victim.start()
    check_everything(site, made)


def test_a_worker_that_joins_takes_its_share_and_what_a_dead_one_held_moves_to_the_others(site: Site) -> None:
    site.start("store", "detect-1", "correlate")
    site.wait_for_store()
    with feeding(site) as made:
        wait_until(lambda: site.held() == {"detect-1": 32}, seconds=60, what="one worker to hold everything")
        site.start("detect-2")
        shared = {"detect-1": 16, "detect-2": 16}
        wait_until(lambda: site.held() == shared, seconds=60, what="two workers to share")
        site.processes["detect-1"].end(signal.SIGKILL)
        died = time.monotonic()
        wait_until(lambda: site.held() == {"detect-2": 32}, seconds=30, what="the dead one's to move")
        assert time.monotonic() - died < 20
        site.processes["detect-2"].end(signal.SIGTERM)
        assert site.held() == {}
        site.start("detect-3")
    check_everything(site, made)


def test_a_worker_that_was_paused_writes_nothing_more_of_what_another_has_taken(site: Site) -> None:
    site.start("store", "detect-1", "correlate")
    site.wait_for_store()
    with feeding(site) as made:
        wait_until(lambda: site.position() > 20, seconds=60, what="the first steps")
        paused = site.processes["detect-1"]
        wait_until(
            lambda: site.paused_between_transactions(paused), seconds=30, what="a good moment to pause"
        )
        site.start("detect-2")
        wait_until(lambda: site.held() == {"detect-2": 32}, seconds=60, what="the other to take everything")
        before = site.position()
        wait_until(lambda: site.position() > before, seconds=60, what="the other to go on")
        paused.signal(signal.SIGCONT)
        shared = {"detect-1": 16, "detect-2": 16}
        wait_until(lambda: site.held() == shared, seconds=60, what="both to share again")
    check_everything(site, made)


def test_a_clock_event_that_a_crash_left_in_the_store_is_not_stored_again(site: Site, tmp_path: Path) -> None:
    site.start("store")
    (tmp_path / "own").mkdir()
    pipeline = Pipeline(tmp_path / "own", SILENT)
    site.wait_for_store()
    pipeline.store = client = site.store  # type: ignore[assignment] # the real one
    pipeline.restart()
    pipeline.heartbeat()
    pipeline.work()
    pipeline.clock.seconds += 4000
    with pipeline.crash_before_commit():
        pipeline.worker.step_clock()
    assert pipeline.worker.step_clock() == 1
    assert pipeline.worker.step_clock() == 0
    found = client.query("SELECT count() AS n FROM events WHERE category = 'silence'")
    assert int(found[0]["n"]) == 1
    with pipeline.state.read() as session:
        assert session.scalars(select(Alert.count)).all() == [1]
