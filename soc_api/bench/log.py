"""The durable log by itself, in the file and on three NATS servers, and what the whole pipeline does on each."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from collector.log.interface import LogRow, moved
from collector.log.jetstream.reader import NatsReader
from collector.log.jetstream.writer import NatsWriter
from collector.log.sqlite_reader import SqliteReader
from collector.log.sqlite_writer import SqliteWriter
from collector.partitions import all_from
from soc_api.bench.jetstream import three_servers
from soc_api.bench.load import BATCH_EVENTS, loaded, rules_setting
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.sending import Stage
from soc_api.bench.trial import trial_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from collector.log.interface import LogReader, LogWriter
    from collector.settings import Log

_SECONDS: Final = float(os.environ.get("VONGGAC_BENCH_SECONDS", "20"))
_ENDPOINTS: Final = 500
#: 5,000 events a second as agents send them when they are quiet: many small batches.
_BATCHES: Final = 500.0
_BODY: Final = os.urandom(700)
_ROWS: Final = 4_000
_LARGE_BODY: Final = os.urandom(4_000)
_ROUNDS: Final = 3
_OFFERED: Final = float(os.environ.get("VONGGAC_BENCH_RATE", "20000"))


@benchmark(
    "log.append", "5,000 events/s in 500 batches appended to the log with fsync: how long a sender waits"
)
def appending(tell: Callable[[str], None]) -> Iterable[Figure]:
    """Batches leave when they are due, whether or not the ones before them were acknowledged."""
    with tempfile.TemporaryDirectory(prefix="vonggac-bench-") as name:
        writer = SqliteWriter(Path(name) / "log.db")
        try:
            tell("appending…")
            took = sorted(asyncio.run(_at_a_rate(writer, _SECONDS)))
            commits = writer.statistics.commits
        finally:
            writer.close()
    p99 = took[int(len(took) * 0.99)] * 1000
    yield Figure(round(p99, 1), "ms to the acknowledgement, p99", "at most 50", p99 <= 50)
    yield Figure(round(took[len(took) // 2] * 1000, 1), "ms, half of them", "none", None)
    yield Figure(round(len(took) / commits, 1), "batches a commit", "none", None)


async def _at_a_rate(writer: LogWriter, seconds: float) -> list[float]:
    took: list[float] = []
    start = time.monotonic()

    async def one(number: int, due: float) -> None:
        await writer.append(_row(number, _BODY))
        took.append(time.monotonic() - due)

    async with asyncio.TaskGroup() as senders:
        for number in range(int(_BATCHES * seconds)):
            due = start + number / _BATCHES
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            senders.create_task(one(number, due))
    return took


@benchmark(
    "log.jetstream", "batches of 4 KB a second through the log on three NATS servers, and through the file"
)
def by_itself(tell: Callable[[str], None]) -> Iterable[Figure]:
    """In turns, so that whatever else the machine does hits both."""
    with tempfile.TemporaryDirectory(prefix="vonggac-bench-") as name, three_servers(Path(name)) as settings:
        written: dict[str, float] = {"file": 0.0, "JetStream": 0.0}
        read = dict(written)
        for turn in range(_ROUNDS):
            for kind in written:
                tell(f"{kind}, {turn + 1} of {_ROUNDS}…")
                with _log(kind, Path(name), settings) as (writer, reader):
                    begun = time.monotonic()
                    positions = all_from(reader.last_offset())
                    asyncio.run(_all_at_once(writer, turn * _ROWS))
                    done = time.monotonic()
                    _read_all(reader, positions)
                    written[kind] += done - begun
                    read[kind] += time.monotonic() - done
        rows = _ROWS * _ROUNDS
        for kind, seconds in written.items():
            yield Figure(round(rows / seconds), f"batches/s appended, {kind}", "none", None)
        for kind, seconds in read.items():
            yield Figure(round(rows / seconds), f"batches/s read, {kind}", "none", None)


@contextmanager
def _log(kind: str, folder: Path, settings: Log) -> Iterator[tuple[LogWriter, LogReader]]:
    with ExitStack() as opened:
        path = folder / "log.db"
        writer = SqliteWriter(path) if kind == "file" else NatsWriter(settings)
        opened.callback(writer.close)
        reader = SqliteReader(path) if kind == "file" else NatsReader(settings)
        opened.callback(reader.close)
        yield writer, reader


async def _all_at_once(writer: LogWriter, first: int) -> None:
    """From 200 connections, each with one batch on its way."""
    numbers = iter(range(first, first + _ROWS))

    async def connection() -> None:
        for number in numbers:
            await writer.append(_row(number, _LARGE_BODY))

    async with asyncio.TaskGroup() as senders:
        for _ in range(200):
            senders.create_task(connection())


def _read_all(reader: LogReader, positions: dict[int, int]) -> None:
    left = _ROWS
    while left:
        rows = reader.read(positions, 500)
        positions = moved(positions, rows)
        left -= len(rows)


def _row(number: int, body: bytes) -> LogRow:
    return LogRow(0, "batch", f"endpoint-{number % _ENDPOINTS}", "s", number, 1.0, 2.0, body)


@benchmark("log.pipeline", "the whole pipeline on the log on three NATS servers, against the one on the file")
def whole(tell: Callable[[str], None]) -> Iterable[Figure]:
    """More than it can do is sent for a while; the time counts until everything is stored. Processor time counts all
    processes, the NATS servers' too: on a machine that others use as well, it says more than the clock.
    """
    tell("on the file…")
    with tempfile.TemporaryDirectory(prefix="vonggac-bench-") as name:
        rate, cost = _pipeline("")
        tell("on three NATS servers…")
        with three_servers(Path(name)) as settings:
            clustered, more = _pipeline(f'[log]\nurl = "{settings.url}"\nmax_bytes = {settings.max_bytes}\n')
    yield Figure(round(rate), "events/s, file", "none", None)
    yield Figure(round(clustered), "events/s, JetStream with three replicas", "none", None)
    yield Figure(round(cost * 1e6), "µs of processor an event, file", "none", None)
    yield Figure(round(more * 1e6), "µs of processor an event, JetStream with three replicas", "none", None)
    yield Figure(
        round(cost / more, 2), "of the file's rate with three replicas, by processor time", "none", None
    )
    share = clustered / rate
    yield Figure(round(share, 2), "of the file's rate with three replicas", "at least 0.6", share >= 0.6)


def _pipeline(setting: str) -> tuple[float, float]:
    """Events stored a second, and processor seconds an event."""
    stages = [Stage(_OFFERED / BATCH_EVENTS, _SECONDS)]
    with (
        trial_server(rules_setting() + setting) as (server, folder),
        loaded(server, folder, stages) as (load, _),
    ):
        start, before = time.monotonic(), _processor(load.pid)
        while load.running:
            time.sleep(0.1)
        load.check()
        load.wait_until_stored(600)
        if load.stored != load.acknowledged:
            raise RuntimeError(f"{load.stored} events stored of {load.acknowledged} acknowledged")
        took = time.monotonic() - start
        return load.stored / took, (_processor(load.pid) - before) / load.stored


def _processor(sender: int) -> float:
    """Processor seconds so far of everything that this measurement started, but for the sender."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        if process.pid != sender:
            with suppress(psutil.Error):
                times = process.cpu_times()
                used += times.user + times.system
    return used
