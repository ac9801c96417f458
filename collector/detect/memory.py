"""What correlations remember over a restart of ``correlate``: a snapshot as of a step, and what was taken since.

The snapshot is a file beside the state store, replaced as a whole every so often. Handovers stay in the state store
until a snapshot covers them; after a crash those that it does not hold are shown to the engine again, in the order in
which they were taken, without their findings. Where there is no snapshot that reaches them (another machine takes
over, the file was lost), the events of the longest timespan are read from the event store instead.
"""

from __future__ import annotations

import hashlib
import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec

from collector.detect.checkpoints import CORRELATE, REMEMBERED, load_count, load_places
from collector.detect.handover import Fired, taken_since, waiting
from collector.files import write_file
from collector.partitions import WHOLE
from rules.engine import Event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.orm import Session

    from collector.detect.ports import EventStore
    from collector.state.database import StateStore
    from rules.engine import Engine
    from rules.logsources import LogSources

log = logging.getLogger("vonggac.correlate")

#: Correlations keep no more than this anyway.
MAX_EVENTS: Final = 200_000
_FORMAT: Final = 2
_PAGE: Final = 2_000
#: Saving may take this share of the process's time at most.
_SHARE: Final = 0.02

_FROM = """
SELECT event_id, partition, log_offset, toUnixTimestamp64Micro(time) AS happened,
  toUnixTimestamp64Micro(received_at) AS received, product, category, service, body
FROM events
WHERE received_at >= fromUnixTimestamp64Micro({since:Int64})
  AND received_at <= fromUnixTimestamp64Micro({until:Int64})
  AND (received_at, time, event_id)
    > (fromUnixTimestamp64Micro({received:Int64}), fromUnixTimestamp64Micro({happened:Int64}), {id:String})
ORDER BY received_at, time, event_id
LIMIT {page:UInt32}
"""
_FLOOR = """
SELECT toUnixTimestamp64Micro(received_at) AS received FROM events
WHERE received_at >= fromUnixTimestamp64Micro({since:Int64})
ORDER BY received_at DESC LIMIT 1 OFFSET {most:UInt32}
"""


class Snapshot(msgspec.Struct):
    """``step``: the last one that ``state`` holds."""

    format: int
    step: int
    state: bytes


