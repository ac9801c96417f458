"""Alerts (one rule's finding about one subject) and the incidents that people make of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base

_NOT_CLOSED = text("status <> 'closed'")


class Alert(Base):
    """``status`` is ``open``, ``acknowledged`` or ``closed`` (with a reason). While not closed, a further finding of
    the same rule about the same subject raises ``count``; after that it is a new alert.

    ``level`` is Sigma's (``informational low medium high critical``), ``subject`` what the finding is about in
    words (host name, address…), ``subject_key`` the same as a key. ``cleared_at``: the state that the rule found
    has since passed by itself; the alert still waits for a person.
    """

    __tablename__ = "alert"
    __table_args__ = (
        Index(
            "uq_alert_live",
            "rule_id",
            "subject_key",
            unique=True,
            sqlite_where=_NOT_CLOSED,
            postgresql_where=_NOT_CLOSED,
        ),
        Index("ix_alert_status_created", "status", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    rule_id: Mapped[str] = mapped_column(index=True)
    level: Mapped[str]
    subject: Mapped[str]
    subject_key: Mapped[str]
    endpoint_id: Mapped[str | None] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), index=True)
    agency_id: Mapped[int | None] = mapped_column(ForeignKey("agency.id"), index=True)
    simulated: Mapped[bool] = mapped_column(default=False)
    status: Mapped[str] = mapped_column(default="open")
    count: Mapped[int] = mapped_column(default=1)
    first_event_at: Mapped[datetime]
    last_event_at: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    close_reason: Mapped[str | None]
    close_note: Mapped[str | None]
    cleared_at: Mapped[datetime | None]
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incident.id"), index=True)


class AlertEvidence(Base):
    """An event behind an alert, kept whole: the first ones and the newest (see ``collector.alerts``)."""

    __tablename__ = "alert_evidence"
    __table_args__ = (Index(None, "alert_id", "event_id", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"))
    event_id: Mapped[str]
    event_time: Mapped[datetime]
    event: Mapped[dict[str, Any]]


class Incident(Base):
    """A case that people work. ``status``: ``open in_progress resolved closed``. Its clock starts at detection
    (``detected_at``, the earliest event of its alerts); what the law allows is in ``soc_api/incidents``."""

    __tablename__ = "incident"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    status: Mapped[str] = mapped_column(default="open")
    level: Mapped[str]
    agency_id: Mapped[int | None] = mapped_column(ForeignKey("agency.id"), index=True)
    simulated: Mapped[bool] = mapped_column(default=False)
    detected_at: Mapped[datetime]
    opened_at: Mapped[datetime]
    opened_by: Mapped[str]
    assigned_to: Mapped[str | None]
    resolved_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    close_reason: Mapped[str | None]


class IncidentNote(Base):
    """What somebody wrote down while working a case; never edited."""

    __tablename__ = "incident_note"

    id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.id", ondelete="CASCADE"), index=True)
    written_at: Mapped[datetime]
    written_by: Mapped[str]
    text: Mapped[str]
