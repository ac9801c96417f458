"""What the event store costs and how fast it answers: ten million events in it, five thousand a second coming."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from collector.store.policy import Policy
from collector.store.rows import EVENT_SCHEMA
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.sigma_hunt import EVENTS, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from collector.store.engine import Engine

_RATE: Final = 5_000
_ROUNDS: Final = 9
#: Of so many events an insert of the live stream is; a worker sends about so many when it is not behind.
_BATCH: Final = 5_000
_COST_BATCHES: Final = 40
# By the hour first, as rows lie: the newest are read first, and no more than are needed.
_SEARCH: Final = (
    "SELECT event_id, body FROM events WHERE lowerUTF8(body) LIKE {like:String}"
    " ORDER BY toStartOfHour(received_at) DESC, received_at DESC LIMIT 100"
)
_ENDPOINT: Final = (
    "SELECT event_id, body FROM events WHERE endpoint_id = {endpoint:String}"
    " ORDER BY time DESC, event_id DESC LIMIT 100"
)
#: What is looked for: fifty events have the first, none the second, one in twenty the last.
_NEEDLES: Final = {"rare": "%dump-lsass%", "absent": "%mimikatz.exe%", "common": "%baocao%"}


@benchmark(
    "store.search",
    "ten million events and 5,000/s more: substrings, an endpoint's last 100, insert cost, bytes",
)
def search(tell: Callable[[str], None]) -> Iterable[Figure]:
    """Makes the events, indexes the days that are over as the owner does, then searches while events come in. Takes
    some minutes and 2 GB of disk for a while.
    """
    with tempfile.TemporaryDirectory(prefix="vonggac-bench-") as name:
        trial = Trial(Path(name), EVENTS)
        try:
            trial.fill(tell)
            began = time.process_time()
            trial.engine.upkeep.run(datetime(2026, 11, 30, tzinfo=UTC), Policy(otherwise=3650), idle=True)
            yield Figure(
                round((time.process_time() - began) / EVENTS * 1e6, 1),
                "µs CPU an event, index of texts",
                "none",
                None,
            )
            size = trial.engine.forecast()
            each = size.events_bytes / size.events
            yield Figure(
                round(each, 1), "bytes an event on disk, index of texts included", "at most 150", each <= 150
            )
            batches = _batches(trial.engine)
            yield _insert_cost(trial.engine, batches, tell)
            with _Stream(trial.engine, batches) as stream:
                for kind, like in _NEEDLES.items():
                    seconds = _median(trial, _SEARCH, {"like": like}, tell, kind)
                    yield Figure(round(seconds, 2), f"s, substring, {kind}", "at most 2", seconds <= 2)
                seconds = _median(trial, _ENDPOINT, {"endpoint": "ep-77"}, tell, "endpoint")
                yield Figure(round(seconds, 3), "s, an endpoint's last 100", "at most 0.3", seconds <= 0.3)
            yield Figure(
                round(stream.rate), "events/s came in meanwhile", f"{_RATE}", stream.rate >= 0.95 * _RATE
            )
        finally:
            trial.engine.close()


def _median(
    trial: Trial, sql: str, values: dict[str, object], tell: Callable[[str], None], kind: str
) -> float:
    seconds = []
    for _ in range(_ROUNDS):
        trial.engine._keeper.command("SYSTEM DROP QUERY CONDITION CACHE")  # noqa: SLF001 - else the next round is too good
        began = time.monotonic()
        found = trial.query(sql, values)
        seconds.append(time.monotonic() - began)
    tell(f"{kind}: {len(found)} found in {statistics.median(seconds):.3f} s")
    return statistics.median(seconds)


def _batches(engine: Engine) -> list[pa.Table]:
    """Stored events as a worker sends them, to be received anew."""
    taken = []
    for batch in engine.export("events", engine.partitions("events")[-1]):
        taken.append(batch)
        if sum(each.num_rows for each in taken) >= _COST_BATCHES * _BATCH:
            break
    table = pa.Table.from_batches(taken)
    return [table.slice(at * _BATCH, _BATCH) for at in range(table.num_rows // _BATCH)]


def _received_now(table: pa.Table) -> bytes:
    now = pa.array([int(datetime.now(UTC).timestamp() * 1e6)] * table.num_rows, pa.int64())
    at = EVENT_SCHEMA.get_field_index("received_at")
    table = table.set_column(at, EVENT_SCHEMA.field(at), now.cast(EVENT_SCHEMA.field(at).type))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, EVENT_SCHEMA) as writer:
        writer.write_table(table.cast(EVENT_SCHEMA))
    return bytes(sink.getvalue())


def _insert_cost(engine: Engine, batches: Sequence[pa.Table], tell: Callable[[str], None]) -> Figure:
    streams = [_received_now(table) for table in batches[:_COST_BATCHES]]
    began, clock = time.process_time(), time.monotonic()
    for stream in streams:
        engine.insert("events", stream)
    while int(str(engine._keeper.command("SELECT count() FROM system.merges"))):  # noqa: SLF001 - merges are its cost too
        time.sleep(0.1)
    used = (time.process_time() - began) / (len(streams) * _BATCH) * 1e6
    tell(f"{len(streams)} inserts of {_BATCH} events in {time.monotonic() - clock:.1f} s")
    return Figure(round(used, 1), f"µs CPU an event, inserts of {_BATCH} and their merges", "none", None)


class _Stream:
    """Events at a steady rate from a thread, while the block runs."""

    def __init__(self, engine: Engine, batches: Sequence[pa.Table]) -> None:
        self._engine = engine
        self._batches = batches
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._count = 0
        self.rate = 0.0

    def __enter__(self) -> _Stream:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.rate = self._count / (time.monotonic() - self._began)

    def _run(self) -> None:
        pause = timedelta(seconds=_BATCH / _RATE).total_seconds()
        while not self._stop.wait(max(0.0, self._began + self._count / _RATE - time.monotonic())):
            self._engine.insert(
                "events", _received_now(self._batches[(self._count // _BATCH) % len(self._batches)])
            )
            self._count += _BATCH
            if self._stop.wait(min(pause, 0.01)):
                return
