"""Signed reports of backups: ``POST /api/v1/backup-reports``.

The body is a JSON object; the header ``Vonggac-Signature`` is ``sha256=`` and the HMAC-SHA256 (RFC 2104) of the body's
bytes with the system's own key, in hexadecimal: what ``openssl dgst`` and every language has. A report says when
it was sent (``sent_at``, within ten minutes of the collector's clock) and has a ``nonce`` that its system uses once, so
that nobody who saw one can send it again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from agent.messages import UNREADABLE
from collector.detect.values import moment
from collector.errors import CollectorError, ConflictError
from collector.state.tables import BackupRecord, BackupSystem

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

SIGNATURE_HEADER: Final = "Vonggac-Signature"
MAX_BYTES: Final = 4_096
#: How far a report's own time may be from the collector's.
SKEW: Final = timedelta(minutes=10)
#: A backup cannot have been finished longer ago, nor in the future.
_OLDEST: Final = timedelta(days=31)
_SCHEME: Final = "sha256="

REPORT: Final = "report"


class ReportError(CollectorError):
    """A report that says something impossible."""


class SignatureError(CollectorError):
    """Not signed by a system that may report; deliberately the same for every reason."""


class BackupReport(Struct, frozen=True, forbid_unknown_fields=True):
    """``at``: when the backup ended, ``sent_at``: when this was sent, both seconds since 1970."""

    system: Annotated[str, Meta(min_length=1, max_length=63)]
    at: float
    sent_at: float
    nonce: Annotated[str, Meta(pattern=r"^[0-9A-Za-z._-]{8,64}$")]
    ok: bool
    size_bytes: Annotated[int, Meta(ge=0, le=1 << 60)] | None = None
    note: Annotated[str, Meta(max_length=500)] = ""


def new_key() -> str:
    """A key of 256 bits, as the system is given it."""
    return secrets.token_hex(32)


def sign(key: str, body: bytes) -> str:
    """The header's value."""
    return _SCHEME + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def check_signature(session: Session, body: bytes, signature: str) -> BackupSystem:
    """The system that has signed a report. Raise :class:`SignatureError`; nothing of the body is believed then."""
    name = _claimed(body)
    system = session.scalar(
        select(BackupSystem).where(BackupSystem.name == name, BackupSystem.retired_at.is_(None))
    )
    key = system.key if system is not None else ""
    # The same work for a system that there is not.
    expected = sign(key or "0" * 64, body)
    same = hmac.compare_digest(expected.encode(), signature.strip().encode("utf-8", "replace"))
    if system is None or not key or not same:
        raise SignatureError("the report is not signed by a system that may send one")
    return system


def take_report(session: Session, body: bytes, signature: str, now: datetime) -> BackupRecord:
    """Check a report and write it down, in the caller's transaction.

    Raises:
        SignatureError: no such system, no key, or not its signature; nothing of the body was believed.
        ReportError: signed, but not of the form, or of another time.
        ConflictError: its nonce was used already.
    """
    system = check_signature(session, body, signature)
    try:
        report = msgspec.json.decode(body, type=BackupReport)
    except UNREADABLE as error:
        raise ReportError(f"not a report: {error}") from error
    limit = SKEW.total_seconds()
    if not abs(now.timestamp() - report.sent_at) <= limit:
        raise ReportError(
            f"sent_at is more than {limit:.0f} s from the collector's time; is the clock right?"
        )
    if not now.timestamp() - _OLDEST.total_seconds() <= report.at <= now.timestamp() + limit:
        raise ReportError(f"at: a backup that ended in the future, or more than {_OLDEST.days} days ago")
    used = select(BackupRecord.id).where(
        BackupRecord.system_id == system.id, BackupRecord.nonce == report.nonce
    )
    if session.scalar(used.limit(1)) is not None:
        raise ConflictError("this report was taken already: its nonce was used")
    record = BackupRecord(
        system_id=system.id,
        kind=REPORT,
        at=moment(min(report.at, now.timestamp())),
        ok=report.ok,
        received_at=now,
        note=report.note if report.note.isprintable() else "",
        nonce=report.nonce,
        detail={} if report.size_bytes is None else {"size_bytes": report.size_bytes},
    )
    session.add(record)
    try:
        session.flush()
    except IntegrityError as error:
        # The same report twice at once: the other one was first.
        raise ConflictError("this report was taken already: its nonce was used") from error
    return record


class _Claim(Struct):
    system: str


def _claimed(body: bytes) -> str:
    """Whose report it says it is; empty for what is none."""
    if len(body) > MAX_BYTES:
        return ""
    try:
        return msgspec.json.decode(body, type=_Claim).system[:64]
    except UNREADABLE:
        return ""
