"""A backlog after an outage: a million events in the durable log when the server starts."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from collector.log.interface import LogRow
from collector.log.sqlite_writer import SqliteWriter
from collector.settings import DataDirectory, load
from collector.state.database import open_state
from collector.state.tables import Endpoint
from collector.store.client import StoreClient
from soc_api.bench.load import (
    BATCH_EVENTS,
    COUNT,
    SENDERS,
    Costs,
    enrol_senders,
    prepare_bodies,
    rules_setting,
)
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.trial import trial_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from soc_api.local import Server

#: ``VONGGAC_BENCH_EVENTS=200000`` for fewer.
_EVENTS: Final = int(os.environ.get("VONGGAC_BENCH_EVENTS", "1000000"))
_STREAM: Final = "0123456789abcdef" * 2
_AT_ONCE: Final = 200
_LOOK_SECONDS: Final = 0.2
_PATIENCE_SECONDS: Final = 900.0
#: The first events take longer: what matches them is learnt.
_LEARNT: Final = 0.1


@benchmark(
    "collector.backlog", "a million events that wait in the log: how fast one worker and two get through them"
)
def backlog(tell: Callable[[str], None]) -> Iterable[Figure]:
    """The server is stopped, batches go into its log as ingest writes them, and it is started again. The rate counts
    from when a tenth is stored. All rules, and the Windows events of ``collector.sustained``.
    """
    rates, costs = {}, {}
    wrong = 0
    for workers in (1, 2):
        with trial_server(f"{rules_setting()}workers = {workers}\n") as (server, folder):
            tell(f"workers: {workers}; filling the log…")
            enrol_senders(DataDirectory(server.data), folder, SENDERS)
            server.stop()
            _fill(DataDirectory(server.data))
            rates[workers], costs[workers], off = _work_off(server, tell)
            wrong += off
    for workers, rate in rates.items():
        yield Figure(round(rate), f"events/s, workers: {workers}", "none", None)
        for name, used in sorted(costs[workers].items()):
            if used * 1e6 >= 1:
                yield Figure(
                    round(used * 1e6), f"µs of processor an event, workers: {workers}, {name}", "none", None
                )
    gain = rates[2] / rates[1]
    yield Figure(round(gain, 2), "times as fast with two workers", "at least 1.7", gain >= 1.7)
    yield Figure(wrong, "events lost or stored twice", "0", wrong == 0)


def _fill(data: DataDirectory) -> None:
    state = open_state(load(data), data)
    with closing(state), state.read() as session:
        endpoints = session.scalars(select(Endpoint.id).order_by(Endpoint.id)).all()
    now = time.time()
    bodies = prepare_bodies(now)
    with closing(SqliteWriter(data.log)) as writer:
        asyncio.run(_append(writer, endpoints, bodies, now))


async def _append(
    writer: SqliteWriter, endpoints: Sequence[str], bodies: Sequence[bytes], now: float
) -> None:
    numbers = iter(range(_EVENTS // BATCH_EVENTS))

    async def some() -> None:
        for number in numbers:
            seq, place = divmod(number, len(endpoints))
            body = bodies[number % len(bodies)]
            await writer.append(LogRow(0, "batch", endpoints[place], _STREAM, seq + 1, now, now, body))

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(some())


def _work_off(server: Server, tell: Callable[[str], None]) -> tuple[float, dict[str, float], int]:
    """Events a second, processor seconds an event by process, and how many events are missing or too many."""
    server.start()
    server.wait_until_ready()
    costs, began, before = None, 0.0, 0
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with closing(StoreClient(DataDirectory(server.data).store_socket)) as store:
        while (stored := int(store.query(COUNT)[0]["n"])) < _EVENTS:
            if costs is None and stored >= _EVENTS * _LEARNT:
                costs, began, before = Costs(server), time.monotonic(), stored
            if time.monotonic() > deadline:
                raise RuntimeError(f"{stored} of {_EVENTS} events are stored after {_PATIENCE_SECONDS:.0f} s")
            tell(f"{stored} events stored")
            time.sleep(_LOOK_SECONDS)
        if costs is None:
            raise RuntimeError("too few events to measure with")
        took = time.monotonic() - began
        used = {
            name.partition(":")[0]: cores * took / (stored - before) for name, cores in costs.cores().items()
        }
        time.sleep(1.5)  # what is stored twice comes by then
        wrong = int(store.query(COUNT)[0]["n"]) - _EVENTS
    return (stored - before) / took, used, wrong
