"""The newest documents of endpoints, as one step of the worker sees and changes them.

A step reads in one transaction and writes in a later one, so what it changed lies over what it read until
then.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import delete, func, insert, select

from collector.state.tables import Document, DocumentChange
from collector.state.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

#: Kinds that only the worker writes: the last summary, the last ages told, how an agent's collectors fare.
PROTECTION, AGES, HEALTH = "protection", "ages", "collector_health"
#: An agent that invents items must not fill the store.
MAX_ITEMS = 400
#: Kinds of which a probe tells one for each device that it asks, and how many of each it may tell: they are large, and
#: read one by one when asked for.
DEVICE_KINDS = frozenset({"network_device", "network_addresses", "network_arp"})
MAX_DEVICES = 1_000
_HISTORY_KEPT = 200
_CHUNK = 500


@dataclass(frozen=True)
class Stored:
    """A document as it stands."""

    kind: str
    item: str
    body: dict[str, Any]
    digest: str
    observed_at: datetime
    received_at: datetime
    changed_at: datetime


@dataclass(frozen=True)
class Change:
    """One entry of a document's history; ``body`` None where the item went away."""

    endpoint_id: str
    kind: str
    item: str
    body: dict[str, Any] | None
    changed_at: datetime


def digest_of(body: dict[str, Any]) -> str:
    """SHA-256, hex, of the body's JSON with sorted keys."""
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()


