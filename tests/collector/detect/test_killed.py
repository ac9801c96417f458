"""The worker as a real process on the real log and stores, killed with -9 over and over while batches come in."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

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

ENDPOINTS = 4
BATCHES = 90
KILLS = 4
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
        self._command = [sys.executable, "-m", "collector.process", name, "--data", str(data.root)]
        self._log = data.root / f"{name}.test.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stderr=output, stdout=output)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def printed(self) -> str:
        return self._log.read_text(encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "bad.yml").write_text(BAD_PROCESS)
    (rules / "burst.yml").write_text(BURST)
    data = DataDirectory(tmp_path / "data")
    data.create()
    data.settings.write_text(SETTINGS.format(rules=rules))
    upgrade(data.state)
    return data


@pytest.fixture
def processes(data: DataDirectory) -> Iterator[tuple[Process, Process]]:
    store, detect = Process(data, "store"), Process(data, "detect")
    store.start()
    try:
        yield store, detect
    finally:
        detect.end()
        store.end()


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


def test_killed_again_and_again_it_misses_nothing_and_counts_nothing_twice(
    data: DataDirectory, processes: tuple[Process, Process]
) -> None:
    store_process, detect = processes
    state = StateStore(data.state)
    agency = add_agency(state)
    for number in range(ENDPOINTS):
        add_endpoint(state, f"ep-{number}", agency)
    client = StoreClient(data.store_socket)
    wait_until(client.healthy, seconds=60, what="the event store")
    made = rows()
    feeder = threading.Thread(target=feed, args=(data, made))
    feeder.start()

    def checkpoint() -> int:
        with state.read() as session:
            return max(place.log_offset for place in load_places(session).values())

    chance = random.Random(20261121)
    try:
        for kill in range(KILLS):
            detect.start()
            goal = min(checkpoint() + chance.randint(1, 80), len(made) - 1)
            wait_until(
                lambda goal=goal: checkpoint() >= goal or not detect.running(),  # type: ignore[misc] # bound now
                seconds=60,
                what=f"offset {goal}",
                every=chance.choice((0.001, 0.005, 0.013)),
            )
            assert detect.running(), detect.printed()[-3000:]
            detect.end(signal.SIGKILL)
            if kill == KILLS // 2:
                store_process.end(signal.SIGKILL)
                store_process.start()
        detect.start()
        feeder.join(60)
        wait_until(lambda: checkpoint() >= len(made), seconds=90, what="the last batch")
    finally:
        feeder.join(60)
    os.sync()

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
    with state.read() as session:
        per_rule = {
            (alert.rule_id[-1], alert.endpoint_id): alert.count
            for alert in session.scalars(select(Alert).where(Alert.rule_id.startswith("00000000-0000-4000")))
        }
        assert {key: count for key, count in per_rule.items() if key[0] == "1"} == {
            ("1", f"ep-{number}"): BATCHES // 3 for number in range(ENDPOINTS)
        }
        # Nine failures at nearly one time: the third and each after it completes the burst.
        assert {key: count for key, count in per_rule.items() if key[0] == "4"} == {
            ("4", f"ep-{number}"): 7 for number in range(ENDPOINTS)
        }
        evidence = session.scalar(
            select(func.count()).select_from(AlertEvidence).join(Alert).where(Alert.rule_id.endswith("0001"))
        )
        assert evidence == 20 * ENDPOINTS
        streams = session.scalars(select(Stream)).all()
        assert [(stream.last_seq, stream.missing) for stream in streams] == [(BATCHES, 0)] * ENDPOINTS
        storage = session.scalars(select(Document.body).where(Document.kind == "storage")).all()
        assert [body["used_percent"] for body in storage] == [1] * ENDPOINTS
        history = session.scalar(
            select(func.count()).select_from(DocumentChange).where(DocumentChange.kind == "storage")
        )
        assert history == BATCHES * ENDPOINTS
        assert session.scalar(select(func.max(Endpoint.dead_letters))) == 0
    with_log = SqliteReader(data.log)
    assert with_log.last_offset() == len(made)
    with_log.close()
    client.close()
    state.close()


def test_a_clock_event_that_a_crash_left_in_the_store_is_not_stored_again(
    data: DataDirectory, processes: tuple[Process, Process], tmp_path: Path
) -> None:
    assert processes[0].running()
    (tmp_path / "own").mkdir()
    pipeline = Pipeline(tmp_path / "own", SILENT)
    client = StoreClient(data.store_socket)
    wait_until(client.healthy, seconds=60, what="the event store")
    pipeline.store = client  # type: ignore[assignment] # the real one
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
    client.close()
