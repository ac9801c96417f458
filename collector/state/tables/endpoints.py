"""Endpoints, their certificates and status documents, and the devices seen on their networks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class Endpoint(Base):
    """One managed computer, known by its certificate. ``id`` is the UUID in the certificate.

    ``role`` is ``workstation``, ``server`` or ``unknown``. ``silence_mark_seconds`` is the last mark of silence
    that made an event (0: it reports). ``clock_skew_seconds`` is collector minus agent, positive when the agent's
    clock is behind.
    """

    __tablename__ = "endpoint"

    id: Mapped[str] = mapped_column(primary_key=True)
    hostname: Mapped[str] = mapped_column(index=True)
    role: Mapped[str] = mapped_column(default="unknown")
    os_name: Mapped[str] = mapped_column(default="")
    agent_version: Mapped[str] = mapped_column(default="")
    simulated: Mapped[bool] = mapped_column(default=False)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    enrolled_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]
    silence_mark_seconds: Mapped[int] = mapped_column(default=0)
    clock_skew_seconds: Mapped[float] = mapped_column(default=0.0)
    dead_letters: Mapped[int] = mapped_column(default=0)
    retired_at: Mapped[datetime | None]


class EndpointMac(Base):
    """A MAC address that an endpoint says is its own, by which devices are recognised as endpoints."""

    __tablename__ = "endpoint_mac"

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), primary_key=True)
    mac: Mapped[str] = mapped_column(primary_key=True, index=True)


class Throttled(Base):
    """How often an endpoint was over its quota on the agents' port, and how many bytes it was told to keep."""

    __tablename__ = "throttled"

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), primary_key=True)
    refusals: Mapped[int] = mapped_column(default=0)
    refused_bytes: Mapped[int] = mapped_column(default=0)
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]


class Assignment(Base):
    """Which agency an endpoint belongs to, dated; the open one (``valid_to`` null) is today's."""

    __tablename__ = "assignment"
    __table_args__ = (
        Index(
            "uq_assignment_open",
            "endpoint_id",
            unique=True,
            sqlite_where=text("valid_to IS NULL"),
            postgresql_where=text("valid_to IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), index=True)
    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"), index=True)
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime | None]


class EnrolmentToken(Base):
    """A one-time right to enrol into an agency. Only a hash of the secret is kept."""

    __tablename__ = "enrolment_token"

    id: Mapped[str] = mapped_column(primary_key=True)
    secret_sha256: Mapped[str]
    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"))
    simulated: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    used_by: Mapped[str | None] = mapped_column(ForeignKey("endpoint.id", ondelete="SET NULL"))


class Certificate(Base):
    """A certificate that the collector's CA signed for an endpoint. ``sha256`` is of its DER, hex; ``key_sha256`` of
    its public key, and ``renewed_from`` the ``sha256`` of the certificate that was shown for it (empty: it came by a
    token). Both are ``None`` for certificates of before these were kept."""

    __tablename__ = "certificate"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), index=True)
    serial: Mapped[str]
    not_before: Mapped[datetime]
    not_after: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None]
    key_sha256: Mapped[str | None]
    renewed_from: Mapped[str | None]


class Document(Base):
    """The newest status document of an endpoint, a kind and an item. ``digest`` is SHA-256 of the body's JSON."""

    __tablename__ = "document"
    #: All that is needed to know what has changed, without the bodies.
    __table_args__ = (Index(None, "kind", "changed_at", "endpoint_id"),)

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(primary_key=True, default="")
    body: Mapped[dict[str, Any]]
    digest: Mapped[str]
    observed_at: Mapped[datetime]
    received_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class DocumentChange(Base):
    """The history of a document: what it was from ``changed_at`` on (null body: the item went away)."""

    __tablename__ = "document_change"

    id: Mapped[int] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    item: Mapped[str]
    body: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    changed_at: Mapped[datetime]


class Device(Base):
    """Anything seen on an agency's LAN, by MAC. ``kind`` is ``gateway`` for a default gateway, else empty.

    ``endpoint_id`` is set where the MAC is one of an enrolled endpoint's. ``ip`` is empty while none was seen.
    ``assigned_kind`` is what a person says it is (``collector.devices.kinds``); ``vendor`` of the card, ``name`` the
    best of those in ``facts`` (names, ways in which it was seen, DHCP's vendor class); ``switch`` and ``port`` where
    it is plugged in, as the switch calls itself, since ``placed_at``; ``placed_by`` whom (``self table``).
    ``baseline``: it came with the first look at its network. ``unauthorised_at``: when it was told of as standing there
    without an approval.
    """

    __tablename__ = "device"
    __table_args__ = (
        UniqueConstraint("agency_id", "mac"),
        Index(None, "agency_id", "first_seen_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"))
    mac: Mapped[str] = mapped_column(index=True)
    ip: Mapped[str]
    kind: Mapped[str] = mapped_column(default="")
    endpoint_id: Mapped[str | None] = mapped_column(ForeignKey("endpoint.id", ondelete="SET NULL"))
    seen_by: Mapped[str | None] = mapped_column(ForeignKey("endpoint.id", ondelete="SET NULL"))
    simulated: Mapped[bool] = mapped_column(default=False)
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    assigned_kind: Mapped[str] = mapped_column(default="")
    vendor: Mapped[str] = mapped_column(default="")
    name: Mapped[str] = mapped_column(default="")
    switch: Mapped[str] = mapped_column(default="")
    port: Mapped[str] = mapped_column(default="")
    facts: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    placed_at: Mapped[datetime | None]
    placed_by: Mapped[str] = mapped_column(default="")
    baseline: Mapped[bool] = mapped_column(default=False)
    unauthorised_at: Mapped[datetime | None]


class IpBinding(Base):
    """Which MAC last answered for an IP address in an agency, and which endpoint saw it."""

    __tablename__ = "ip_binding"

    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"), primary_key=True)
    ip: Mapped[str] = mapped_column(primary_key=True)
    mac: Mapped[str]
    seen_by: Mapped[str | None] = mapped_column(ForeignKey("endpoint.id", ondelete="SET NULL"))
    changed_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
