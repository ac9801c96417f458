"""The audit log: who did what to what, and from where. Append-only, each entry sealed with the one before it.

An entry's digest is SHA-256 over the digest before it and the entry's own canonical JSON, so a changed,
removed or inserted entry breaks the chain. What the chain cannot show by itself is a cut-off end; whoever
keeps an older head digest elsewhere can ask :func:`verify` for it.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from collector.state.tables import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

GENESIS: Final = "0" * 64
_LONGEST: Final = 500


def encode(value: object) -> Any:
    """A value as the log keeps it: text bounded and with every control, format or line-separating character
    written as an escape, so that no value can forge a line wherever the log is shown (CWE-117)."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(encode(str(key))): encode(item) for key, item in value.items()}
    text = str(value)
    short = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return "".join(
        char if unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} else f"\\u{ord(char):04x}"
        for char in short
    )


def record(
    session: Session,
    now: datetime,
    actor: str,
    action: str,
    target: str = "",
    *,
    address: str = "",
    **detail: object,
) -> AuditEntry:
    """Append an entry in the caller's write transaction, so that a change and its entry stand or fall
    together.

    ``action`` is ``subject.verb`` (``alert.close``). The state store lets one writer in at a time, which
    keeps the chain in one line.
    """
    last = session.execute(
        select(AuditEntry.id, AuditEntry.digest).order_by(AuditEntry.id.desc()).limit(1)
    ).first()
    entry = AuditEntry(
        id=1 if last is None else last.id + 1,
        at=now,
        actor=encode(actor),
        action=encode(action),
        target=encode(target),
        address=encode(address),
        detail=encode(detail),
    )
    entry.digest = digest_of(entry, GENESIS if last is None else last.digest)
    session.add(entry)
    session.flush()
    return entry


def digest_of(entry: AuditEntry, previous: str) -> str:
    """Hex SHA-256 of ``entry`` sealed onto ``previous``."""
    content = [
        previous,
        entry.id,
        entry.at.isoformat(timespec="microseconds"),
        entry.actor,
        entry.action,
        entry.target,
        entry.address,
        entry.detail,
    ]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verification:
    """``broken_at`` is the id of the first entry that does not fit, None where all do; ``head`` the last
    digest that does; ``contains`` whether the digest that was asked for was met on the way."""

    entries: int
    head: str
    broken_at: int | None
    contains: bool


def verify(session: Session, contains: str | None = None) -> Verification:
    """Walk the whole chain, from the first entry to the first that does not fit."""
    previous, count, expected, met = GENESIS, 0, 1, contains is None
    query = select(AuditEntry).order_by(AuditEntry.id).execution_options(yield_per=1000)
    with session.scalars(query) as found:
        for entry in found:
            if entry.id != expected or digest_of(entry, previous) != entry.digest:
                return Verification(count, previous, entry.id, met)
            previous, count, expected = entry.digest, count + 1, expected + 1
            met = met or previous == contains
    return Verification(count, previous, None, met)


def entries(
    session: Session,
    *,
    before: int | None = None,
    actor: str | None = None,
    action: str | None = None,
    limit: int = 50,
) -> Sequence[AuditEntry]:
    """The newest first, from below id ``before``; ``action`` matches whole or as a prefix up to a dot."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    if actor is not None:
        query = query.where(AuditEntry.actor == actor)
    if action is not None:
        query = query.where(
            (AuditEntry.action == action) | AuditEntry.action.startswith(f"{action}.", autoescape=True)
        )
    return session.scalars(query).all()
