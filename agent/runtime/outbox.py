"""Gathers what the collectors found into batches, and decides when a batch is due.

Events leave at once (or, while the collector cannot be reached, gathered for half a minute), documents within
a second of changing, metrics with whatever goes next and at the latest after ``metrics_seconds``. Unchanged
documents do not leave at all: their digest is remembered with the batch that last carried them.

A collector's memory moves only together with its output. One whose document is too large for any batch fails, whatever
else it found: what the server holds of it is not true any more. Thread-safe.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from agent import reasons
from agent.collectors.registry import CollectorError
from agent.messages import (
    MAX_BODY_BYTES,
    CollectorHealth,
    Event,
    Metric,
    StatusDocument,
    decode_batch,
    encode_batch,
)
from agent.runtime.errors import SpoolError
from agent.runtime.packing import Content, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.collectors.registry import Output
    from agent.runtime.spool import Spool

SETTLE_SECONDS: Final = 1.0
OFFLINE_GATHER_SECONDS: Final = 30.0
_EVENTS_HELD: Final = 20_000
_METRICS_HELD: Final = 5_000
_NEVER: Final = float("inf")
#: Separates collector, kind and item in a digest's key; none of them may hold it.
_SEPARATOR: Final = "\x1f"


class InvalidOutputError(CollectorError):
    """A collector handed back what the wire contract does not allow; its output was dropped."""


class _Pending(Struct):
    events: list[Event] = []
    documents: dict[str, StatusDocument] = {}
    digests: dict[str, str | None] = {}
    metrics: list[Metric] = []
    health: dict[str, CollectorHealth] = {}


class Outbox:
    """``time`` is the wall clock, ``monotonic`` the one that deadlines run on; both in seconds. ``judged`` is told how
    a collector fares where a flush showed that: a document of it cannot be sent, or can be again."""

    def __init__(
        self,
        spool: Spool,
        *,
        time: Callable[[], float],
        monotonic: Callable[[], float],
        metrics_seconds: float = 600.0,
        judged: Callable[[CollectorHealth], None] = lambda _health: None,
    ) -> None:
        self._spool = spool
        self._time = time
        self._monotonic = monotonic
        self.metrics_seconds = metrics_seconds
        self._judged = judged
        self._lock = threading.Lock()
        self._pending = _Pending()
        self._due = _NEVER
        self._memories: dict[str, bytes] = {}
        self._moved: set[str] = set()
        self._said: dict[str, CollectorHealth] = {}
        self._health: dict[str, tuple[bool, str]] = {}
        #: Documents that no batch can carry: their keys, and why.
        self._too_large: dict[str, str] = {}
        self._refused = False
        #: Set by the sender: events are then gathered longer, to make fewer files.
        self.offline = False

    def memory(self, collector: str) -> dict[str, Any]:
        """A copy of the collector's memory as of its last accepted output."""
        with self._lock:
            known = self._memories.get(collector)
            if known is None:
                known = msgspec.json.encode(self._spool.saved.cursors.get(collector, {}))
                self._memories[collector] = known
            copy: dict[str, Any] = msgspec.json.decode(known)
            return copy

    def take(
        self,
        collector: str,
        output: Output,
        memory: dict[str, Any],
        *,
        partial: bool = False,
        from_json: bool = False,
    ) -> None:
        """Accept what a run of ``collector`` found, and its ``memory`` afterwards. ``partial``: documents that it told
        before and does not tell now stay. ``from_json``: the output was read from JSON by its type, so that its events
        are what the contract allows.

        Raises:
            InvalidOutputError: the output breaks the contract; nothing of it was taken. Events that cannot be
                encoded are counted as dropped instead, for they hold what a stranger wrote.
            SpoolError: much waits already and the disk refuses it; nothing was taken, so offer it again.
        """
        try:
            encoded = msgspec.json.encode(memory)
        except (TypeError, UnicodeEncodeError, msgspec.MsgspecError) as error:
            raise InvalidOutputError(reasons.MEMORY_NOT_KEPT(detail=error)) from error
        events, bad_events = (output.events, 0) if from_json else _only_valid(output.events)
        _validate(Content(documents=output.documents, metrics=output.metrics))
        with self._lock:
            if output.events and self._refused and len(self._pending.events) > _EVENTS_HELD:
                raise SpoolError("the spool cannot be written, and what waits in memory is already much")
            changed = self._changed(collector, output.documents, partial=partial)
            now = self._monotonic()
            if encoded != self._memories.get(collector):
                self._memories[collector] = encoded
                self._moved.add(collector)
            if bad_events:
                self._spool.count_dropped({"events": bad_events})
            pending = self._pending
            pending.events.extend(events)
            pending.metrics.extend(output.metrics)
            if len(pending.metrics) > _METRICS_HELD:
                surplus = len(pending.metrics) - _METRICS_HELD
                del pending.metrics[:surplus]
                self._spool.count_dropped({"metrics": surplus})
            for key, document, digest in changed:
                pending.documents[key] = document
                pending.digests[key] = digest
            if events:
                self._by(now + (OFFLINE_GATHER_SECONDS if self.offline else 0.0))
            if changed:
                self._by(now + SETTLE_SECONDS)
            if output.metrics:
                self._by(now + self.metrics_seconds)
            if len(pending.events) > _EVENTS_HELD and not self._refused:
                self._by(now)

    def report(self, health: CollectorHealth) -> CollectorHealth:
        """Note how a collector's run went; return how it fares, which travels where that is new."""
        with self._lock:
            self._said[health.name] = health
            return self._judge(health.name)

    def retire(self, collectors: Iterable[str]) -> None:
        """Say of every document whose collector is not among ``collectors`` that it is gone."""
        kept = set(collectors)
        with self._lock:
            for key in [key for key in self._pending.documents if _collector(key) not in kept]:
                del self._pending.documents[key], self._pending.digests[key]
            for key in list(self._spool.saved.digests):
                if _collector(key) not in kept:
                    self._gone(key)
            for key in [key for key in self._too_large if _collector(key) not in kept]:
                del self._too_large[key]

    def due(self) -> float:
        """When :meth:`flush` should be called, on the monotonic clock; infinite while nothing waits."""
        with self._lock:
            return self._due

    def flush(self) -> bool:
        """Spool everything that waits. Return whether there was anything.

        Raises:
            SpoolError: the disk refused; everything waits on, and is due again in half a minute.
        """
        judged: list[CollectorHealth] = []
        try:
            return self._flush(judged)
        finally:
            for health in judged:
                self._judged(health)

    def _flush(self, judged: list[CollectorHealth]) -> bool:
        with self._lock:
            self._due = _NEVER
            pending = self._pending
            content = Content(
                events=pending.events,
                documents=list(pending.documents.values()),
                metrics=pending.metrics,
                health=list(pending.health.values()),
            )
            if content.empty:
                return False
            keys = {(d.kind, d.item): key for key, d in pending.documents.items()}
            now = self._time()
            pieces, oversized = pack(content, now, dict(self._spool.saved.dropped))
            stamped = [piece.with_digests(keys, pending.digests) for piece in pieces]
            try:
                self._spool.append([*stamped], self._cursors(), now)
            except SpoolError:
                self._refused = True
                self._due = self._monotonic() + OFFLINE_GATHER_SECONDS
                raise
            self._refused = False
            if not oversized.empty:
                self._spool.count_dropped(oversized.counts)
            self._pending = _Pending()
            self._moved.clear()
            refused = {keys[d.kind, d.item]: d for d in oversized.documents}
            judged += [self._judge(name) for name in self._weigh(pending.documents, refused)]
            return True

    def _weigh(self, documents: Iterable[str], refused: Mapping[str, StatusDocument]) -> set[str]:
        """Note which of the ``documents`` were too large; return the collectors for which that is new."""
        changed = set()
        for key in documents:
            reason = ""
            if (document := refused.get(key)) is not None:
                named = f"{document.kind} {document.item}".strip()[:100]
                reason = reasons.DOCUMENT_TOO_LARGE(document=named, limit=MAX_BODY_BYTES >> 10)
            if reason != self._too_large.get(key, ""):
                changed.add(_collector(key))
            if reason:
                self._too_large[key] = reason
            else:
                self._too_large.pop(key, None)
        return changed

    def _judge(self, name: str) -> CollectorHealth:
        health = self._said.get(name) or CollectorHealth(name=name, ok=True, duration_seconds=0.0)
        reason = next((why for key, why in self._too_large.items() if _collector(key) == name), "")
        if health.ok and reason:
            health = msgspec.structs.replace(health, ok=False, reason=reason)
        told = (health.ok, health.reason)
        if self._health.get(name) != told:
            self._health[name] = told
            self._pending.health[name] = health
            self._by(self._monotonic() + SETTLE_SECONDS)
        return health

    def checkpoint(self) -> None:
        """Make the memories that moved over nothing worth sending durable too (on a clean stop)."""
        with self._lock:
            self._spool.checkpoint(self._cursors())
            self._moved.clear()

    def _cursors(self) -> dict[str, dict[str, Any]]:
        return {name: msgspec.json.decode(self._memories[name]) for name in self._moved}

    def _by(self, when: float) -> None:
        self._due = min(self._due, when)

    def _changed(
        self, collector: str, documents: list[StatusDocument], *, partial: bool
    ) -> list[tuple[str, StatusDocument, str | None]]:
        changed: list[tuple[str, StatusDocument, str | None]] = []
        present: set[str] = set()
        for document in documents:
            key = _SEPARATOR.join((collector, document.kind, document.item))
            present.add(key)
            digest = None if document.body is None else _digest(document.body)
            if digest != self._known(key):
                changed.append((key, document, digest))
            else:  # what the server holds is true again
                self._too_large.pop(key, None)
        if partial:
            return changed
        for key in {*self._spool.saved.digests, *self._pending.digests}:
            if _collector(key) == collector and key not in present and self._known(key) is not None:
                self._gone(key)
        for key in [key for key in self._too_large if _collector(key) == collector and key not in present]:
            del self._too_large[key]
        return changed

    def _known(self, key: str) -> str | None:
        if key in self._pending.digests:
            return self._pending.digests[key]
        return self._spool.saved.digests.get(key)

    def _gone(self, key: str) -> None:
        _, kind, item = key.split(_SEPARATOR)
        if self._told_by_another(key):
            self._pending.documents.pop(key, None)
            self._pending.digests.pop(key, None)
            self._spool.disown(key)
            return
        self._pending.documents[key] = StatusDocument(
            kind=kind, item=item, observed_at=self._time(), body=None
        )
        self._pending.digests[key] = None
        self._by(self._monotonic() + SETTLE_SECONDS)

    def _told_by_another(self, key: str) -> bool:
        """The server knows kind and item, not the source: what another one tells now (under a new name, after an
        update) is not gone."""
        own, _, what = key.partition(_SEPARATOR)
        keys = {*self._spool.saved.digests, *self._pending.digests}
        return any(
            each.partition(_SEPARATOR)[2] == what
            and _collector(each) != own
            and self._known(each) is not None
            for each in keys
        )