class Memory:
    """Call :meth:`recall` whenever the lease was taken, :meth:`follow` with every committed step, :meth:`save` between.

    ``saved``: handovers of steps up to this one need not be kept.
    """

    def __init__(self, engine: Engine, path: Path, every_seconds: float, log_sources: LogSources) -> None:
        self._engine = engine
        self._log_sources = log_sources
        self._path = path
        self._every = every_seconds
        self._step = 0
        self._changed = False
        self._next = 0.0
        self._blank: bytes | None = None
        self.saved = 0

    def recall(self, state: StateStore, store: EventStore, now: float) -> tuple[int, bool]:
        """Bring the engine to the last committed step; how many events it was shown, and whether a snapshot served.

        Raises:
            collector.store.errors.StoreError: the store cannot be read. Ask again: nothing was lost.
            sqlalchemy.exc.OperationalError: the same of the state store.
        """
        if self._blank is None:
            self._blank = self._engine.snapshot()
        else:
            self._engine.restore(self._blank)  # a try before this one, or an earlier hold of the lease
        with state.read() as session:
            self._step, remembered = load_count(session, CORRELATE), load_count(session, REMEMBERED)
        self.saved = remembered
        self._changed = True
        if self._engine.longest_timespan_seconds <= 0:
            return 0, False
        snapshot = self._load(remembered)
        if snapshot is not None and self._engine.restore(snapshot.state):
            return self._show_taken(state, snapshot.step), True
        return self._show_stored(state, store, now), False

    def follow(self, step: int) -> None:
        """This step was committed."""
        self._step = step
        self._changed = True

    def save(self, *, at_once: bool = False) -> None:
        """Write the snapshot if it is due (``at_once``: now) and there is something new. A full disk is only said."""
        started = monotonic()
        if self._engine.longest_timespan_seconds <= 0:
            self.saved = self._step
            return
        if not self._changed or (started < self._next and not at_once):
            return
        content = msgspec.msgpack.encode(Snapshot(_FORMAT, self._step, self._engine.snapshot()))
        try:
            write_file(self._path, hashlib.sha256(content).digest() + content, 0o600)
            self._changed = False
            self.saved = self._step
        except OSError as error:
            log.warning("the memory of correlations is not saved", extra={"error": str(error)})
        self._next = started + max(self._every, (monotonic() - started) / _SHARE)

    def _load(self, remembered: int) -> Snapshot | None:
        """The snapshot, where what was taken since is all there still."""
        try:
            snapshot = _decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            log.warning("the memory of correlations cannot be read", extra={"error": str(error)})
            return None
        if snapshot.format != _FORMAT or not remembered <= snapshot.step <= self._step:
            return None  # another machine has gone on since; or the state store was replaced by an older one
        return snapshot

    def _show_taken(self, state: StateStore, after: int) -> int:
        count = 0
        position = (after + 1, -1, 0)
        while True:
            with state.read() as session:
                page = taken_since(session, _PAGE, position)
            for _, taken in page:
                for note in taken.notes:
                    if isinstance(note, Fired):
                        self._engine.complete(note.event(), note.matched())
                        count += 1
            if not page:
                return count
            step, last = page[-1]
            position = (step, last.log_offset, last.id)

    def _show_stored(self, state: StateStore, store: EventStore, now: float) -> int:
        """Events that were taken, by the event store. What waits will come; what is stored beyond a checkpoint too."""
        with state.read() as session:
            places = load_places(session)
            yet_to_come = set(_waiting_ids(session))
        positions = {each: place.log_offset for each, place in places.items()} | {WHOLE: self._step}
        since = int((now - self._engine.longest_timespan_seconds) * 1e6)
        found = store.query(_FLOOR, {"since": since, "most": MAX_EVENTS})
        if found:
            since = int(found[0]["received"])
        count = 0
        for partition, offset, event in _events(store, since, int(now * 1e6)):
            if offset <= positions.get(partition, 0) and event.id not in yet_to_come:
                fields = dict(event.fields)  # they hold all that was added to them when the event came
                sources = self._log_sources.read(event.product, event.category, event.service, fields)[1]
                matched = self._engine.match(fields, sources)
                if matched:
                    self._engine.complete(event, matched)
                count += 1
        return count


def _waiting_ids(session: Session) -> Iterator[str]:
    position = (0, 0)
    while page := waiting(session, _PAGE, position):
        for taken in page:
            yield from (note.id for note in taken.notes if isinstance(note, Fired))
        position = (page[-1].log_offset, page[-1].id)


def _decode(content: bytes) -> Snapshot:
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise ValueError("it is damaged")
    return msgspec.msgpack.decode(content[32:], type=Snapshot)


def _events(store: EventStore, since: int, until: int) -> Iterator[tuple[int, int, Event]]:
    """Partition, offset and event, as they were received (of one batch: by their time); in microseconds."""
    received, happened, last = 0, 0, ""
    while True:
        page = store.query(
            _FROM,
            {
                "since": since,
                "until": until,
                "received": received,
                "happened": happened,
                "id": last,
                "page": _PAGE,
            },
        )
        for row in page:
            event = Event(
                row["event_id"],
                int(row["happened"]) / 1e6,
                row["product"],
                row["category"],
                row["service"],
                msgspec.json.decode(row["body"]),
            )
            yield int(row["partition"]), int(row["log_offset"]), event
        if len(page) < _PAGE:
            return
        received, happened = int(page[-1]["received"]), int(page[-1]["happened"])
        last = page[-1]["event_id"]
