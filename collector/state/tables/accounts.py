"""People, their sessions, and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class User(Base):
    """``role``: ``admin``, ``analyst``, ``officer`` (of ``agency_id`` only) or ``auditor`` (reads all,
    changes nothing).

    ``totp_last_step`` is the last time step accepted, so that no code works twice (RFC 6238, 5.2).
    """

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    totp_secret: Mapped[str]
    totp_last_step: Mapped[int] = mapped_column(default=0)
    role: Mapped[str]
    agency_id: Mapped[int | None] = mapped_column(ForeignKey("agency.id"))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    failed_sign_ins: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]


class UserSession(Base):
    """A signed-in browser or program. Only the SHA-256 of the cookie's value is kept."""

    __tablename__ = "user_session"

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    csrf_token: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    address: Mapped[str]
    user_agent: Mapped[str]


class AuditEntry(Base):
    """Who did what to what, and from where. Each entry's ``digest`` covers the one before it."""

    __tablename__ = "audit_entry"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    address: Mapped[str]
    detail: Mapped[dict[str, Any]]
    digest: Mapped[str]
