"""The state of correlations as bytes, so that it outlives the process.

What is read back may be damaged, or of another version, or of rules that have changed since: nothing in it is
believed before it is checked, and reading it raises nothing.
"""

from __future__ import annotations

import hashlib
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rules.engine.correlation_evidence import Evidence, Record
from rules.engine.correlation_plan import NUMERIC, TEMPORAL
from rules.engine.correlation_state import ENTRIES_LIMIT, EVIDENCE_LIMIT, Group, GroupKey, Tracker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules.engine.correlation_references import Resolved

_MAGIC: Final = b"vgcorr1\n"
_DIGEST_BYTES: Final = 16
#: More than any engine keeps; a snapshot that is larger is none of ours.
SIZE_LIMIT: Final = 1 << 30


class _Record(msgspec.Struct, array_like=True):
    id: str
    time: float
    product: str
    category: str
    service: str
    packed: bytes | None


class _Group(msgspec.Struct, array_like=True):
    """``evidence``: places in the table of records, each followed by its mark where the type keeps one."""

    key: Any
    times: list[float]
    marks: list[Any]
    evidence: list[int]


class _Snapshot(msgspec.Struct, array_like=True):
    records: list[_Record]
    correlations: dict[str, list[_Group]]


_DECODER: Final = msgspec.msgpack.Decoder(_Snapshot)


def identity_of(one: Resolved) -> str:
    """The same for correlations that can go on with each other's state."""
    keys = msgspec.msgpack.encode([one.plan.digest(), sorted(one.keys.items())])
    return hashlib.sha256(keys).hexdigest()[:32]


def write(trackers: Mapping[str, Tracker]) -> bytes:
    """All groups of all correlations, those longest untouched first; ``trackers`` by their identity."""
    places: dict[int, int] = {}
    records: list[tuple[Any, ...]] = []

    def place(record: Record) -> int:
        found = places.get(id(record))
        if found is None:
            found = places[id(record)] = len(records)
            records.append(
                (record.id, record.time, record.product, record.category, record.service, record.packed)
            )
        return found

    correlations: dict[str, list[Any]] = {}
    for identity, tracker in trackers.items():
        groups = correlations[identity] = []
        ranked = tracker.plan.kind in TEMPORAL
        for key, group in tracker.groups.items():
            times, marks = group.times, group.marks
            if group.start:
                times, marks = times[group.start :], marks[group.start :]
            if ranked:
                evidence = [each for record, mark in group.evidence for each in (place(record), mark)]
            else:
                evidence = [place(record) for record in group.evidence]
            groups.append((key, times, marks, evidence))
    try:
        body = msgspec.msgpack.encode((records, correlations))
    except (
        UnicodeEncodeError,
        OverflowError,
        TypeError,
    ):  # an event's id that no text can be, a very long list
        records = [(*map(_sound, each[:1]), each[1], *map(_sound, each[2:5]), each[5]) for each in records]
        body = msgspec.msgpack.encode((records, correlations))
    return _MAGIC + hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() + body


def _sound(text: object) -> str:
    return str(text).encode("utf-8", "replace").decode()


def read(data: bytes, trackers: Mapping[str, Tracker], evidence: Evidence) -> bool:
    """Give the trackers the state of a snapshot; False, and all are as they were, if nothing in it is theirs."""
    snapshot = _opened(data)
    if snapshot is None:
        return False
    records = [
        Record(each.id, each.time, each.product, each.category, each.service, each.packed)
        for each in snapshot.records
    ]
    found: list[tuple[Tracker, dict[GroupKey, Group]]] = []
    for identity, groups in snapshot.correlations.items():
        tracker = trackers.get(identity)
        if tracker is not None:
            restored = _groups(tracker, groups, records)
            if restored is None:
                return False
            found.append((tracker, restored))
    if not found:
        return not snapshot.correlations and not trackers
    for tracker, restored in found:
        tracker.replace(restored)
    used = {id(record) for tracker, _ in found for record in _records_of(tracker)}
    for record in records:
        if id(record) in used:
            evidence.add(record)
    return True


def _opened(data: bytes) -> _Snapshot | None:
    body = data[len(_MAGIC) + _DIGEST_BYTES :]
    digest = data[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES]
    if not data.startswith(_MAGIC) or len(data) > SIZE_LIMIT:
        return None
    if digest != hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest():
        return None
    try:
        snapshot = _DECODER.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError, MemoryError):
        return None
    return snapshot if all(math.isfinite(each.time) for each in snapshot.records) else None


def _groups(tracker: Tracker, groups: list[_Group], records: list[Record]) -> dict[GroupKey, Group] | None:
    """A correlation's groups, checked and ready to go on; None where anything is wrong with one."""
    ranked = tracker.plan.kind in TEMPORAL
    restored: dict[GroupKey, Group] = {}
    for each in groups:
        key = tuple(each.key) if isinstance(each.key, list) else each.key
        times, shown = each.times, each.evidence
        marks = _marks(tracker, each.marks)
        sound = (
            marks is not None
            and _is_key(tracker, key)
            and key not in restored
            and 0 < len(times) == len(marks) <= ENTRIES_LIMIT
            and math.isfinite(times[0])
            and math.isfinite(times[-1])
            and all(one <= other for one, other in pairwise(times))
            and len(shown) <= 4 * EVIDENCE_LIMIT
            and all(0 <= place < len(records) for place in (shown[::2] if ranked else shown))
            and (not ranked or (len(shown) % 2 == 0 and all(_is_mask(tracker, mask) for mask in shown[1::2])))
        )
        if not sound or marks is None:
            return None
        group = restored[key] = Group(None)
        group.times, group.marks = times, marks
        if ranked:
            group.evidence = [
                (records[place], mask) for place, mask in zip(shown[::2], shown[1::2], strict=True)
            ]
        else:
            group.evidence = [records[place] for place in shown]
    return restored


def _is_key(tracker: Tracker, key: object) -> bool:
    parts = key if type(key) is tuple else (key,)
    return len(parts) == len(tracker.plan.group_by) and all(type(part) in (str, bytes) for part in parts)


def _is_mask(tracker: Tracker, mask: object) -> bool:
    return type(mask) is int and 0 < mask < 1 << len(tracker.plan.rules)


def _marks(tracker: Tracker, marks: list[Any]) -> list[Any] | None:
    """The marks as the type has them; None where they are none of its."""
    kind = tracker.plan.kind
    if kind in TEMPORAL or kind == "event_count":
        return marks if all(_is_mask(tracker, mark) for mark in marks) else None
    wanted = (int, float) if kind in NUMERIC else (str, bytes)
    found = [tuple(mark) if type(mark) is list else mark for mark in marks]
    for mark in found:
        for value in mark if type(mark) is tuple else (mark,):
            if type(value) not in wanted or (type(value) is float and not math.isfinite(value)):
                return None
    return found


def _records_of(tracker: Tracker) -> list[Record]:
    ranked = tracker.plan.kind in TEMPORAL
    return [each[0] if ranked else each for group in tracker.groups.values() for each in group.evidence]
