"""The state of correlations as bytes, so that it outlives the process.

What is read back may be damaged, or of another version, or of rules that have changed since: nothing in it is
believed before it is checked, and reading it raises nothing.
"""

from __future__ import annotations

import hashlib
import math
import sys
from array import array
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rules.engine.correlation_evidence import DumpedChunk  # noqa: TC001 - msgspec reads it
from rules.engine.correlation_plan import NUMERIC, TEMPORAL
from rules.engine.correlation_state import ENTRIES_LIMIT, EVIDENCE_LIMIT, Group, GroupKey, Tracker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules.engine.correlation_evidence import Evidence
    from rules.engine.correlation_references import Resolved

_MAGIC: Final = b"vgcorr1\n"
_DIGEST_BYTES: Final = 16
#: More than any engine keeps; a snapshot that is larger is none of ours.
SIZE_LIMIT: Final = 1 << 30


class _Group(msgspec.Struct, array_like=True):
    """``times`` and ``evidence``: numbers of eight bytes each; ``marks``: bytes, or a list."""

    key: Any
    times: bytes
    marks: Any
    evidence: bytes


class _Snapshot(msgspec.Struct, array_like=True):
    """``byte_order``: the machine's, since numbers are as it has them."""

    byte_order: str
    evidence: list[DumpedChunk]
    correlations: dict[str, list[_Group]]


_DECODER: Final = msgspec.msgpack.Decoder(_Snapshot)


def identity_of(one: Resolved) -> str:
    """The same for correlations that can go on with each other's state."""
    keys = msgspec.msgpack.encode([one.plan.digest(), sorted(one.keys.items())])
    return hashlib.sha256(keys).hexdigest()[:32]


def write(trackers: Mapping[str, Tracker], evidence: Evidence) -> bytes:
    """All groups of all correlations, those to be forgotten first in front; ``trackers`` by their identity."""
    correlations: dict[str, list[Any]] = {}
    for identity, tracker in trackers.items():
        groups = correlations[identity] = []
        for key in tracker.queue:
            group = tracker.groups[key]
            times, marks = group.times, group.marks
            if group.start:
                times, marks = times[group.start :], marks[group.start :]
            groups.append((key, times.tobytes(), marks, group.evidence.tobytes()))
    body = msgspec.msgpack.encode((sys.byteorder, evidence.dump(), correlations))
    return _MAGIC + hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() + body


def read(data: bytes, trackers: Mapping[str, Tracker], evidence: Evidence) -> bool:
    """Give the trackers the state of a snapshot; False, and all are as they were, if nothing in it is theirs."""
    snapshot = _opened(data)
    if snapshot is None:
        return False
    found: list[tuple[Tracker, dict[GroupKey, Group]]] = []
    for identity, groups in snapshot.correlations.items():
        tracker = trackers.get(identity)
        if tracker is not None:
            restored = _groups(tracker, groups)
            if restored is None:
                return False
            found.append((tracker, restored))
    if not found:
        return not snapshot.correlations and not trackers
    if not evidence.load(snapshot.evidence):
        return False
    for tracker in trackers.values():
        tracker.replace({})  # numbers of events from before now mean others
    for tracker, restored in found:
        tracker.replace(restored)
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
    return snapshot if snapshot.byte_order == sys.byteorder else None


def _groups(tracker: Tracker, groups: list[_Group]) -> dict[GroupKey, Group] | None:
    """A correlation's groups, checked; None where anything is wrong with one."""
    restored: dict[GroupKey, Group] = {}
    for each in groups:
        key = tuple(each.key) if type(each.key) is list else each.key
        if len(each.times) % 8 or len(each.evidence) % 8 or len(each.evidence) > 64 * EVIDENCE_LIMIT:
            return None
        times, shown = array("d", each.times), array("q", each.evidence)
        marks = _marks(tracker, each.marks)
        sound = (
            marks is not None
            and _is_key(tracker, key)
            and key not in restored
            and 0 < len(times) == len(marks) <= ENTRIES_LIMIT
            and -math.inf < times[0] <= times[-1] < math.inf
            and times.tolist() == sorted(times)
            and not (tracker.plan.kind in TEMPORAL and len(shown) % 2)
        )
        if not sound:
            return None
        group = restored[key] = Group(None, marks)
        group.times, group.evidence = times, shown
    return restored


def _is_key(tracker: Tracker, key: object) -> bool:
    parts = key if type(key) is tuple else (key,)
    return len(parts) == len(tracker.plan.group_by) and all(type(part) in (str, bytes) for part in parts)


def _marks(tracker: Tracker, marks: object) -> Any:
    """The marks as the type has them; None where they are none of its."""
    kind = tracker.plan.kind
    empty = tracker.no_marks()
    if isinstance(empty, bytearray):
        highest = 1 if kind == "event_count" else (1 << len(tracker.plan.rules)) - 1
        sound = isinstance(marks, bytes) and (not marks or 0 < min(marks) <= max(marks) <= highest)
        return bytearray(marks) if sound and isinstance(marks, bytes) else None
    if not isinstance(marks, list):
        return None
    if kind in TEMPORAL:
        beyond = 1 << len(tracker.plan.rules)
        return marks if all(type(mark) is int and 0 < mark < beyond for mark in marks) else None
    wanted = (int, float) if kind in NUMERIC else (str, bytes)
    found = [tuple(mark) if type(mark) is list else mark for mark in marks]
    for mark in found:
        for value in mark if type(mark) is tuple else (mark,):
            if type(value) not in wanted or (type(value) is float and not math.isfinite(value)):
                return None
        if mark == ():
            return None
    return found
