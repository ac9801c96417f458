"""What correlations remember over a restart of the worker: a snapshot as of a checkpoint, and the events since.

The snapshot is a file beside the state store, replaced as a whole every so often. It names the checkpoint that it is
of; after a crash the state store may be ahead of it, and the events between are shown to the engine again, without
their findings. Without a snapshot that fits, the events of the longest timespan are.

Events that only the collector's clock makes lie at the checkpoint itself, before or after the snapshot; so it also
names the events of that offset that it holds.
"""

from __future__ import annotations

import hashlib
import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec

from collector.files import write_file
from rules.engine import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from collector.detect.ports import EventStore
    from collector.detect.step import Record
    from rules.engine import Engine
    from rules.engine.routing import Sources
    from rules.logsources import LogSources

log = logging.getLogger("vonggac.detect")

#: Correlations keep no more than this anyway.
MAX_EVENTS: Final = 200_000
_FORMAT: Final = 1
_PAGE: Final = 2_000
#: Rows are received in the order of their offsets, but for what one group commit mixes.
_SLACK_SECONDS: Final = 300.0
#: Saving may take this share of the worker's time at most.
_SHARE: Final = 0.02

_FROM = """
SELECT event_id, log_offset, toUnixTimestamp64Micro(time) / 1e6 AS seconds,
  toUnixTimestamp64Micro(received_at) / 1e6 AS received, product, category, service, body
FROM events
WHERE received_at >= fromUnixTimestamp64Micro({since:Int64})
  AND log_offset >= {floor:UInt64}
  AND (log_offset, event_id) > ({offset:UInt64}, {id:String})
ORDER BY log_offset, event_id
LIMIT {page:UInt32}
"""
_FLOOR = """
SELECT log_offset FROM events
WHERE received_at >= fromUnixTimestamp64Micro({since:Int64})
ORDER BY log_offset DESC LIMIT 1 OFFSET {most:UInt32}
"""


class Snapshot(msgspec.Struct):
    """``held``: ids of the events at offset ``checkpoint`` that the engine had seen. ``received_at``: when the row
    there was received, and so no later than the rows after it; 0 where that is not known."""

    format: int
    checkpoint: int
    held: list[str]
    received_at: float
    state: bytes


class Memory:
    """One a worker. :meth:`recall` at its start, :meth:`follow` with every committed step, :meth:`save` between."""

    def __init__(self, engine: Engine, path: Path, every_seconds: float, log_sources: LogSources) -> None:
        self._engine = engine
        self._log_sources = log_sources
        self._path = path
        self._every = every_seconds
        self._held: list[str] = []
        self._received_at = 0.0
        self._checkpoint = -1
        self._changed = False
        self._next = 0.0
        self._blank = b""

    def recall(self, store: EventStore, checkpoint: int, committed_at: float, now: float) -> tuple[int, bool]:
        """Bring the engine to ``checkpoint``; how many events it was shown, and whether a snapshot served.

        ``committed_at``: when the state store last moved. An event that the clock made after that was never
        committed; it will be found again.

        Raises:
            collector.store.errors.StoreError: the store cannot be read. Ask again: nothing was lost.
        """
        self._checkpoint = checkpoint
        if self._engine.longest_timespan_seconds <= 0:
            return 0, False
        if self._blank:
            self._engine.restore(self._blank)  # a try before this one showed it events
        else:
            self._blank = self._engine.snapshot()
        snapshot = self._load(checkpoint)
        if snapshot is not None and self._engine.restore(snapshot.state):
            self._received_at = snapshot.received_at
            since = max(0.0, snapshot.received_at - _SLACK_SECONDS)
            floor, held = snapshot.checkpoint, frozenset(snapshot.held)
        else:
            snapshot = None
            since, held = now - self._engine.longest_timespan_seconds, frozenset[str]()
            found = store.query(_FLOOR, {"since": int(since * 1e6), "most": MAX_EVENTS})
            floor = int(found[0]["log_offset"]) if found else 0
        count = 0
        at_checkpoint: list[str] = []
        for offset, received, event in _events(store, int(since * 1e6), floor):
            if offset > checkpoint or (offset == checkpoint and received > committed_at + 1e-6):
                continue
            if offset == checkpoint:
                at_checkpoint.append(event.id)
            if offset != floor or event.id not in held:
                self._engine.process(event, self._sources(event))
                count += 1
        self._held = at_checkpoint
        self._changed = True
        return count, snapshot is not None

    def _sources(self, event: Event) -> Sources:
        """As when the event came: its fields hold all that was added to them."""
        fields = dict(event.fields)
        return self._log_sources.read(event.product, event.category, event.service, fields)[1]

    def follow(self, records: Iterable[Record], checkpoint: int, received_at: float | None) -> None:
        """The step with these events was committed. ``received_at``: of its last row, None for a look at the clock."""
        if checkpoint != self._checkpoint:
            self._checkpoint, self._held = checkpoint, []
        for record in records:
            self._changed = True
            if record.log_offset == checkpoint:
                self._held.append(record.event.id)
        if received_at is not None:
            self._received_at = received_at

    def save(self, *, at_once: bool = False) -> None:
        """Write the snapshot if it is due (``at_once``: now) and there is something new. A full disk is only said."""
        started = monotonic()
        if not self._changed or (started < self._next and not at_once):
            return
        if self._engine.longest_timespan_seconds <= 0:
            return
        snapshot = Snapshot(_FORMAT, self._checkpoint, self._held, self._received_at, self._engine.snapshot())
        content = msgspec.msgpack.encode(snapshot)
        try:
            write_file(self._path, hashlib.sha256(content).digest() + content, 0o600)
            self._changed = False
        except OSError as error:
            log.warning("the memory of correlations is not saved", extra={"error": str(error)})
        self._next = started + max(self._every, (monotonic() - started) / _SHARE)

    def _load(self, checkpoint: int) -> Snapshot | None:
        try:
            content = self._path.read_bytes()
            snapshot = _decode(content)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, ValueError) as error:
            log.warning("the memory of correlations cannot be read", extra={"error": str(error)})
            return None
        if snapshot.format != _FORMAT or snapshot.checkpoint > checkpoint:
            return None  # of another program, or of a state store that was replaced by an older one
        return snapshot


def _decode(content: bytes) -> Snapshot:
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise ValueError("it is damaged")
    return msgspec.msgpack.decode(content[32:], type=Snapshot)


def _events(store: EventStore, since_microseconds: int, floor: int) -> Iterator[tuple[int, float, Event]]:
    """Events from that offset on, in the order in which the worker saw them (within a batch: by their time)."""
    position: tuple[int, str] = (0, "")
    while True:
        page = store.query(
            _FROM,
            {
                "since": since_microseconds,
                "floor": floor,
                "offset": position[0],
                "id": position[1],
                "page": _PAGE,
            },
        )
        batch: list[tuple[int, float, Event]] = []
        for row in page:
            event = Event(
                row["event_id"],
                float(row["seconds"]),
                row["product"],
                row["category"],
                row["service"],
                msgspec.json.decode(row["body"]),
            )
            batch.append((int(row["log_offset"]), float(row["received"]), event))
        batch.sort(key=lambda each: (each[0], each[2].time))
        yield from batch
        if len(page) < _PAGE:
            return
        position = (int(page[-1]["log_offset"]), page[-1]["event_id"])