def _collector(key: str) -> str:
    return key.split(_SEPARATOR, 1)[0]


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()[:32]


def _validate(content: Content) -> None:
    """Raise :class:`InvalidOutputError` where the collector's server would not take ``content``.

    The documents' bodies are free, so they are only encoded: decoding a software list again costs megabytes.
    """
    if content.empty:
        return
    try:
        for document in content.documents:
            msgspec.json.encode(document.body)
        bare = [msgspec.structs.replace(document, body={}) for document in content.documents]
        decode_batch(encode_batch(msgspec.structs.replace(content, documents=bare).batch(0.0, {})))
    except (TypeError, UnicodeEncodeError, msgspec.MsgspecError) as error:
        raise InvalidOutputError(reasons.BREAKS_CONTRACT(detail=error)) from error
    for document in content.documents:
        if _SEPARATOR in document.item:
            raise InvalidOutputError(reasons.ITEM_NOT_CLEAN(detail=repr(document.item)))


def _only_valid(events: list[Event]) -> tuple[list[Event], int]:
    if not events:
        return events, 0
    try:
        _validate(Content(events=events))
    except InvalidOutputError:
        if len(events) == 1:
            return [], 1
        half = len(events) // 2
        first, bad_first = _only_valid(events[:half])
        second, bad_second = _only_valid(events[half:])
        return first + second, bad_first + bad_second
    return events, 0