class DocumentsView:
    """Documents as a step sees them, with its own changes over them: those of the endpoints named are read at once, of
    others when they are asked for.

    Bodies of ``software`` are large: they are always read one endpoint at a time, when asked for.
    """

    _LAZY = frozenset({"software"})

    def __init__(self, session: Session, endpoint_ids: Iterable[str]) -> None:
        self._session = session
        self._stored: dict[str, dict[tuple[str, str], Stored]] = defaultdict(dict)
        self._read: set[str] = set()
        self._lazy_read: set[str] = set()
        self._devices_read: set[tuple[str, str, str]] = set()
        self._device_counts: dict[tuple[str, str], int] = {}
        self._devices_added: dict[tuple[str, str], int] = defaultdict(int)
        self._put: dict[tuple[str, str, str], Stored | None] = {}
        self._changes: list[Change] = []
        ids = sorted(set(endpoint_ids))
        for start in range(0, len(ids), _CHUNK):
            self._load(ids[start : start + _CHUNK], lazy=False)

    def get(self, endpoint_id: str, kind: str, item: str = "") -> Stored | None:
        if kind in self._LAZY and endpoint_id not in self._lazy_read:
            self._lazy_read.add(endpoint_id)
            self._load([endpoint_id], lazy=True)
        if kind in DEVICE_KINDS:
            self._load_device(endpoint_id, kind, item)
        return self._of(endpoint_id).get((kind, item))

    def items(self, endpoint_id: str, kind: str) -> dict[str, dict[str, Any]]:
        """Bodies by item; not of kinds of network devices, which may be many and large."""
        return {item: stored.body for (its, item), stored in self._of(endpoint_id).items() if its == kind}

    def has_room(self, endpoint_id: str, kind: str) -> bool:
        """Whether one more document of this kind may come."""
        if kind not in DEVICE_KINDS:
            return sum(its not in DEVICE_KINDS for its, _ in self._of(endpoint_id)) < MAX_ITEMS
        key = (endpoint_id, kind)
        if key not in self._device_counts:
            query = select(func.count()).where(Document.endpoint_id == endpoint_id, Document.kind == kind)
            self._device_counts[key] = self._session.scalar(query) or 0
        return self._device_counts[key] + self._devices_added[key] < MAX_DEVICES

    def put(self, endpoint_id: str, stored: Stored, *, history: dict[str, Any] | None = None) -> None:
        """Replace the document. ``history`` is what the history keeps, the body itself where it is None."""
        before = self.get(endpoint_id, stored.kind, stored.item)
        self._devices_added[endpoint_id, stored.kind] += before is None
        self._of(endpoint_id)[stored.kind, stored.item] = stored
        self._put[endpoint_id, stored.kind, stored.item] = stored
        if (before is None or before.digest != stored.digest) and stored.kind != AGES:
            body = stored.body if history is None else history
            self._changes.append(Change(endpoint_id, stored.kind, stored.item, body, stored.changed_at))

    def remove(self, endpoint_id: str, kind: str, item: str, when: datetime) -> None:
        if self.get(endpoint_id, kind, item) is not None:
            del self._of(endpoint_id)[kind, item]
            self._devices_added[endpoint_id, kind] -= 1
            self._put[endpoint_id, kind, item] = None
            self._changes.append(Change(endpoint_id, kind, item, None, when))

    def changed(self) -> Mapping[tuple[str, str, str], Stored | None]:
        """What the step put (or removed: None), by endpoint, kind and item."""
        return self._put

    def flush(self, session: Session, existing: Collection[str]) -> None:
        """Write the changes for endpoints that are still there, in the caller's transaction."""
        rows = [
            {
                "endpoint_id": endpoint_id,
                "kind": stored.kind,
                "item": stored.item,
                "body": stored.body,
                "digest": stored.digest,
                "observed_at": stored.observed_at,
                "received_at": stored.received_at,
                "changed_at": stored.changed_at,
            }
            for (endpoint_id, _, _), stored in self._put.items()
            if stored is not None and endpoint_id in existing
        ]
        upsert(session, Document, rows, ("endpoint_id", "kind", "item"))
        for (endpoint_id, kind, item), stored in self._put.items():
            if stored is None:
                session.execute(
                    delete(Document).where(
                        Document.endpoint_id == endpoint_id, Document.kind == kind, Document.item == item
                    )
                )
        changes = [vars(change) for change in self._changes if change.endpoint_id in existing]
        if changes:
            session.execute(insert(DocumentChange), changes)

    def _of(self, endpoint_id: str) -> dict[tuple[str, str], Stored]:
        if endpoint_id not in self._read:
            self._load([endpoint_id], lazy=False)
        return self._stored[endpoint_id]

    def _load(self, ids: list[str], *, lazy: bool) -> None:
        if not lazy:
            self._read.update(ids)
        rest = Document.kind.not_in(self._LAZY | DEVICE_KINDS)
        self._read_where(Document.endpoint_id.in_(ids), Document.kind.in_(self._LAZY) if lazy else rest)

    def _load_device(self, endpoint_id: str, kind: str, item: str) -> None:
        """What the step put itself stays."""
        wanted = (endpoint_id, kind, item)
        if wanted in self._devices_read:
            return
        self._of(endpoint_id)
        self._devices_read.add(wanted)
        self._read_where(Document.endpoint_id == endpoint_id, Document.kind == kind, Document.item == item)

    def _read_where(self, *where: ColumnElement[bool]) -> None:
        query = select(
            Document.endpoint_id,
            Document.kind,
            Document.item,
            Document.body,
            Document.digest,
            Document.observed_at,
            Document.received_at,
            Document.changed_at,
        ).where(*where)
        for endpoint_id, *columns in self._session.execute(query):
            stored = Stored(*columns)
            if (endpoint_id, stored.kind, stored.item) not in self._put:
                self._stored[endpoint_id][stored.kind, stored.item] = stored


def trim_history(session: Session, *, keep: int = _HISTORY_KEPT) -> int:
    """Forget the oldest entries of documents that changed more than ``keep`` times; return how many."""
    key = (DocumentChange.endpoint_id, DocumentChange.kind, DocumentChange.item)
    crowded = session.execute(select(*key).group_by(*key).having(func.count() > keep)).all()
    total = 0
    for endpoint_id, kind, item in crowded:
        of_document = (
            DocumentChange.endpoint_id == endpoint_id,
            DocumentChange.kind == kind,
            DocumentChange.item == item,
        )
        limit = session.scalar(
            select(DocumentChange.id)
            .where(*of_document)
            .order_by(DocumentChange.id.desc())
            .offset(keep - 1)
            .limit(1)
        )
        old = (
            session.execute(select(DocumentChange.id).where(*of_document, DocumentChange.id < limit))
            .scalars()
            .all()
        )
        for start in range(0, len(old), _CHUNK):
            session.execute(delete(DocumentChange).where(DocumentChange.id.in_(old[start : start + _CHUNK])))
        total += len(old)
    return total
