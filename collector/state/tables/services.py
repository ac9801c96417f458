"""Services of the province, what somebody accepted of them, and for how long what was so."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class Service(Base):
    """A service that probes look at, by the name that their settings give it. ``importance``: ``high``, ``medium`` or
    ``low``; ``sla_ratio``: the share of time that it shall work; ``agency_id``: who runs it. ``decided``: a person
    entered it, or said something of it; else only probes tell of it, those of ``seen_agency_id`` (0: not known) first.
    """

    __tablename__ = "service"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    title_vi: Mapped[str] = mapped_column(default="")
    title_en: Mapped[str] = mapped_column(default="")
    agency_id: Mapped[int | None] = mapped_column(ForeignKey("agency.id", ondelete="SET NULL"))
    importance: Mapped[str] = mapped_column(default="medium")
    sla_ratio: Mapped[float] = mapped_column(default=0.99)
    first_seen_at: Mapped[datetime]
    decided: Mapped[bool] = mapped_column(default=False)
    seen_agency_id: Mapped[int] = mapped_column(default=0)


class ServiceMaintenance(Base):
    """Planned work: what happens meanwhile counts neither for nor against. ``ended_at``: ended, or called off, before
    its time. Rows are never removed."""

    __tablename__ = "service_maintenance"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    service_id: Mapped[int] = mapped_column(ForeignKey("service.id", ondelete="CASCADE"), index=True)
    begins_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    reason: Mapped[str]
    made_at: Mapped[datetime]
    made_by: Mapped[str]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]


class ServiceContent(Base):
    """How a service's page may look: sketches (:mod:`agent.probe.services.sketch`) and the hosts it loads from.
    ``accepted_by`` is empty for what was learnt when the page was first seen."""

    __tablename__ = "service_content"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    service_id: Mapped[int] = mapped_column(ForeignKey("service.id", ondelete="CASCADE"), index=True)
    digest: Mapped[str]
    text: Mapped[str]
    structure: Mapped[str]
    hosts: Mapped[list[str]]
    title: Mapped[str]
    excerpt: Mapped[str]
    accepted_at: Mapped[datetime]
    accepted_by: Mapped[str]
    reason: Mapped[str]


class AvailabilitySpan(Base):
    """For how long something was in one state. ``kind``: ``service``, ``content``, ``certificate``, ``posture`` (of the
    service ``subject_id``), ``lan`` or ``wan`` (of the agency ``subject_id``). The open span (``ended_at`` null) is how
    it is now; the spans of a subject follow each other without gaps."""

    __tablename__ = "availability_span"
    __table_args__ = (
        Index(None, "kind", "subject_id", "began_at"),
        Index(
            "uq_availability_span_open",
            "kind",
            "subject_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject_id: Mapped[int]
    state: Mapped[str]
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    detail: Mapped[dict[str, Any]]


class AvailabilityLook(Base):
    """When somebody last judged all of it (one row): what lies between two looks that are far apart, nobody knows."""

    __tablename__ = "availability_look"

    id: Mapped[int] = mapped_column(primary_key=True)
    looked_at: Mapped[datetime]
