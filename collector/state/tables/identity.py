"""Which machine an endpoint is: what speaks for it, where it came from, and which two may be one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class EndpointEvidence(Base):
    """A number that an endpoint says its machine has, in its normal form; placeholders are not kept. ``kind`` is one
    of ``collector.identity.evidence.KINDS``."""

    __tablename__ = "endpoint_evidence"
    __table_args__ = (Index(None, "kind", "value"),)

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)


class EndpointOrigin(Base):
    """``evidence_at``: when its evidence changed last, ``compared_at``: when it was last compared with others'.

    Where the endpoint came of another's certificate, not of a token: ``split_from`` whose, ``cause`` why (``moved``:
    it said that it is another machine, ``rekeyed``: a person had all copies of a key changed), ``key_sha256`` of the
    public key that it asked with. It counts as unknown until somebody has confirmed it.
    """

    __tablename__ = "endpoint_origin"
    __table_args__ = (Index(None, "compared_at", "evidence_at"),)

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), primary_key=True)
    evidence_at: Mapped[datetime]
    compared_at: Mapped[datetime | None]
    split_from: Mapped[str | None] = mapped_column(ForeignKey("endpoint.id", ondelete="SET NULL"), index=True)
    split_at: Mapped[datetime | None]
    cause: Mapped[str] = mapped_column(default="")
    key_sha256: Mapped[str | None] = mapped_column(unique=True)
    confirmed_at: Mapped[datetime | None]
    confirmed_by: Mapped[str | None]


class RekeyOrder(Base):
    """A person's order that everything which holds one of the certificates ``shared`` shall ask for a new key. The
    first keeps the endpoint (``kept_key_sha256``), each further one becomes an endpoint of its own."""

    __tablename__ = "rekey_order"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), index=True)
    shared: Mapped[list[str]]
    asked_at: Mapped[datetime]
    asked_by: Mapped[str]
    reason: Mapped[str]
    kept_key_sha256: Mapped[str | None]
    kept_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]


class MachineLink(Base):
    """Two endpoints that may be one machine. ``kind`` is a key of ``collector.identity.matching.MATCHES``; ``state`` is
    ``proposed linked rejected undone``. ``evidence`` is what spoke for and against it, as it was compared.

    Linking changes no other row: who asks leaves ``older_id`` out while a link stands.
    """

    __tablename__ = "machine_link"
    __table_args__ = (UniqueConstraint("older_id", "newer_id"), Index(None, "state", "older_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    older_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"))
    newer_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    score: Mapped[int]
    state: Mapped[str]
    conflict: Mapped[bool] = mapped_column(default=False)
    evidence: Mapped[dict[str, Any]]
    made_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    reason: Mapped[str] = mapped_column(default="")


class IdentityNote(Base):
    """Something about an endpoint that a worker is to tell as an event of ``category``; gone once it is told."""

    __tablename__ = "identity_note"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), index=True)
    category: Mapped[str] = mapped_column(default="identity")
    action: Mapped[str]
    body: Mapped[dict[str, Any]]
    made_at: Mapped[datetime]
